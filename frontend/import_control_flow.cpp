// import_control_flow.cpp: If, Loop and Scan. The graph has no control flow: a known branch is taken, of an
// unknown condition both branches are computed and one is selected, and loops whose trips are known are
// unrolled, so that gradients flow through all of them as through any other nodes.
#include <algorithm>

#include "frontend/importer.h"
#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::frontend {

using ir::Ints;
using ir::Value;
using ir::Values;

namespace {

const onnx::GraphProto& body_of(const Call& call, const char* name) {
  auto body = call.bodies.find(name);
  if (body == call.bodies.end()) malformed(call, concat("attribute '", name, "' is missing"));
  return *body->second;
}

Value truth(ir::Graph& graph, bool value) { return graph.constant(value ? 1 : 0, ir::DType::boolean); }

// One number, as a scalar; null where it is not known, or changes as training moves weights.
ir::TensorPtr known_scalar(const Call& call, Value v, const std::string& what) {
  ir::TensorPtr t = call.known(v);
  if (t && call.knowledge->depends_on_weights(v)) return nullptr;
  if (t && t->count() != 1) malformed(call, what + " must be one value");
  return t;
}

// Parts of equal shape side by side along a new axis.
Value stack(const Values& parts, int64_t axis) {
  Values rows;
  for (Value v : parts) {
    ir::Dims dims = v.dims();
    dims.insert(dims.begin() + axis, 1);
    rows.push_back(ir::reshape(v, dims));
  }
  return ir::concat(rows, axis);
}

// Element `at` of v along `axis`, without that axis.
Value element(Value v, int64_t axis, int64_t at) {
  ir::Dims dims = v.dims();
  dims.erase(dims.begin() + axis);
  return ir::reshape(ir::slice(v, {at}, {at + 1}, {axis}, {1}), dims);
}

void check_stackable(const Call& call, const Values& parts, size_t k) {
  for (const Value& v : parts)
    if (!v) malformed(call, concat("output ", k, " collects sequences"));
  for (const Value& v : parts)
    if (v.type() != parts[0].type())
      unsupported(call, concat("output ", k, " is ", ir::to_string(parts[0].type()), " in one iteration and ",
                               ir::to_string(v.type()), " in another"));
}

Ints axes_or(const Call& call, const char* name, size_t count) {
  Ints values(count, 0);
  if (auto it = call.attrs.find(name); it != call.attrs.end()) {
    auto* given = std::get_if<Ints>(&it->second);
    if (!given || given->size() != count)
      malformed(call, concat("attribute '", name, "' needs ", count, " numbers"));
    values = *given;
  }
  return values;
}

}  // namespace

// The body's nodes are appended once more; `arguments` are bound to its inputs, unless sequences have been.
// Its outputs, all of them supported; absent where they are sequences.
Values Importer::import_body(const FlatNode& flat, const Call& call, const onnx::GraphProto& body,
                             const Values& arguments, const std::string& label) {
  if (body.input_size() != static_cast<int>(arguments.size()))
    malformed(call, concat("a body of ", body.input_size(), " inputs is given ", arguments.size()));
  scopes_.emplace_back();
  for (const auto& tensor : body.initializer())
    bind(tensor.name(), add_initializer(tensor.name(), tensor, false));
  for (size_t i = 0; i < arguments.size(); i++)
    if (arguments[i]) bind(body.input(static_cast<int>(i)).name(), arguments[i]);
  const size_t missing = missing_.size();
  import_nodes(functions_.flatten(list_nodes(body.node(), *flat.opsets, label + "/")));
  Values results;
  bool complete = true;
  for (const auto& output : body.output()) {
    std::optional<Value> value = is_sequence(output.name()) ? Value{} : find(output.name());
    complete &= value.has_value();
    results.push_back(value.value_or(Value{}));
  }
  scopes_.pop_back();
  if (!complete) unsupported(call, concat(missing_.size() - missing, " nodes of its body are not supported"));
  return results;
}

