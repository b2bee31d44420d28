// reduce.cpp: reductions over axes. The four primitives fold; the others are formulas on them.
#include <algorithm>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {

// No axes means all, or none with noop_with_empty_axes.
Ints folded_axes(const Node& n) {
  Ints axes = n.ints("axes");
  int64_t rank = n.in_type(0).rank();
  if (axes.empty() && n.i("noop_with_empty_axes") == 0)
    for (int64_t i = 0; i < rank; i++) axes.push_back(i);
  for (int64_t& a : axes) a = normalize_axis(a, rank);
  std::sort(axes.begin(), axes.end());
  require(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is given twice");
  return axes;
}

namespace {

Dims kept_dims(const Node& n, bool keepdims) {
  Dims dims = n.in_type(0).dims, out;
  Ints axes = folded_axes(n);
  for (size_t i = 0; i < dims.size(); i++) {
    bool folded = std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(i));
    if (!folded || keepdims) out.push_back(folded ? 1 : dims[i]);
  }
  return out;
}

std::vector<Type> infer_reduce(const Node& n) {
  return {{n.in_type(0).dtype, kept_dims(n, n.i("keepdims") != 0)}};
}

// dy or y of a reduction with the folded axes back as extents of 1.
Value keep(const Grad& g, Value v) { return reshape(v, kept_dims(g.node, true)); }

Values grad_sum(Grad& g) { return {expand(keep(g, g.dy[0]), g.node.in_type(0).dims)}; }

// Ties share the gradient evenly.
Values grad_extremum(Grad& g) {
  Value x = g.in[0];
  Value hit = cast(equal(x, keep(g, g.out[0])), x.dtype());
  return {hit * (keep(g, g.dy[0]) / reduce_sum(hit, folded_axes(g.node)))};
}

// Safe at zeros: without one, y / x; with one, only it gets the product of the others; with more, nothing does.
Values grad_prod(Grad& g) {
  Value x = g.in[0], dy = keep(g, g.dy[0]);
  Ints axes = folded_axes(g.node);
  Value zero = equal(x, constant_like(x, 0));
  Value zeros = reduce_sum(cast(zero, x.dtype()), axes);
  Value others = reduce_prod(where(zero, constant_like(x, 1), x), axes);
  Value none = equal(zeros, constant_like(x, 0)), one = equal(zeros, constant_like(x, 1));
  Value nothing = constant_like(x, 0);
  return {where(zero, where(one, dy * others, nothing),
                where(none, dy * others / where(zero, constant_like(x, 1), x), nothing))};
}

std::optional<Attrs> permuted_reduce(const Node& n, const Ints& perm, Ints* out_perm) {
  if (n.i("keepdims") == 0) return std::nullopt;
  Ints axes;
  for (int64_t a : folded_axes(n)) axes.push_back(perm[static_cast<size_t>(a)]);
  std::sort(axes.begin(), axes.end());
  *out_perm = perm;
  return Attrs{{"axes", axes}, {"keepdims", int64_t{1}}, {"noop_with_empty_axes", int64_t{axes.empty()}}};
}

const std::vector<AttrSpec> kReduceAttrs = {
    {"axes", Ints{}}, {"keepdims", int64_t{1}}, {"noop_with_empty_axes", int64_t{0}}};

OpDef fold(std::string_view name, Reduction how, Precision precision, Values (*grad)(Grad&)) {
  return {.name = name,
          .attrs = kReduceAttrs,
          .precision = precision,
          .meaning = Meaning::reduce,
          .infer = infer_reduce,
          .reduce = how,
          .grad = grad,
          .permuted = permuted_reduce,
          .constant_inputs = {{1, "axes"}}};
}

const OpDef sum_op = fold("ReduceSum", Reduction::sum, Precision::unbounded, grad_sum);
const OpDef max_op = fold("ReduceMax", Reduction::max, Precision::pass, grad_extremum);
const OpDef min_op = fold("ReduceMin", Reduction::min, Precision::pass, grad_extremum);
const OpDef prod_op = fold("ReduceProd", Reduction::prod, Precision::unbounded, grad_prod);
MEZZO_REGISTER_OP(sum_op);
MEZZO_REGISTER_OP(max_op);
MEZZO_REGISTER_OP(min_op);
MEZZO_REGISTER_OP(prod_op);

using Expansion = Values (*)(Graph&, const Node&, const Values&);

OpDef formula(std::string_view name, Precision precision, Expansion expansion, Values (*grad)(Grad&) = nullptr) {
  return {.name = name,
          .attrs = kReduceAttrs,
          .precision = precision,
          .meaning = Meaning::expand,
          .infer = infer_reduce,
          .expand = expansion,
          .grad = grad,
          .constant_inputs = {{1, "axes"}}};
}

// Sum of v over the node's axes in the node's shape.
Value fold_sum(const Node& n, Value v) { return reshape(reduce_sum(v, folded_axes(n)), n.type().dims); }

int64_t folded_count(const Node& n) {
  int64_t count = 1;
  for (int64_t a : folded_axes(n)) count *= n.in_type(0).dims[static_cast<size_t>(a)];
  return count;
}

const OpDef mean_op = formula(
    "ReduceMean", Precision::bounded,
    [](Graph&, const Node& n, const Values& in) -> Values {
      Value count = constant_like(in[0], static_cast<double>(folded_count(n)));
      return {fold_sum(n, in[0]) / count};
    },
    [](Grad& g) -> Values {
      return {expand(keep(g, g.dy[0]) / static_cast<double>(folded_count(g.node)), g.node.in_type(0).dims)};
    });
const OpDef sum_square_op =
    formula("ReduceSumSquare", Precision::unbounded,
            [](Graph&, const Node& n, const Values& in) -> Values { return {fold_sum(n, in[0] * in[0])}; });
const OpDef l1_op = formula(
    "ReduceL1", Precision::unbounded,
    [](Graph&, const Node& n, const Values& in) -> Values { return {fold_sum(n, abs(in[0]))}; });
// The gradient at 0 is 0, not 0/0.
const OpDef l2_op = formula(
    "ReduceL2", Precision::unbounded,
    [](Graph&, const Node& n, const Values& in) -> Values { return {sqrt(fold_sum(n, in[0] * in[0]))}; },
    [](Grad& g) -> Values {
      Value y = keep(g, g.out[0]), zero = equal(y, constant_like(y, 0));
      Value scale = where(zero, constant_like(y, 0), keep(g, g.dy[0]) / where(zero, constant_like(y, 1), y));
      return {g.in[0] * scale};
    });
const OpDef log_sum_op =
    formula("ReduceLogSum", Precision::unbounded,
            [](Graph&, const Node& n, const Values& in) -> Values { return {log(fold_sum(n, in[0]))}; });
// Shifted by the maximum, through which no gradient flows: softmax(x) * dy.
const OpDef log_sum_exp_op = formula(
    "ReduceLogSumExp", Precision::unbounded,
    [](Graph&, const Node& n, const Values& in) -> Values {
      Value top = reduce_max(in[0], folded_axes(n));
      Value safe = where(is_finite(top), top, constant_like(top, 0));
      Value sum = reduce_sum(exp(in[0] - safe), folded_axes(n));
      return {reshape(log(sum) + safe, n.type().dims)};
    },
    [](Grad& g) -> Values { return {exp(g.in[0] - keep(g, g.out[0])) * keep(g, g.dy[0])}; });
MEZZO_REGISTER_OP(mean_op);
MEZZO_REGISTER_OP(sum_square_op);
MEZZO_REGISTER_OP(l1_op);
MEZZO_REGISTER_OP(l2_op);
MEZZO_REGISTER_OP(log_sum_op);
MEZZO_REGISTER_OP(log_sum_exp_op);

}  // namespace
}  // namespace mezzo::ir
