// conv_transpose.cpp: ONNX ConvTranspose, 1 to 3 spatial axes. It is the gradient of a convolution with
// respect to its input: X stands where that convolution's output gradient does, and W [C, M/group, kernel...]
// is its weight as stored.
#include <algorithm>

#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

// Above this the products below could leave 64 bits.
constexpr int64_t kMaxNumber = int64_t{1} << 31;

Ints numbers(const Node& n, std::string_view attr, size_t count, int64_t fallback, int64_t least) {
  Ints values(count, fallback);
  if (n.has_attr(attr) && !n.ints(attr).empty()) values = n.ints(attr);
  require(values.size() == count, attr, " has ", values.size(), " numbers, expected ", count);
  for (int64_t v : values)
    require(v >= least && v < kMaxNumber, attr, " ", v, " is out of range: at least ", least);
  return values;
}

int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// The convolution whose gradient this is, and the extents of Y.
struct Transposed {
  ConvolutionSpec spec;
  Ints outputs;
};

Transposed transposed(const Node& n) {
  const Dims &x = n.in_type(0).dims, &w = n.in_type(1).dims;
  require(x.size() >= 3 && x.size() <= 5, "input ", to_string(x),
          " must have a batch, a channel and 1 to 3 spatial axes");
  require(w.size() == x.size(), "weight ", to_string(w), " does not fit an input of shape ", to_string(x));
  const Ints inputs = spatial_of(x), kernel = spatial_of(w);
  const size_t axes = inputs.size();
  if (n.has_attr("kernel_shape") && !n.ints("kernel_shape").empty())
    require(n.ints("kernel_shape") == kernel, "kernel_shape ", to_string(n.ints("kernel_shape")),
            " is not that of the weight ", to_string(w));
  const Ints strides = numbers(n, "strides", axes, 1, 1), dilations = numbers(n, "dilations", axes, 1, 1),
             pads = numbers(n, "pads", 2 * axes, 0, 0), extra = numbers(n, "output_padding", axes, 0, 0);
  Ints shape;
  if (n.has_attr("output_shape")) shape = n.ints("output_shape");
  if (shape.size() == axes + 2) shape = spatial_of(shape);  // some writers give all of Y's dims
  require(shape.empty() || shape.size() == axes, "output_shape has ", shape.size(), " numbers for ", axes,
          " spatial axes");
  const std::string& mode = n.s("auto_pad");
  const bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  require(same || mode == "NOTSET" || mode == "VALID" || mode.empty(), "auto_pad '", mode,
          "' is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER");
  Transposed t;
  t.spec = {.strides = strides, .dilations = dilations, .groups = n.i("group")};
  for (size_t i = 0; i < axes; i++) {
    require(kernel[i] >= 1 && kernel[i] < kMaxNumber && inputs[i] >= 1, "spatial axis ", i, " is empty");
    const int64_t stride = strides[i], whole = (inputs[i] - 1) * stride + (kernel[i] - 1) * dilations[i] + 1;
    int64_t begin = 0, end = 0, outputs = 0;
    if (!shape.empty() || same) {
      outputs = shape.empty() ? inputs[i] * stride : shape[i];
      const int64_t total = std::max<int64_t>(whole + extra[i] - outputs, 0);
      begin = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
      end = total - begin;
    } else {
      if (mode != "VALID") begin = pads[i], end = pads[axes + i];
      outputs = whole + extra[i] - begin - end;
    }
    require(outputs >= 1, "the output extent of spatial axis ", i, " is ", outputs);
    // The convolution of Y must have exactly X's extents: what Y has beyond the last whole stride (it gets
    // the bias only) is taken off as negative padding.
    end -= floor_quotient(outputs + begin + end - whole, stride) * stride;
    t.spec.pads_begin.push_back(begin);
    t.spec.pads_end.push_back(end);
    t.outputs.push_back(outputs);
  }
  return t;
}

std::vector<Type> infer(const Node& n) {
  const Type &x = n.in_type(0), &w = n.in_type(1);
  require(is_float(x.dtype) && w.dtype == x.dtype, "input is ", name(x.dtype), ", weight is ", name(w.dtype));
  const Transposed t = transposed(n);
  const int64_t groups = n.i("group");
  require(groups >= 1 && x.dims[1] == w.dims[0] && x.dims[1] % groups == 0, "weight ", to_string(w.dims),
          " with group ", groups, " does not fit ", x.dims[1], " input channels");
  const int64_t channels = element_count({w.dims[1], groups});
  require(channels >= 1, "there are no output channels");
  if (n.has(2))
    require(n.in_type(2).dims == Dims{channels}, "bias ", to_string(n.in_type(2).dims), " must be [",
            channels, "]");
  const Dims out = with_spatial({x.dims[0], channels}, t.outputs);
  element_count(out);
  return {{x.dtype, out}};
}

Values expand_conv_transpose(Graph&, const Node& n, const Values& in) {
  ConvolutionSpec spec = transposed(n).spec;
  spec.out = compute_type(in[0].dtype());
  Value y = convolution_input_grad(in[0], in[1], n.type().dims, spec);
  if (n.has(2)) {
    Dims channel(n.type().dims.size(), 1);
    channel[1] = n.type().dims[1];
    y = y + reshape(cast(in[2], *spec.out), channel);
  }
  return {y};
}

// Y = transpose of conv(., W), so dX = conv(dY, W), and W's gradient is that of conv with the two activations
// swapped.
Values grad(Grad& g) {
  Value x = g.in[0], w = g.in[1], dy = g.dy[0];
  ConvolutionSpec spec = transposed(g.node).spec;
  spec.out = compute_type(x.dtype());
  Values d(g.in.size());
  if (g.needs[0]) d[0] = convolution(dy, w, spec);
  if (g.needs[1]) d[1] = convolution_weight_grad(dy, x, w.dims(), spec);
  if (d.size() > 2 && g.needs[2]) {
    Ints axes = axis_range(2, dy.rank());
    axes.insert(axes.begin(), 0);
    d[2] = reshape(reduce_sum(cast(dy, *spec.out), axes), g.in[2].dims());
  }
  return d;
}

const OpDef conv_transpose = {
    .name = "ConvTranspose",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = window_attrs({{"group", 1},
                           {"kernel_shape", Ints{}, AttrSpec::optional},
                           {"output_padding", Ints{}, AttrSpec::optional},
                           {"output_shape", Ints{}, AttrSpec::optional}}),
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_conv_transpose,
    .grad = grad,
    .f32_inputs = {2},
};
MEZZO_REGISTER_OP(conv_transpose);

}  // namespace
}  // namespace mezzo::ir