// If with a known condition is the branch it takes; the other one is not even looked at.
void Importer::take_branch(const FlatNode& flat, Call& call) {
  if (!call.in(0)) malformed(call, "input 0 is required");
  auto branch = [&](bool taken) {
    const onnx::GraphProto& graph = body_of(call, taken ? "then_branch" : "else_branch");
    if (graph.output_size() != static_cast<int>(call.wanted.size()))
      malformed(call, "the branch has another number of outputs");
    return import_body(flat, call, graph, {}, flat.label);
  };
  if (ir::TensorPtr condition = known_scalar(call, call.in(0), "the condition")) {
    const bool taken = condition->get(0) != 0;
    call.results = branch(taken);
    const onnx::GraphProto& graph = body_of(call, taken ? "then_branch" : "else_branch");
    for (size_t k = 0; k < call.results->size(); k++)
      give_sequence(flat, call, k, graph.output(static_cast<int>(k)).name());
    return;
  }
  const size_t updates = graph_.updates.size();
  Values yes = branch(true), no = branch(false);
  if (graph_.updates.size() != updates)
    unsupported(call, "a BatchNormalization in training stands in a branch that depends on the model's data");
  if (call.in(0).type().count() != 1) malformed(call, "the condition must be one value");
  Value condition = ir::reshape(call.in(0), {});
  call.results.emplace();
  for (size_t k = 0; k < yes.size(); k++) {
    if (!yes[k] || !no[k])
      unsupported(call, "the condition that chooses a sequence is computed from the model's data or weights");
    if (yes[k].type() != no[k].type())
      unsupported(call, concat("the condition is computed from the model's data or weights, and output ", k,
                               " is ", ir::to_string(yes[k].type()), " in one branch and ",
                               ir::to_string(no[k].type()), " in the other"));
    call.results->push_back(yes[k] == no[k] ? yes[k] : ir::where(condition, yes[k], no[k]));
  }
}

// Loop(trips, condition, carried...): body (iteration, condition, carried...) -> (condition, carried...,
// scanned...).
void Importer::unroll_loop(const FlatNode& flat, Call& call) {
  const onnx::GraphProto& body = body_of(call, "body");
  const size_t carried = call.inputs.size() < 2 ? 0 : call.inputs.size() - 2;
  if (body.output_size() < static_cast<int>(1 + carried)) malformed(call, "the body has too few outputs");
  const size_t scanned = static_cast<size_t>(body.output_size()) - 1 - carried;
  int64_t trips = kMaxTrips + 1;
  if (call.in(0)) {
    ir::TensorPtr count = known_scalar(call, call.in(0), "the trip count");
    if (!count)
      unsupported(call, "how often it runs is computed from the model's data or weights",
                  "only loops whose trips follow from constants and shapes are unrolled");
    trips = count->get_int(0);
  }
  bool running = true;
  auto decide = [&](Value condition) {
    ir::TensorPtr known = known_scalar(call, condition, "the condition");
    if (!known)
      unsupported(call, "whether it goes on is computed from the model's data or weights",
                  "only loops whose trips follow from constants and shapes are unrolled");
    running = known->get(0) != 0;
  };
  if (call.in(1)) decide(call.in(1));
  Values state(call.inputs.begin() + static_cast<int64_t>(std::min<size_t>(2, call.inputs.size())),
               call.inputs.end());
  std::vector<std::string> sequences(carried);  // name of the newest one, by place
  for (size_t k = 0; k < carried; k++)
    if (const std::string& name = flat.node->input(static_cast<int>(2 + k)); !state[k] && is_sequence(name))
      sequences[k] = name;
  std::vector<Values> parts(scanned);
  for (int64_t i = 0; i < trips && running; i++) {
    if (i >= kMaxTrips) unsupported(call, concat("runs more than ", kMaxTrips, " times"));
    ir::Tensor number({ir::DType::i64, {}});
    number.set_int(0, i);
    Values arguments{graph_.constant(std::move(number)), truth(graph_, true)};
    arguments.insert(arguments.end(), state.begin(), state.end());
    for (size_t k = 0; k < carried; k++)
      if (!sequences[k].empty() && body.input_size() == static_cast<int>(arguments.size()))
        sequences_[body.input(static_cast<int>(2 + k)).name()] = Values(sequences_.at(sequences[k]));
    Values results = import_body(flat, call, body, arguments, concat(flat.label, "/", i));
    decide(results[0]);
    for (size_t k = 0; k < carried; k++) {
      const std::string& name = body.output(static_cast<int>(1 + k)).name();
      if (sequences[k].empty() != !is_sequence(name))
        malformed(call, concat("carried value ", k, " is a sequence before or behind the body only"));
      state[k] = results[1 + k];
      if (!state[k]) sequences[k] = name;
    }
    for (size_t k = 0; k < scanned; k++) parts[k].push_back(results[1 + carried + k]);
  }
  call.results = state;
  for (size_t k = 0; k < carried; k++)
    if (!sequences[k].empty()) give_sequence(flat, call, k, sequences[k]);
  for (size_t k = 0; k < scanned; k++) {
    const bool wanted = carried + k < call.wanted.size() && call.wanted[carried + k];
    if (parts[k].empty() && wanted)
      unsupported(call, concat("output ", carried + k, " of a loop that never runs"));
    check_stackable(call, parts[k], carried + k);
    call.results->push_back(parts[k].empty() ? Value{} : stack(parts[k], 0));
  }
}

