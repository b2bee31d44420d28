#include "ir/build.h"

#include <numeric>

#include "ir/op.h"

namespace mezzo::ir {
namespace {

Value with_number(std::string_view op, Value a, double b) { return apply(op, {a, constant_like(a, b)}); }

Value reduce(std::string_view op, Value v, Ints axes, bool keepdims) {
  for (int64_t& a : axes) a = normalize_axis(a, v.rank());
  bool nothing = v.rank() == 0;
  return nothing ? v : apply(op, {v}, {{"axes", std::move(axes)}, {"keepdims", int64_t{keepdims}}});
}

Attrs window_attrs(const WindowSpec& spec, const Dims& extents, double fill) {
  Attrs attrs{{"kernel", spec.kernel}, {"strides", spec.strides}, {"dilations", spec.dilations},
              {"pads", spec.pads},     {"extents", extents}};
  if (spec.first_axis) attrs["first_axis"] = *spec.first_axis;
  if (fill != 0) attrs["fill"] = fill;
  return attrs;
}

Attrs convolution_attrs(const ConvolutionSpec& spec) {
  Attrs attrs{{"strides", spec.strides},
              {"dilations", spec.dilations},
              {"pads_begin", spec.pads_begin},
              {"pads_end", spec.pads_end}};
  if (spec.groups != 1) attrs["groups"] = spec.groups;
  if (spec.channels_last) attrs["channels_last"] = int64_t{1};
  if (spec.out) attrs["out"] = *spec.out;
  return attrs;
}

}  // namespace

Values apply_all(std::string_view op, const Values& inputs, Attrs attrs) {
  check(!inputs.empty() && inputs[0], "apply ", op, ": needs an input to know the graph");
  Node* node = inputs[0].node->graph().add(get_op(op), inputs, std::move(attrs));
  Values out;
  for (int i = 0; i < node->output_count(); i++) out.push_back(node->out(i));
  return out;
}

Value apply(std::string_view op, const Values& inputs, Attrs attrs) {
  return apply_all(op, inputs, std::move(attrs))[0];
}

Values expand_node(Graph& to, const Node& node, Values inputs) {
  const OpDef& op = node.op();
  check(op.meaning == Meaning::expand, op.name, " is no composite");
  if (op.precision != Precision::low && op.precision != Precision::pass)
    for (Value& v : inputs)
      if (v && is_low(v.dtype())) v = cast(v, DType::f32);
  Values out = op.expand(to, node, inputs);
  check(out.size() == node.types().size(), op.name, " expands to ", out.size(), " values instead of ",
        node.types().size());
  for (size_t k = 0; k < out.size(); k++)
    if (out[k]) out[k] = cast(out[k], node.type(static_cast<int>(k)).dtype);
  return out;
}

Node* add_kernel(Graph& graph, Values inputs, std::unique_ptr<Graph> body) {
  return graph.add(get_op("Kernel"), std::move(inputs), {}, std::move(body));
}

Value constant_like(Value v, double number) { return v.node->graph().constant(number, v.dtype()); }

Value operator+(Value a, Value b) { return apply("Add", {a, b}); }
Value operator-(Value a, Value b) { return apply("Sub", {a, b}); }
Value operator*(Value a, Value b) { return apply("Mul", {a, b}); }
Value operator/(Value a, Value b) { return apply("Div", {a, b}); }
Value operator-(Value a) { return apply("Neg", {a}); }
Value operator+(Value a, double b) { return with_number("Add", a, b); }
Value operator-(Value a, double b) { return with_number("Sub", a, b); }
Value operator*(Value a, double b) { return with_number("Mul", a, b); }
Value operator/(Value a, double b) { return with_number("Div", a, b); }
Value operator-(double a, Value b) { return constant_like(b, a) - b; }
Value operator/(double a, Value b) { return constant_like(b, a) / b; }
Value abs(Value v) { return apply("Abs", {v}); }
Value exp(Value v) { return apply("Exp", {v}); }
Value log(Value v) { return apply("Log", {v}); }
Value log1p(Value v) { return apply("Log1p", {v}); }
Value sqrt(Value v) { return apply("Sqrt", {v}); }
Value tanh(Value v) { return apply("Tanh", {v}); }
Value sigmoid(Value v) { return apply("Sigmoid", {v}); }
Value erf(Value v) { return apply("Erf", {v}); }
Value sin(Value v) { return apply("Sin", {v}); }
Value cos(Value v) { return apply("Cos", {v}); }
Value sign(Value v) { return apply("Sign", {v}); }
Value floor(Value v) { return apply("Floor", {v}); }
Value minimum(Value a, Value b) { return apply("Min", {a, b}); }
Value maximum(Value a, Value b) { return apply("Max", {a, b}); }
Value pow(Value a, Value b) { return apply("Pow", {a, b}); }
Value equal(Value a, Value b) { return apply("Equal", {a, b}); }
Value less(Value a, Value b) { return apply("Less", {a, b}); }
Value less_equal(Value a, Value b) { return apply("LessOrEqual", {a, b}); }
Value greater(Value a, Value b) { return less(b, a); }
Value greater_equal(Value a, Value b) { return less_equal(b, a); }
Value logical_and(Value a, Value b) { return apply("And", {a, b}); }
Value logical_or(Value a, Value b) { return apply("Or", {a, b}); }
Value logical_not(Value a) { return apply("Not", {a}); }
Value is_finite(Value v) { return less(abs(v), constant_like(v, std::numeric_limits<double>::infinity())); }
Value where(Value condition, Value yes, Value no) { return apply("Where", {condition, yes, no}); }
Value cast(Value v, DType to) { return v.dtype() == to ? v : apply("Cast", {v}, {{"to", to}}); }

Value reduce_sum(Value v, Ints axes, bool keepdims) { return reduce("ReduceSum", v, std::move(axes), keepdims); }
Value reduce_max(Value v, Ints axes, bool keepdims) { return reduce("ReduceMax", v, std::move(axes), keepdims); }
Value reduce_min(Value v, Ints axes, bool keepdims) { return reduce("ReduceMin", v, std::move(axes), keepdims); }
Value reduce_prod(Value v, Ints axes, bool keepdims) { return reduce("ReduceProd", v, std::move(axes), keepdims); }
Value reduce_mean(Value v, Ints axes, bool keepdims) {
  return reduce("ReduceMean", v, std::move(axes), keepdims);
}

Value sum_to(Value v, const Dims& dims) {
  if (v.dims() == dims) return v;
  size_t lead = v.dims().size() - dims.size();
  Ints axes;
  for (size_t i = 0; i < v.dims().size(); i++)
    if (i < lead || (dims[i - lead] == 1 && v.dims()[i] != 1)) axes.push_back(static_cast<int64_t>(i));
  return reshape(axes.empty() ? v : reduce_sum(v, axes), dims);
}

Value reshape(Value v, const Dims& dims) {
  if (v.dims() == dims) return v;
  return apply("Reshape", {v}, {{"shape", dims}, {"allowzero", int64_t{1}}});
}

Value transpose(Value v, const Ints& perm) {
  Ints same(perm.size());
  std::iota(same.begin(), same.end(), 0);
  return perm == same ? v : apply("Transpose", {v}, {{"perm", perm}});
}

Value expand(Value v, const Dims& dims) { return v.dims() == dims ? v : apply("Expand", {v}, {{"shape", dims}}); }

Value slice(Value v, const Ints& starts, const Ints& ends, const Ints& axes, const Ints& steps) {
  return apply("Slice", {v}, {{"starts", starts}, {"ends", ends}, {"axes", axes}, {"steps", steps}});
}

Value unslice(Value v, const Dims& dims, const Ints& starts, const Ints& axes, const Ints& steps) {
  if (v.dims() == dims && axes.empty()) return v;
  return apply("Unslice", {v}, {{"shape", dims}, {"starts", starts}, {"axes", axes}, {"steps", steps}});
}

Value pad(Value v, const Ints& begins, const Ints& ends, double fill) {
  Ints pads = begins;
  pads.insert(pads.end(), ends.begin(), ends.end());
  if (pads == Ints(pads.size())) return v;
  Attrs attrs{{"pads", pads}};
  if (fill != 0) attrs["value"] = fill;
  return apply("Pad", {v}, std::move(attrs));
}

Value concat(const Values& parts, int64_t axis) {
  return parts.size() == 1 ? parts[0] : apply("Concat", parts, {{"axis", axis}});
}

Value iota(Graph& graph, const Dims& dims, int64_t axis, DType dtype) {
  return graph.add(get_op("Iota"), {}, {{"shape", dims}, {"axis", axis}, {"dtype", dtype}})->out();
}

Value window(Value v, const WindowSpec& spec, double fill) {
  return apply("Window", {v}, window_attrs(spec, spec.outputs, fill));
}

Value unwindow(Value v, const WindowSpec& spec, const Dims& inputs) {
  return apply("Unwindow", {v}, window_attrs(spec, inputs, 0));
}

Value dot(Value a, Value b, const DotSpec& spec, Value bias) {
  Attrs attrs;
  if (spec.trans_a) attrs["trans_a"] = int64_t{1};
  if (spec.trans_b) attrs["trans_b"] = int64_t{1};
  if (spec.out && *spec.out != a.dtype()) attrs["out"] = *spec.out;
  return apply("Dot", {a, b, bias}, std::move(attrs));
}

Value convolution(Value x, Value w, const ConvolutionSpec& spec, Value bias) {
  return apply("Convolution", {x, w, bias}, convolution_attrs(spec));
}

Value convolution_input_grad(Value dy, Value w, const Dims& x_dims, const ConvolutionSpec& spec) {
  Attrs attrs = convolution_attrs(spec);
  attrs["shape"] = x_dims;
  return apply("ConvolutionInputGrad", {dy, w}, std::move(attrs));
}

Value convolution_weight_grad(Value x, Value dy, const Dims& w_dims, const ConvolutionSpec& spec) {
  Attrs attrs = convolution_attrs(spec);
  attrs["shape"] = w_dims;
  return apply("ConvolutionWeightGrad", {x, dy}, std::move(attrs));
}

Value random_uniform(Value key, const Dims& dims, int64_t stream) {
  return apply("RandomUniform", {key}, {{"shape", dims}, {"stream", stream}});
}

}  // namespace mezzo::ir
