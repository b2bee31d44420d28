// average_pool.cpp: ONNX AveragePool and GlobalAveragePool. Without count_include_pad a window is divided by
// the number of input elements in it; with it, padding counts too, but not what ceil_mode lets a window reach
// beyond the padding.
#include <algorithm>

#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

SlidingWindows windows_of(const Node& n) {
  return sliding_windows(n, n.ints("kernel_shape"), n.i("ceil_mode") != 0);
}

// How many elements the windows along one axis count.
Ints counts_along(const SlidingWindows& w, size_t axis, int64_t extent, bool include_pad) {
  const int64_t first = include_pad ? -w.pads_begin[axis] : 0;
  const int64_t last = include_pad ? extent + w.pads_end[axis] : extent;
  Ints counts;
  for (int64_t o = 0; o < w.outputs[axis]; o++) {
    // Positions start + k * dilation in [first, last).
    const int64_t start = o * w.strides[axis] - w.pads_begin[axis], step = w.dilations[axis];
    const int64_t low = start >= first ? 0 : (first - start + step - 1) / step;
    const int64_t high = start >= last ? 0 : std::min(w.kernel[axis], (last - start + step - 1) / step);
    counts.push_back(std::max<int64_t>(high - low, 0));
  }
  return counts;
}

// The divisors, [1, 1, O...] or a scalar when they are all equal. A window on padding only has sum 0 and
// divisor 1.
Value divisors(Value like, const Node& n, const SlidingWindows& w) {
  const Ints inputs = spatial_of(n.in_type(0).dims);
  Dims dims{1, 1};
  dims.insert(dims.end(), w.outputs.begin(), w.outputs.end());
  std::vector<double> values{1};
  for (size_t axis = 0; axis < inputs.size(); axis++) {
    const Ints counts = counts_along(w, axis, inputs[axis], n.i("count_include_pad") != 0);
    std::vector<double> product;
    for (double outer : values)
      for (int64_t c : counts) product.push_back(outer * static_cast<double>(c));
    values = std::move(product);
  }
  for (double& v : values) v = std::max(v, 1.0);
  const bool uniform = std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
  if (uniform) return constant_like(like, values.empty() ? 1 : values[0]);
  return like.node->graph().constant(Tensor::of(dims, values, like.dtype()));
}

const OpDef average_pool = {
    .name = "AveragePool",
    .attrs = window_attrs(
        {{"ceil_mode", 0}, {"count_include_pad", 0}, {"kernel_shape", Ints{}, AttrSpec::required}}),
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = n.in_type(0);
      require(is_float(x.dtype), "input is ", name(x.dtype), ", expected a float");
      const Dims out = with_spatial(x.dims, windows_of(n).outputs);
      element_count(out);
      return {{x.dtype, out}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const SlidingWindows w = windows_of(n);
      const int64_t rank = in[0].rank();
      Value sum = reduce_sum(window(in[0], w.spec()), axis_range(rank, 2 * rank - 2));
      return {reshape(sum, n.type().dims) / divisors(in[0], n, w)};
    },
};
MEZZO_REGISTER_OP(average_pool);

const OpDef global_average_pool = {
    .name = "GlobalAveragePool",
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = n.in_type(0);
      require(is_float(x.dtype) && x.rank() >= 3, "input ", to_string(x),
              " must be float, with a batch, a channel and spatial axes");
      const Ints spatial = spatial_of(x.dims);
      require(element_count(spatial) >= 1, "the mean over no elements is not defined");
      return {{x.dtype, with_spatial(x.dims, Ints(spatial.size(), 1))}};
    },
    .expand = [](Graph&, const Node&, const Values& in) -> Values {
      return {reduce_mean(in[0], axis_range(2, in[0].rank()))};
    },
};
MEZZO_REGISTER_OP(global_average_pool);

}  // namespace
}  // namespace mezzo::ir
