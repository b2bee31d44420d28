// attention_dropout.cpp: attention in training with a Dropout of the weights, which the attention kernels do
// not draw. Scores, mask and softmax are f32 from the first product's accumulator to the rounding of the
// dropped weights; written as separate ops each step would be rounded, and scores beyond fp16 be infinite.
#include <algorithm>
#include <limits>

#include "ir/attention.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/pattern.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kQueries, kKeys, kValues, kKey, kMask, kShow };

std::vector<Type> infer(const Node& n) {
  const Type &q = n.in_type(kQueries), &k = n.in_type(kKeys), &v = n.in_type(kValues);
  require(is_float(q.dtype) && k.dtype == q.dtype && v.dtype == q.dtype, "operands are ", name(q.dtype), ", ",
          name(k.dtype), " and ", name(v.dtype));
  const size_t rank = q.dims.size();
  require(rank >= 2 && k.dims.size() == rank && v.dims.size() == rank, "operands ", to_string(q.dims), ", ",
          to_string(k.dims), " and ", to_string(v.dims), " differ in rank");
  Dims scores = q.dims, out = q.dims;
  scores[rank - 1] = k.dims[rank - 1], out[rank - 1] = v.dims[rank - 1];
  Dims keys = q.dims, values = q.dims;
  keys[rank - 2] = q.dims[rank - 1], keys[rank - 1] = k.dims[rank - 1];
  values[rank - 2] = k.dims[rank - 1], values[rank - 1] = v.dims[rank - 1];
  require(k.dims == keys && v.dims == values, "operands ", to_string(q.dims), ", ", to_string(k.dims),
          " and ", to_string(v.dims), " do not fit together");
  require(n.in_type(kKey) == Type{DType::u32, {2}}, "the random key is ", to_string(n.in_type(kKey)),
          ", expected u32[2]");
  for (size_t i : {kMask, kShow})
    if (n.has(i))
      require(is_float(n.in_type(i).dtype) == (i == kMask) && broadcast(n.in_type(i).dims, scores) == scores,
              "a mask ", to_string(n.in_type(i)), " for scores ", to_string(scores));
  require(n.f("ratio") >= 0 && n.f("ratio") <= 1, "ratio ", n.f("ratio"), " is not in [0, 1]");
  return {{q.dtype, out}};
}

Values expand_attention(Graph&, const Node& n, const Values& in) {
  const DType compute = compute_type(in[kQueries].dtype());
  Value scores = apply("MatMul", {in[kQueries], in[kKeys]}, {{"out", compute}});
  scores = scores * n.f("scale");
  if (n.has(kShow)) scores = where(in[kShow], scores, constant_like(scores, n.f("hidden")));
  if (n.has(kMask)) scores = scores + cast(in[kMask], compute);
  Value weights = apply("Softmax", {scores});
  weights = apply("Dropout", {weights, in[kKey]},
                  {{"ratio", n.f("ratio")}, {"training_mode", int64_t{1}}, {"stream", n.i("stream")}});
  return {apply("MatMul", {cast(weights, in[kQueries].dtype()), in[kValues]})};
}

double factor(const Match& m, std::string_view by, std::string_view over) {
  return m.has_number(by) ? m.number(by) : m.has_number(over) ? 1 / m.number(over) : 1;
}

bool fits(const Match& m) {
  const Node& softmax = m.node("softmax");
  const Value product = m.value("product"), queries = m.value("q"), values = m.value("v");
  const int rank = product.rank();
  return rank >= 3 && softmax.type() == product.type() && product.type().count() > 0 &&
         normalize_axis(softmax.i("axis"), rank) == rank - 1 && queries.rank() == rank &&
         m.value("k").rank() == rank && values.rank() == rank &&
         std::equal(product.dims().begin(), product.dims().end() - 2, queries.dims().begin()) &&
         std::equal(product.dims().begin(), product.dims().end() - 2, m.value("k").dims().begin()) &&
         std::equal(product.dims().begin(), product.dims().end() - 2, values.dims().begin());
}

Values build(Graph& to, const Match& m, const NewValue& now) {
  const Node& dropout = m.node("weights");
  Attrs attrs{{"ratio", dropout.f("ratio")},
              {"stream", dropout.i("stream")},
              {"scale", factor(m, "factor", "divisor") * factor(m, "q_factor", "q_divisor") *
                            factor(m, "k_factor", "k_divisor")}};
  Values inputs{now(m.value("q")), now(m.value("k")), now(m.value("v")), now(m.value("key"))};
  inputs.resize(6);
  if (m.has("mask")) inputs[kMask] = now(m.value("mask"));
  if (m.has("show")) inputs[kShow] = now(m.value("show"));
  if (m.has("hide")) inputs[kShow] = logical_not(now(m.value("hide")));
  if (inputs[kShow]) attrs["hidden"] = m.number("low");
  return {to.add(get_op("DropoutAttention"), inputs, std::move(attrs))->out(0)};
}

const std::vector<Decomposition>& decompositions() {
  static const std::string pattern =
      mezzo::concat("y = MatMul(weights, v); weights = Dropout(clean, key);", kScoresPattern);
  static const std::vector<Decomposition> list = {{.pattern = pattern, .fits = fits, .build = build}};
  return list;
}

// Queries [.., S, D], keys [.., D, T], values [.., T, E], the random key, a float mask that is added, a bool
// mask of what is shown; what is not has the score `hidden`. `stream` as Dropout's.
const OpDef op = {
    .name = "DropoutAttention",
    .min_inputs = 4,
    .max_inputs = 6,
    .attrs = {{"ratio", 0.5},
              {"stream", 0},
              {"scale", 1.0},
              {"hidden", -std::numeric_limits<double>::infinity()}},
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_attention,
    .no_grad_inputs = {kKey, kShow},
    .f32_inputs = {kMask},
    .decompositions = decompositions,
};
MEZZO_REGISTER_OP(op);

}  // namespace
}  // namespace mezzo::ir
