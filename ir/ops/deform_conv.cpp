// deform_conv.cpp: ONNX DeformConv with two spatial axes: a convolution whose taps read beside their places,
// by offsets in data, scaled by a mask. Taps are read by linear interpolation, and one product with W
// follows.
#include "ir/op.h"
#include "ir/ops/sampling.h"
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kX, kW, kOffset, kB, kMask };

SlidingWindows windows_of(const Node& n) {
  const Dims &x = n.in_type(kX).dims, &w = n.in_type(kW).dims;
  require(x.size() == 4 && w.size() == 4, "input ", to_string(x), " and weight ", to_string(w),
          "; two spatial axes are supported");
  if (n.has_attr("kernel_shape") && !n.ints("kernel_shape").empty())
    require(n.ints("kernel_shape") == spatial_of(w), "kernel_shape ", to_string(n.ints("kernel_shape")),
            " is not that of the weight ", to_string(w));
  return sliding_windows(n, spatial_of(w));
}

std::vector<Type> infer(const Node& n) {
  const Type &x = n.in_type(kX), &w = n.in_type(kW);
  const SlidingWindows s = windows_of(n);
  require(is_float(x.dtype) && w.dtype == x.dtype, "input is ", name(x.dtype), ", weight is ", name(w.dtype));
  const int64_t groups = n.i("group"), fields = n.i("offset_group"), channels = x.dims[1],
                filters = w.dims[0];
  require(groups >= 1 && fields >= 1 && channels % groups == 0 && filters % groups == 0 &&
              channels % fields == 0 && w.dims[1] == channels / groups,
          "weight ", to_string(w.dims), " with group ", groups, " and offset_group ", fields,
          " does not fit ", channels, " input channels");
  const int64_t taps = element_count(s.kernel);
  auto expect = [&](size_t input, std::string_view what, const Dims& dims) {
    if (n.has(input))
      require(n.in_type(input).dims == dims && compute_type(n.in_type(input).dtype) == compute_type(x.dtype),
              what, " is ", to_string(n.in_type(input)), ", expected ", to_string(dims));
  };
  expect(kOffset, "offset", {x.dims[0], 2 * fields * taps, s.outputs[0], s.outputs[1]});
  expect(kMask, "mask", {x.dims[0], fields * taps, s.outputs[0], s.outputs[1]});
  expect(kB, "bias", {filters});
  const Dims out{x.dims[0], filters, s.outputs[0], s.outputs[1]};
  element_count(out);
  return {{x.dtype, out}};
}

// Where tap k of output p stands along `axis` without an offset, [1, 1, taps * places].
Value places(Graph& to, const SlidingWindows& s, size_t axis, DType dtype) {
  const int64_t taps = element_count(s.kernel), count = element_count(s.outputs);
  Tensor t(Type{dtype, {1, 1, taps * count}});
  for (int64_t k = 0; k < taps; k++)
    for (int64_t p = 0; p < count; p++) {
      const int64_t tap = axis == 0 ? k / s.kernel[1] : k % s.kernel[1];
      const int64_t out = axis == 0 ? p / s.outputs[1] : p % s.outputs[1];
      t.set(k * count + p,
            static_cast<double>(out * s.strides[axis] + tap * s.dilations[axis] - s.pads_begin[axis]));
    }
  return to.constant(std::move(t));
}

Values expand_deform_conv(Graph& to, const Node& n, const Values& in) {
  const SlidingWindows s = windows_of(n);
  const Dims &x = in[kX].dims(), &w = in[kW].dims();
  const DType wide = compute_type(in[kX].dtype());
  const int64_t taps = element_count(s.kernel), count = element_count(s.outputs),
                fields = n.i("offset_group"), groups = n.i("group"), per_field = x[1] / fields;
  Value images = cast(reshape(in[kX], {x[0], x[1], x[2] * x[3]}), wide);
  Value offsets = reshape(cast(in[kOffset], wide), {x[0], fields, taps, 2, count});
  Values columns;
  for (int64_t f = 0; f < fields; f++) {
    Values at;
    for (size_t axis = 0; axis < 2; axis++) {
      const auto a = static_cast<int64_t>(axis);
      Value moved = slice(offsets, {f, a}, {f + 1, a + 1}, {1, 3}, {1, 1});
      at.push_back(places(to, s, axis, wide) + reshape(moved, {x[0], 1, taps * count}));
    }
    Value field = slice(images, {f * per_field}, {(f + 1) * per_field}, {1}, {1});
    Value read = sample_linear(field, {x[2], x[3]}, at);
    if (n.has(kMask)) {
      Value mask = reshape(cast(in[kMask], wide), {x[0], fields, taps * count});
      read = read * slice(mask, {f}, {f + 1}, {1}, {1});
    }
    columns.push_back(read);
  }
  Value rows = cast(reshape(concat(columns, 1), {x[0], groups, x[1] / groups * taps, count}), in[kX].dtype());
  Value y = dot(reshape(in[kW], {1, groups, w[0] / groups, w[1] * taps}), rows, {.out = wide});
  y = reshape(y, n.type().dims);
  if (n.has(kB)) y = y + reshape(cast(in[kB], wide), {1, w[0], 1, 1});
  return {y};
}

const OpDef deform_conv = {
    .name = "DeformConv",
    .min_inputs = 3,
    .max_inputs = 5,
    .attrs = window_attrs({{"group", 1}, {"kernel_shape", Ints{}, AttrSpec::optional}, {"offset_group", 1}}),
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_deform_conv,
    .f32_inputs = {kOffset, kB, kMask},
};
MEZZO_REGISTER_OP(deform_conv);

}  // namespace
}  // namespace mezzo::ir
