// conv.cpp: ONNX Conv, 1 to 3 spatial axes: Y[n,m,o] = B[m] + sum over c, k of X[n,c,o*s+k*d-p] * W[m,c,k].
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

Ints kernel_of(const Node& n) {
  const Dims &x = n.in_type(0).dims, &w = n.in_type(1).dims;
  require(w.size() == x.size() && w.size() >= 3, "weight ", to_string(w), " does not fit an input of shape ",
          to_string(x));
  Ints kernel = spatial_of(w);
  if (n.has_attr("kernel_shape") && !n.ints("kernel_shape").empty())
    require(n.ints("kernel_shape") == kernel, "kernel_shape ", to_string(n.ints("kernel_shape")),
            " is not that of the weight ", to_string(w));
  return kernel;
}

ConvolutionSpec spec_of(const Node& n) {
  SlidingWindows w = sliding_windows(n, kernel_of(n));
  return {.strides = w.strides,
          .dilations = w.dilations,
          .pads_begin = w.pads_begin,
          .pads_end = w.pads_end,
          .groups = n.i("group")};
}

std::vector<Type> infer(const Node& n) {
  const Type &x = n.in_type(0), &w = n.in_type(1);
  require(is_float(x.dtype) && w.dtype == x.dtype, "input is ", name(x.dtype), ", weight is ", name(w.dtype));
  SlidingWindows windows = sliding_windows(n, kernel_of(n));
  const int64_t groups = n.i("group"), channels = x.dims[1], filters = w.dims[0];
  require(groups >= 1, "group ", groups, " must be at least 1");
  require(channels % groups == 0 && w.dims[1] == channels / groups, "weight ", to_string(w.dims),
          " with group ", groups, " does not fit ", channels, " input channels");
  require(filters >= 1 && filters % groups == 0, "group ", groups, " does not divide the ", filters,
          " output channels");
  if (n.has(2))
    require(n.in_type(2).dims == Dims{filters}, "bias ", to_string(n.in_type(2).dims), " must be [", filters,
            "]");
  Dims out{x.dims[0], filters};
  out.insert(out.end(), windows.outputs.begin(), windows.outputs.end());
  element_count(out);
  return {{x.dtype, out}};
}

Values expand_conv(Graph&, const Node& n, const Values& in) {
  Value bias = n.has(2) ? cast(in[2], compute_type(in[0].dtype())) : Value{};
  return {convolution(in[0], in[1], spec_of(n), bias)};
}

Values grad(Grad& g) {
  Value x = g.in[0], w = g.in[1], dy = g.dy[0];
  ConvolutionSpec spec = spec_of(g.node);
  const DType accumulator = compute_type(x.dtype());
  spec.out = accumulator;
  Values d(g.in.size());
  if (g.needs[0]) d[0] = convolution_input_grad(dy, w, x.dims(), spec);
  if (g.needs[1]) d[1] = convolution_weight_grad(x, dy, w.dims(), spec);
  if (d.size() > 2 && g.needs[2]) {
    Ints axes = axis_range(2, dy.rank());
    axes.insert(axes.begin(), 0);
    d[2] = reshape(reduce_sum(cast(dy, accumulator), axes), g.in[2].dims());
  }
  return d;
}

const OpDef conv = {
    .name = "Conv",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = window_attrs({{"group", 1}, {"kernel_shape", Ints{}, AttrSpec::optional}}),
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_conv,
    .grad = grad,
    .f32_inputs = {2},
};
MEZZO_REGISTER_OP(conv);

}  // namespace
}  // namespace mezzo::ir
