#include "frontend/quirks.h"

#include <algorithm>
#include <numeric>

#include "frontend/limits.h"
#include "frontend/tensor_reader.h"
#include "ir/build.h"

namespace mezzo::frontend {
namespace {

using ir::Dims;
using ir::Ints;
using ir::Value;
using ir::Values;

// Before opset 7 the second operand was broadcast along an explicit axis of the first: its dims move there by
// appending ones.
void legacy_broadcast(Call& c) {
  int64_t broadcast = c.integer("broadcast", 0), axis = c.integer("axis", -1);
  bool given = c.has("axis");
  c.attrs.erase("broadcast");
  c.attrs.erase("axis");
  if (!broadcast || !given || !c.in(0) || !c.in(1)) return;
  Dims dims = c.in(1).dims();
  int64_t rank = c.in(0).rank();
  int64_t behind = rank - ir::normalize_axis(axis, rank) - static_cast<int64_t>(dims.size());
  if (behind < 0) malformed(c, concat("axis ", axis, " does not fit the second input ", ir::to_string(dims)));
  dims.insert(dims.end(), static_cast<size_t>(behind), 1);
  c.inputs[1] = ir::reshape(c.inputs[1], dims);
}

// Before opset 7 a slope of one dimension belonged to the channels.
void slope_of_channels(Call& c) {
  if (!c.in(0) || !c.in(1) || c.in(1).rank() != 1 || c.in(0).rank() < 3 || c.in(1).dims()[0] == 1) return;
  Dims dims = c.in(1).dims();
  dims.insert(dims.end(), static_cast<size_t>(c.in(0).rank() - 2), 1);
  c.inputs[1] = ir::reshape(c.inputs[1], dims);
}

void drop_broadcast(Call& c) { c.attrs.erase("broadcast"); }

void cast_to_name(Call& c) {
  auto it = c.attrs.find("to");
  if (it == c.attrs.end() || !std::holds_alternative<std::string>(it->second)) return;
  std::string name = std::get<std::string>(it->second);
  for (char& letter : name) letter = static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter + 32 : letter);
  for (int type = 1; type < 17; type++)
    if (onnx_type_name(type) == name) it->second = int64_t{type};
}

// Before opset 13: the input is flattened to a matrix at `axis` and the operator works on its rows.
void rows_behind_axis(Call& c) {
  if (!c.in(0)) return;
  const Dims dims = c.in(0).dims();
  auto rank = static_cast<int64_t>(dims.size());
  if (rank == 0) return;
  int64_t axis = c.integer("axis", 1);
  if (axis != rank) axis = ir::normalize_axis(axis, rank);
  if (axis == rank - 1) {
    c.attrs["axis"] = axis;
    return;
  }
  Dims matrix{1, 1};
  for (int64_t i = 0; i < rank; i++) matrix[i < axis ? 0 : 1] *= dims[static_cast<size_t>(i)];
  Value rows = ir::apply(c.op, {ir::reshape(c.inputs[0], matrix)}, {{"axis", int64_t{1}}});
  c.results = Values{ir::reshape(rows, dims)};
}

// Training was said by is_test before opset 7, then by the number of outputs, from opset 14 by training_mode.
void batch_norm_flags(Call& c) {
  if (c.integer("spatial", 1) == 0) unsupported(c, "statistics per element (spatial = 0)");
  bool statistics = false;
  for (size_t i = 1; i < c.wanted.size(); i++) statistics |= c.wanted[i];
  bool training = statistics && c.integer("is_test", 0) == 0;
  for (size_t i = 3; i < c.wanted.size(); i++) c.wanted[i] = false;  // scratch of old implementations
  c.attrs.erase("spatial");
  c.attrs.erase("is_test");
  c.attrs["training_mode"] = int64_t{training};
}

// Before opset 12 a Dropout drew nothing unless it was said to be no test (opset 6 and older).
void dropout_flags(Call& c) {
  c.attrs["training_mode"] = int64_t{c.has("is_test") && c.integer("is_test", 0) == 0};
  c.attrs.erase("is_test");
}

void rename_paddings(Call& c) {
  if (auto it = c.attrs.find("paddings"); it != c.attrs.end()) {
    c.attrs["pads"] = it->second;
    c.attrs.erase("paddings");
  }
}

// Before opset 11 the bounds were attributes.
void clip_bounds(Call& c) {
  if (!c.in(0) || c.inputs.size() > 1) return;
  for (const char* bound : {"min", "max"}) {
    Value v;
    if (auto it = c.attrs.find(bound); it != c.attrs.end()) {
      auto* number = std::get_if<double>(&it->second);
      if (!number) malformed(c, concat("attribute '", bound, "' must be a float"));
      v = c.graph.constant(*number, c.in(0).dtype());
      c.attrs.erase(it);
    }
    c.inputs.push_back(v);
  }
}

// PyTorch's dynamo exporter gives a convolution over three axes that has no bias one of zeros, of a shape
// that is none of a bias.
void bias_of_zeros(Call& c) {
  if (!c.in(2) || c.in(2).rank() == 1) return;
  ir::TensorPtr bias = c.known(c.in(2));
  for (int64_t i = 0; bias && i < bias->count(); i++)
    if (bias->get(i) != 0) return;
  if (bias) c.inputs.resize(2);
}

// Split without sizes makes as many equal parts as it has outputs.
void count_outputs(Call& c) {
  if (!c.has("split") && !c.in(1) && !c.has("num_outputs"))
    c.attrs["num_outputs"] = static_cast<int64_t>(c.wanted.size());
}

// From opset 12 the exponent may have a type of its own.
void exponent_type(Call& c) {
  if (c.in(0) && c.in(1)) c.inputs[1] = ir::cast(c.inputs[1], c.inputs[0].dtype());
}

// Before opset 21 scale and bias were given per group.
void scale_of_groups(Call& c) {
  if (!c.in(0) || c.in(0).rank() < 2) return;
  const int64_t channels = c.in(0).dims()[1];
  for (size_t i : {1, 2}) {
    Value v = c.in(i);
    if (!v || v.rank() != 1 || v.dims()[0] == 0 || channels % v.dims()[0] != 0) continue;
    const int64_t groups = v.dims()[0];
    c.inputs[i] =
        ir::reshape(ir::expand(ir::reshape(v, {groups, 1}), {groups, channels / groups}), {channels});
  }
}

void scatter_elements(Call& c) { c.op = "ScatterElements"; }

// Upsample is Resize as it was at opset 10: scales only, the coarse coordinates.
void upsample(Call& c) {
  c.op = "Resize";
  if (c.inputs.size() == 2) c.inputs.insert(c.inputs.begin() + 1, Value{});
  if (c.has("height_scale") && c.has("width_scale")) {  // opset 6 and older: [N, C, H, W]
    auto number = [&](const char* name) {
      auto* value = std::get_if<double>(&c.attrs.at(name));
      if (!value) malformed(c, concat("attribute '", name, "' must be a float"));
      return *value;
    };
    c.attrs["scales"] = ir::Floats{1, 1, number("height_scale"), number("width_scale")};
    c.attrs.erase("height_scale");
    c.attrs.erase("width_scale");
  }
  if (auto it = c.attrs.find("mode"); it != c.attrs.end() && it->second == ir::Attr(std::string("bilinear")))
    it->second = std::string("linear");
  c.attrs["coordinate_transformation_mode"] = std::string("asymmetric");
  c.attrs["nearest_mode"] = std::string("floor");
}

void cast_like(Call& c) {
  if (!c.in(0) || !c.in(1)) return;
  c.results = Values{ir::cast(c.inputs[0], c.inputs[1].dtype())};
}

// Compress by a condition that is known is a Gather at the places where it holds.
void compress(Call& c) {
  if (!c.in(0) || !c.in(1)) malformed(c, "inputs 0 and 1 are required");
  ir::TensorPtr condition = c.known(c.in(1));
  if (!condition)
    unsupported(c, "the condition is computed from the model's data",
                "Mezzo compiles static shapes: it must follow from constants and input shapes");
  Value x = c.in(0);
  if (!c.has("axis")) x = ir::reshape(x, {x.type().count()});
  const int64_t axis = ir::normalize_axis(c.integer("axis", 0), x.rank());
  if (condition->dims().size() != 1 || condition->count() > x.dims()[static_cast<size_t>(axis)])
    malformed(c, concat("a condition ", ir::to_string(condition->dims()), " for ", ir::to_string(x.dims())));
  std::vector<int64_t> places;
  for (int64_t i = 0; i < condition->count(); i++)
    if (condition->get_int(i) != 0) places.push_back(i);
  ir::Tensor indices({ir::DType::i64, {static_cast<int64_t>(places.size())}});
  std::copy(places.begin(), places.end(), indices.as<int64_t>().begin());
  c.results = Values{ir::apply("Gather", {x, c.graph.constant(std::move(indices))}, {{"axis", axis}})};
}

// Before opset 20 the axis was an attribute, 1 by default.
void transform_axis(Call& c) {
  if (!c.has("axis")) c.attrs["axis"] = int64_t{1};
}

// One row: the op, the opsets [since, until) whose form differs from the newest, and what brings it there.
struct Quirk {
  std::string_view op;
  int64_t since, until;
  void (*fix)(Call&);
};
constexpr int64_t kNow = kMaxOpset + 1;
constexpr Quirk kQuirks[] = {
    {"Add", 1, 7, legacy_broadcast},
    {"Sub", 1, 7, legacy_broadcast},
    {"Mul", 1, 7, legacy_broadcast},
    {"Div", 1, 7, legacy_broadcast},
    {"Pow", 1, 7, legacy_broadcast},
    {"And", 1, 7, legacy_broadcast},
    {"Or", 1, 7, legacy_broadcast},
    {"Xor", 1, 7, legacy_broadcast},
    {"Equal", 1, 7, legacy_broadcast},
    {"Less", 1, 7, legacy_broadcast},
    {"Greater", 1, 7, legacy_broadcast},
    {"PRelu", 1, 7, slope_of_channels},
    {"Gemm", 1, 7, drop_broadcast},
    {"Cast", 1, 6, cast_to_name},
    {"CastLike", 15, kNow, cast_like},
    {"Softmax", 1, 13, rows_behind_axis},
    {"LogSoftmax", 1, 13, rows_behind_axis},
    {"Hardmax", 1, 13, rows_behind_axis},
    {"BatchNormalization", 1, 14, batch_norm_flags},
    {"Dropout", 1, 12, dropout_flags},
    {"Clip", 1, 11, clip_bounds},
    {"Conv", 1, kNow, bias_of_zeros},
    {"Pad", 1, 2, rename_paddings},
    {"Split", 1, kNow, count_outputs},
    {"Pow", 12, kNow, exponent_type},
    {"GroupNormalization", 18, 21, scale_of_groups},
    {"Scatter", 9, kNow, scatter_elements},
    {"Compress", 9, kNow, compress},
    {"DFT", 17, 20, transform_axis},
    {"Upsample", 1, kNow, upsample},
    {"Resize", 10, 11, upsample},
};

}  // namespace

std::string_view newest_name(std::string_view op) {
  if (op == "Scatter") return "ScatterElements";
  if (op == "Upsample") return "Resize";
  return op == "CastLike" || op == "Compress" ? "" : op;
}

void apply_quirks(Call& call) {
  if (!call.domain.empty()) return;
  const std::string op = call.op;
  for (const Quirk& quirk : kQuirks)
    if (quirk.op == op && call.opset >= quirk.since && call.opset < quirk.until && !call.results)
      quirk.fix(call);
}

}  // namespace mezzo::frontend
