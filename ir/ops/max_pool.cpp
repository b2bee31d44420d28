// max_pool.cpp: ONNX MaxPool and GlobalMaxPool. Where several elements of a window equal the maximum, the
// first one in row-major order is meant: Indices names it and the gradient goes to it.
#include <limits>

#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

// MaxPool's outputs: ONNX's two and, per output element, the row-major position of the maximum in its window
// (i32), which the gradient needs.
enum Output : size_t { kY, kIndices, kPosition };

double lowest(DType t) {
  switch (t) {
    case DType::i8: return std::numeric_limits<int8_t>::min();
    case DType::i16: return std::numeric_limits<int16_t>::min();
    case DType::i32: return std::numeric_limits<int32_t>::min();
    case DType::i64: return static_cast<double>(std::numeric_limits<int64_t>::min());
    default: return is_float(t) ? -std::numeric_limits<double>::infinity() : 0;
  }
}

SlidingWindows windows_of(const Node& n) {
  return sliding_windows(n, n.ints("kernel_shape"), n.i("ceil_mode") != 0);
}

// Shapes around [N, C, O..., K...].
struct View {
  Dims pooled;   // [N, C, O...]
  Dims kept;     // [N, C, O..., 1...]
  Dims windows;  // [N, C, O..., K...]
  Ints kernel_axes;
};

View view_of(const Dims& x, const SlidingWindows& w) {
  View v;
  v.pooled = v.kept = v.windows = with_spatial(x, w.outputs);
  v.kept.insert(v.kept.end(), w.kernel.size(), 1);
  v.windows.insert(v.windows.end(), w.kernel.begin(), w.kernel.end());
  v.kernel_axes = axis_range(static_cast<int64_t>(v.pooled.size()), static_cast<int64_t>(v.windows.size()));
  return v;
}

std::vector<Type> infer(const Node& n) {
  const Type& x = n.in_type(0);
  require(x.dtype != DType::boolean, "input is bool");
  const Dims out = with_spatial(x.dims, windows_of(n).outputs);
  element_count(out);
  return {{x.dtype, out}, {DType::i64, out}, {DType::i32, out}};
}

// Offset of the maximum in the input tensor; storage_order 1 counts the spatial axes column by column.
Value indices(const Node& n, Value position, const SlidingWindows& w) {
  Graph& graph = position.node->graph();
  const Dims& pooled = position.dims();
  const Ints inputs = spatial_of(n.in_type(0).dims);
  const bool columns = n.i("storage_order") != 0;
  Value rest = cast(position, DType::i64), offset;
  int64_t area = 1;
  Ints strides(inputs.size());
  for (size_t k = 0; k < inputs.size(); k++) {
    const size_t axis = columns ? k : inputs.size() - 1 - k;
    strides[axis] = area;
    area *= inputs[axis];
  }
  for (size_t axis = inputs.size(); axis-- > 0;) {
    // The digit of this axis in the position, which is a number in mixed radix.
    Value above = axis == 0 ? Value{} : rest / static_cast<double>(w.kernel[axis]);
    Value k = above ? rest - above * static_cast<double>(w.kernel[axis]) : rest;
    rest = above;
    Dims line(pooled.size(), 1);
    line[axis + 2] = pooled[axis + 2];
    Value start = iota(graph, line, static_cast<int64_t>(axis) + 2) * static_cast<double>(w.strides[axis]) -
                  static_cast<double>(w.pads_begin[axis]);
    Value at = (k * static_cast<double>(w.dilations[axis]) + start) * static_cast<double>(strides[axis]);
    offset = offset ? offset + at : at;
  }
  Dims channel(pooled.size(), 1), batch(pooled.size(), 1);
  channel[1] = pooled[1];
  batch[0] = pooled[0];
  Value plane = iota(graph, batch, 0) * static_cast<double>(pooled[1]) + iota(graph, channel, 1);
  return offset + plane * static_cast<double>(area);
}

Values expand_max_pool(Graph&, const Node& n, const Values& in) {
  const SlidingWindows w = windows_of(n);
  const View v = view_of(in[0].dims(), w);
  const DType dtype = in[0].dtype();
  Value windows = cast(window(in[0], w.spec(), lowest(dtype)), compute_type(dtype));
  Value peak = reduce_max(windows, v.kernel_axes);
  Value position = reshape(first_position(windows, peak, v.kernel_axes), v.pooled);
  return {cast(reshape(peak, v.pooled), dtype), indices(n, position, w), position};
}

// dX[d] = sum over k of dY[o] * (position[o] == k), where o's k-th element is d: a gather, so the order of
// the sum is fixed and no two threads write one place.
Values grad(Grad& g) {
  const SlidingWindows w = windows_of(g.node);
  const View v = view_of(g.in[0].dims(), w);
  Value dy = g.dy[kY];
  if (!dy) return {Value{}};
  Value here = flat_position(dy.node->graph(), v.windows, v.kernel_axes);
  Value chosen = equal(reshape(g.out[kPosition], v.kept), here);
  Value routed = where(chosen, reshape(dy, v.kept), constant_like(dy, 0));
  Value back = unwindow(routed, w.spec(), spatial_of(g.in[0].dims()));
  return {reshape(reduce_sum(back, v.kernel_axes), g.in[0].dims())};
}

const OpDef max_pool = {
    .name = "MaxPool",
    .attrs =
        window_attrs({{"ceil_mode", 0}, {"kernel_shape", Ints{}, AttrSpec::required}, {"storage_order", 0}}),
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_max_pool,
    .grad = grad,
};
MEZZO_REGISTER_OP(max_pool);

// GlobalMaxPool: outputs Y [N, C, 1...] and the row-major position of the maximum (i32) for the gradient.
const OpDef global_max_pool = {
    .name = "GlobalMaxPool",
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = n.in_type(0);
      require(x.rank() >= 3, "input ", to_string(x.dims), " must have a batch, a channel and spatial axes");
      const Ints spatial = spatial_of(x.dims);
      require(element_count(spatial) >= 1, "the maximum over no elements is not defined");
      const Dims out = with_spatial(x.dims, Ints(spatial.size(), 1));
      return {{x.dtype, out}, {DType::i32, out}};
    },
    .expand = [](Graph&, const Node&, const Values& in) -> Values {
      const DType dtype = in[0].dtype();
      const Ints axes = axis_range(2, in[0].rank());
      Value x = cast(in[0], compute_type(dtype));
      Value peak = reduce_max(x, axes);
      return {cast(peak, dtype), first_position(x, peak, axes)};
    },
    .grad = [](Grad& g) -> Values {
      if (!g.dy[0]) return {Value{}};
      Value x = g.in[0];
      Value here = flat_position(x.node->graph(), x.dims(), axis_range(2, x.rank()));
      return {where(equal(g.out[1], here), g.dy[0], constant_like(g.dy[0], 0))};
    },
};
MEZZO_REGISTER_OP(global_max_pool);

}  // namespace
}  // namespace mezzo::ir
