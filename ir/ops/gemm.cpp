// gemm.cpp: ONNX Gemm: Y = alpha * A' * B' + beta * C, with A' = transA ? A^T : A, and C broadcast to [M, N].
// `out` is not ONNX's: the dtype of the result where it is the accumulator's instead of the operands'.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

struct Sizes {
  int64_t m, k, n;
};

Sizes sizes(const Node& node) {
  const Dims &a = node.in_type(0).dims, &b = node.in_type(1).dims;
  require(a.size() == 2 && b.size() == 2, "operands ", to_string(a), " and ", to_string(b),
          " must be matrices");
  const bool ta = node.i("transA") != 0, tb = node.i("transB") != 0;
  const int64_t inner = a[ta ? 0 : 1];
  require(inner == b[tb ? 1 : 0], "operands ", to_string(a), ta ? " (transposed)" : "", " and ", to_string(b),
          tb ? " (transposed)" : "", " do not fit together");
  return {a[ta ? 1 : 0], inner, b[tb ? 0 : 1]};
}

std::vector<Type> infer(const Node& node) {
  const Sizes s = sizes(node);
  const DType dtype = node.in_type(0).dtype;
  require(is_float(dtype) && node.in_type(1).dtype == dtype, "operands are ", name(dtype), " and ",
          name(node.in_type(1).dtype));
  const Dims out{s.m, s.n};
  element_count(out);
  if (node.has(2)) {
    const Dims& c = node.in_type(2).dims;
    require(c.size() <= 2 && broadcast(c, out) == out, "C ", to_string(c), " does not broadcast to ",
            to_string(out));
  }
  const DType result = node.has_attr("out") ? node.dtype("out") : dtype;
  require(result == dtype || result == compute_type(dtype), "a product of ", name(dtype), " cannot be ",
          name(result));
  return {{result, out}};
}

Values expand_gemm(Graph&, const Node& node, const Values& in) {
  const Sizes s = sizes(node);
  DotSpec spec{.trans_a = node.i("transA") != 0, .trans_b = node.i("transB") != 0, .out = node.type().dtype};
  const double alpha = node.f("alpha"), beta = node.f("beta");
  const DType accumulator = compute_type(in[0].dtype());
  const bool has_c = node.has(2) && beta != 0;
  if (has_c) {
    const Dims& c = in[2].dims();
    if (alpha == 1 && beta == 1 && element_count(c) == s.n && (c.empty() || c.back() == s.n))
      return {dot(in[0], in[1], spec, cast(reshape(in[2], {s.n}), accumulator))};
  } else if (alpha == 1) {
    return {dot(in[0], in[1], spec)};
  }
  spec.out = accumulator;
  Value y = dot(in[0], in[1], spec);
  if (alpha != 1) y = y * alpha;
  if (has_c) {
    Value c = cast(in[2], accumulator);
    y = y + (beta == 1 ? c : c * beta);
  }
  return {cast(y, node.type().dtype)};
}

Values grad(Grad& g) {
  const Node& node = g.node;
  const bool ta = node.i("transA") != 0, tb = node.i("transB") != 0;
  const double alpha = node.f("alpha"), beta = node.f("beta");
  const DType accumulator = compute_type(g.in[0].dtype());
  Value a = g.in[0], b = g.in[1], dy = cast(g.dy[0], g.in[0].dtype());
  auto product = [&](Value left, Value right, bool trans_left, bool trans_right) {
    Value p = dot(left, right, {.trans_a = trans_left, .trans_b = trans_right, .out = accumulator});
    return alpha == 1 ? p : p * alpha;
  };
  Values d(g.in.size());
  if (g.needs[0]) d[0] = ta ? product(b, dy, tb, true) : product(dy, b, false, !tb);
  if (g.needs[1]) d[1] = tb ? product(dy, a, true, ta) : product(a, dy, !ta, false);
  if (d.size() > 2 && g.needs[2]) {
    d[2] = cast(g.dy[0], accumulator);
    if (beta != 1) d[2] = d[2] * beta;
  }
  return d;
}

const OpDef gemm = {
    .name = "Gemm",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = {{"alpha", 1.0},
              {"beta", 1.0},
              {"transA", 0},
              {"transB", 0},
              {"out", DType::f32, AttrSpec::optional}},
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_gemm,
    .grad = grad,
    .f32_inputs = {2},
};
MEZZO_REGISTER_OP(gemm);

}  // namespace
}  // namespace mezzo::ir
