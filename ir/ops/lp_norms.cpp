// lp_norms.cpp: ONNX LpNormalization, LpPool and GlobalLpPool: (sum of |x|^p)^(1/p) along an axis, over
// windows, over all spatial axes. The gradient at a norm of 0 is 0.
#include "ir/ops/sliding_windows.h"
#include "ir/ops/standardize.h"

namespace mezzo::ir {
namespace {

int64_t checked_p(const Node& n) {
  const int64_t p = n.i("p");
  require(p >= 1 && p <= 64, "p = ", p, " is out of range: 1 to 64");
  return p;
}

// |v|^p for p >= 1 by multiplication.
Value power(Value v, int64_t p) {
  if (p == 2) return v * v;
  Value out, square = abs(v);
  for (; p > 0; p >>= 1) {
    if (p & 1) out = out ? out * square : square;
    if (p > 1) square = square * square;
  }
  return out;
}

// The p-th root of a sum s >= 0.
Value root(Value s, int64_t p) {
  if (p == 1) return s;
  if (p == 2) return sqrt(s);
  Value zero = equal(s, constant_like(s, 0));
  return where(zero, constant_like(s, 0),
               exp(log(where(zero, constant_like(s, 1), s)) / static_cast<double>(p)));
}

// d norm / d v = sign(v) * (|v| / norm)^(p-1), as a factor per element; 0 where the norm is 0.
Value slope(Value v, Value norm, int64_t p) {
  if (p == 1) return sign(v);
  Value zero = equal(norm, constant_like(norm, 0));
  Value share = v / where(zero, constant_like(norm, 1), norm);
  return p == 2 ? share : sign(v) * power(share, p - 1);
}

int64_t norm_axis(const Node& n) { return normalize_axis(n.i("axis"), n.in_type(0).rank()); }

// x / norm; 0 where the norm is 0, as onnxruntime has it.
struct Normalized {
  Value norm, y, divisor;
};
Normalized normalized(Value x, int64_t axis, int64_t p) {
  Value norm = root(reduce_sum(power(x, p), {axis}), p);
  Value divisor = where(equal(norm, constant_like(norm, 0)), constant_like(norm, 1), norm);
  return {norm, x / divisor, divisor};
}

const OpDef lp_normalization = {
    .name = "LpNormalization",
    .attrs = {{"axis", -1}, {"p", 2}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = float_input(n);
      norm_axis(n);
      require(n.i("p") == 1 || n.i("p") == 2, "p = ", n.i("p"), " is neither 1 nor 2");
      return {x};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      return {normalized(in[0], norm_axis(n), n.i("p")).y};
    },
    // dx = (dy - slope * sum(dy * y)) / norm.
    .grad = [](Grad& g) -> Values {
      const int64_t axis = norm_axis(g.node), p = g.node.i("p");
      Value x = g.in[0], dy = g.dy[0];
      Normalized s = normalized(x, axis, p);
      return {(dy - slope(x, s.norm, p) * reduce_sum(dy * s.y, {axis})) / s.divisor};
    },
};
MEZZO_REGISTER_OP(lp_normalization);

const OpDef global_lp_pool = {
    .name = "GlobalLpPool",
    .attrs = {{"p", 2}},
    .precision = Precision::unbounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = float_input(n);
      require(x.rank() >= 3, "input ", to_string(x), " must have a batch, a channel and spatial axes");
      checked_p(n);
      return {{x.dtype, with_spatial(x.dims, Ints(x.dims.size() - 2, 1))}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const int64_t p = n.i("p");
      return {root(reduce_sum(power(in[0], p), axis_range(2, in[0].rank())), p)};
    },
    .grad = [](Grad& g) -> Values { return {g.dy[0] * slope(g.in[0], g.out[0], g.node.i("p"))}; },
};
MEZZO_REGISTER_OP(global_lp_pool);

SlidingWindows pool_windows(const Node& n) {
  return sliding_windows(n, n.ints("kernel_shape"), n.i("ceil_mode") != 0);
}

const OpDef lp_pool = {
    .name = "LpPool",
    .attrs = window_attrs({{"ceil_mode", 0}, {"kernel_shape", Ints{}, AttrSpec::required}, {"p", 2}}),
    .precision = Precision::unbounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = float_input(n);
      checked_p(n);
      const Dims out = with_spatial(x.dims, pool_windows(n).outputs);
      element_count(out);
      return {{x.dtype, out}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const int64_t rank = in[0].rank(), p = n.i("p");
      Value sum = reduce_sum(window(power(in[0], p), pool_windows(n).spec()), axis_range(rank, 2 * rank - 2));
      return {root(reshape(sum, n.type().dims), p)};
    },
    // An element gets, from every window that has it, the window's gradient times its slope there.
    .grad = [](Grad& g) -> Values {
      const Node& n = g.node;
      const int64_t rank = g.in[0].rank(), p = n.i("p");
      const WindowSpec spec = pool_windows(n).spec();
      Dims dims = g.out[0].dims();
      dims.insert(dims.end(), spec.kernel.begin(), spec.kernel.end());
      Dims one = g.out[0].dims();
      one.insert(one.end(), spec.kernel.size(), 1);
      Value each = slope(window(g.in[0], spec), reshape(g.out[0], one), p) * reshape(g.dy[0], one);
      Value parts = unwindow(each, spec, spatial_of(g.in[0].dims()));
      return {reshape(reduce_sum(parts, axis_range(rank, 2 * rank - 2)), g.in[0].dims())};
    },
};
MEZZO_REGISTER_OP(lp_pool);

}  // namespace
}  // namespace mezzo::ir
