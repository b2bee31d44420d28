// import_sequences.cpp: sequences of tensors, which exporters write for chunk and split. They exist during
// import only: a sequence is the list of its values, and positions in it must be known.
#include <algorithm>
#include <array>

#include "frontend/importer.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::frontend {

using ir::Value;
using ir::Values;

namespace {

constexpr std::array<std::string_view, 8> kSequenceOps{
    "SequenceConstruct", "SequenceEmpty",  "SequenceInsert",     "SequenceErase",
    "SequenceAt",        "SequenceLength", "ConcatFromSequence", "SplitToSequence"};

ir::TensorPtr known(const Call& c, size_t i, const char* what) {
  ir::TensorPtr t = c.known(c.in(i));
  if (!t) unsupported(c, concat(what, " is computed from the model's data"));
  if (ir::is_float(t->dtype())) malformed(c, concat(what, " must be an integer"));
  return t;
}

// Input `i` as a position in `count` elements, or in count + 1 places; the last one when it is absent.
size_t position(const Call& c, size_t i, size_t count, bool place) {
  const auto most = static_cast<int64_t>(count) + (place ? 1 : 0);
  if (!c.in(i)) {
    if (most == 0) malformed(c, "the sequence is empty");
    return static_cast<size_t>(most - 1);
  }
  ir::TensorPtr t = known(c, i, "the position");
  if (t->count() != 1) malformed(c, "the position must be one number");
  int64_t at = t->get_int(0);
  if (at < 0) at += static_cast<int64_t>(count);
  if (at < 0 || at >= most) malformed(c, concat("position ", t->get_int(0), " in a sequence of ", count));
  return static_cast<size_t>(at);
}

// The parts of input 0 along an axis: of the extents given, of one given extent and a rest, or of 1.
Values split(const Call& c) {
  if (!c.in(0)) malformed(c, "input 0 is required");
  const ir::Dims dims = c.in(0).dims();
  const int64_t axis = ir::normalize_axis(c.integer("axis", 0), static_cast<int64_t>(dims.size()));
  const int64_t extent = dims[static_cast<size_t>(axis)];
  ir::Ints parts;
  ir::TensorPtr given = c.in(1) ? known(c, 1, "the split") : nullptr;
  if (given && !given->dims().empty()) {
    for (int64_t i = 0; i < given->count(); i++) parts.push_back(given->get_int(i));
  } else {
    const int64_t part = given ? given->get_int(0) : 1;
    if (part < 1) malformed(c, concat("parts of ", part));
    for (int64_t at = 0; at < extent; at += part) parts.push_back(std::min(part, extent - at));
  }
  if (parts.empty()) return {};
  Values out = ir::apply_all("Split", {c.in(0)}, {{"axis", axis}, {"split", parts}});
  if (given || c.integer("keepdims", 1) != 0) return out;
  ir::Dims without = dims;
  without.erase(without.begin() + axis);
  for (Value& v : out) v = ir::reshape(v, without);
  return out;
}

Value joined(const Call& c, const Values& sequence) {
  if (sequence.empty()) unsupported(c, "the sequence is empty");
  const bool new_axis = c.integer("new_axis", 0) != 0;
  const int64_t rank = sequence[0].rank() + (new_axis ? 1 : 0);
  if (!c.has("axis")) malformed(c, "attribute 'axis' is required");
  const int64_t axis = ir::normalize_axis(c.integer("axis", 0), rank);
  Values parts;
  for (Value v : sequence) {
    ir::Dims dims = v.dims();
    if (new_axis) dims.insert(dims.begin() + std::min<int64_t>(axis, static_cast<int64_t>(dims.size())), 1);
    parts.push_back(ir::reshape(v, dims));
  }
  return ir::concat(parts, axis);
}

}  // namespace

bool is_sequence_op(std::string_view op) {
  return std::find(kSequenceOps.begin(), kSequenceOps.end(), op) != kSequenceOps.end();
}

bool takes_sequences(std::string_view op) { return is_sequence_op(op) || op == "Identity" || op == "Loop"; }

void Importer::give_sequence(const FlatNode& flat, Call& call, size_t i, const std::string& name) {
  if (i >= call.wanted.size() || !call.wanted[i] || !is_sequence(name)) return;
  sequences_[flat.node->output(static_cast<int>(i))] = Values(sequences_.at(name));
  call.wanted[i] = false;
}

void Importer::take_sequence(const FlatNode& flat, Call& call) {
  const onnx::NodeProto& node = *flat.node;
  auto sequence = [&](int i) -> const Values& {
    auto it = i < node.input_size() ? sequences_.find(node.input(i)) : sequences_.end();
    if (it == sequences_.end()) malformed(call, concat("input ", i, " must be a sequence"));
    return it->second;
  };
  auto give = [&](Values elements) {
    if (call.wanted.empty() || !call.wanted[0]) return;
    sequences_[node.output(0)] = std::move(elements);
    call.wanted[0] = false;
  };
  call.results = Values{};
  if (call.op == "SequenceConstruct") {
    give(call.inputs);
  } else if (call.op == "SequenceEmpty") {
    give({});
  } else if (call.op == "SplitToSequence") {
    give(split(call));
  } else if (call.op == "SequenceInsert") {
    Values elements = sequence(0);
    if (!call.in(1)) malformed(call, "input 1 is required");
    const size_t at = position(call, 2, elements.size(), true);
    elements.insert(elements.begin() + static_cast<int64_t>(at), call.in(1));
    give(std::move(elements));
  } else if (call.op == "SequenceErase") {
    Values elements = sequence(0);
    elements.erase(elements.begin() + static_cast<int64_t>(position(call, 1, elements.size(), false)));
    give(std::move(elements));
  } else if (call.op == "SequenceAt") {
    const Values& elements = sequence(0);
    if (!call.in(1)) malformed(call, "input 1 is required");
    call.results = Values{elements[position(call, 1, elements.size(), false)]};
  } else if (call.op == "SequenceLength") {
    ir::Tensor length({ir::DType::i64, {}});
    length.set_int(0, static_cast<int64_t>(sequence(0).size()));
    call.results = Values{graph_.constant(std::move(length))};
  } else {
    call.results = Values{joined(call, sequence(0))};
  }
}

}  // namespace mezzo::frontend