// Scan(states..., sequences...): body (states..., elements...) -> (states..., yields...).
Values Importer::scan(const FlatNode& flat, const Call& call, Values state, const Values& sequences,
                      const std::string& label) {
  const onnx::GraphProto& body = body_of(call, "body");
  const size_t states = state.size();
  if (sequences.empty()) malformed(call, "there is nothing to scan");
  if (body.output_size() < static_cast<int>(states)) malformed(call, "the body has too few outputs");
  const size_t yields = static_cast<size_t>(body.output_size()) - states;
  const bool old = call.opset < 9;
  Ints axes = axes_or(call, "scan_input_axes", sequences.size());
  const Ints backwards = axes_or(call, old ? "directions" : "scan_input_directions", sequences.size());
  const Ints flipped = axes_or(call, "scan_output_directions", yields);
  Ints out_axes = axes_or(call, "scan_output_axes", yields);
  int64_t length = -1;
  for (size_t i = 0; i < sequences.size(); i++) {
    axes[i] = ir::normalize_axis(axes[i], sequences[i].rank());
    const int64_t extent = sequences[i].dims()[static_cast<size_t>(axes[i])];
    if (length >= 0 && extent != length)
      malformed(call, concat("scans sequences of ", length, " and ", extent));
    length = extent;
  }
  if (length > kMaxTrips) unsupported(call, concat("runs ", length, " times; at most ", kMaxTrips));
  if (length == 0) unsupported(call, "scans an empty sequence");
  std::vector<Values> parts(yields);
  for (int64_t t = 0; t < length; t++) {
    Values arguments = state;
    for (size_t i = 0; i < sequences.size(); i++)
      arguments.push_back(element(sequences[i], axes[i], backwards[i] != 0 ? length - 1 - t : t));
    Values results = import_body(flat, call, body, arguments, concat(label, "/", t));
    for (size_t k = 0; k < states; k++)
      if (!results[k]) malformed(call, concat("state ", k, " of a scan is a sequence"));
    state.assign(results.begin(), results.begin() + static_cast<int64_t>(states));
    for (size_t k = 0; k < yields; k++) parts[k].push_back(results[states + k]);
  }
  for (size_t k = 0; k < yields; k++) {
    check_stackable(call, parts[k], states + k);
    if (flipped[k] != 0) std::reverse(parts[k].begin(), parts[k].end());
    out_axes[k] = ir::normalize_axis(out_axes[k], parts[k][0].rank() + 1);
    state.push_back(stack(parts[k], out_axes[k]));
  }
  return state;
}

void Importer::unroll_scan(const FlatNode& flat, Call& call) {
  const bool old = call.opset < 9;  // sequence_lens first, and a batch axis before all others
  if (old && call.in(0)) unsupported(call, "sequences of different lengths");
  Values inputs(call.inputs.begin() + (old && !call.inputs.empty() ? 1 : 0), call.inputs.end());
  const int64_t sequences = call.integer("num_scan_inputs", 0);
  if (sequences < 1 || sequences > static_cast<int64_t>(inputs.size()))
    malformed(call, concat("num_scan_inputs is ", sequences, " of ", inputs.size(), " inputs"));
  for (const Value& v : inputs)
    if (!v) malformed(call, "an input is missing");
  auto split = inputs.end() - sequences;
  if (!old) {
    call.results = scan(flat, call, {inputs.begin(), split}, {split, inputs.end()}, flat.label);
    return;
  }
  int64_t batch = -1;
  for (const Value& v : inputs) {
    if (v.rank() < 1 || (batch >= 0 && v.dims()[0] != batch))
      malformed(call, "the inputs differ in batch size");
    batch = v.dims()[0];
  }
  if (batch < 1) unsupported(call, "an empty batch");
  std::vector<Values> rows;
  for (int64_t b = 0; b < batch; b++) {
    Values one;
    for (const Value& v : inputs) one.push_back(element(v, 0, b));
    auto at = one.end() - sequences;
    Values results = scan(flat, call, {one.begin(), at}, {at, one.end()}, concat(flat.label, "/", b));
    rows.resize(results.size());
    for (size_t k = 0; k < results.size(); k++) rows[k].push_back(results[k]);
  }
  call.results.emplace();
  for (size_t k = 0; k < rows.size(); k++) {
    check_stackable(call, rows[k], k);
    call.results->push_back(stack(rows[k], 0));
  }
}

}  // namespace mezzo::frontend
