// attention_kernel.cpp: scaled dot-product attention and its gradient as kernels, so that the scores (queries
// x keys) need not stand in memory.
//   S = scale * Q K^T, softcap * tanh(S / softcap) with softcap > 0, + mask (float) or -inf where mask (bool)
//   is false or the key lies outside of the band [lower, upper] around the query;  Y = softmax(S) V;
//   LogSumExp = log sum exp S.
// Q [B, H, S, D], K [B, G, T, D], V [B, G, T, E], Y [B, H, S, E] with G dividing H: H / G neighbouring heads
// share one of K and V. Operands listed in inner_heads (0 Q, 1 K, 2 V, 3 Y) are stored [B, S, H, D] instead.
// mask broadcasts to [B, H, S, T]; LogSumExp is [B, H, S, 1]. Scores, softmax and sums are f32 (f64 for f64).
// A query that sees no key gets 0, LogSumExp -inf, and no gradient. With narrow_weights (excess numerics)
// whoever computes them may round the weights P, and dS, to the operands' type before they are multiplied;
// the evaluator does not.
// With ratio > 0 a Dropout stands between softmax and V, as the op of that name with this ratio and stream:
// the weights [B, H, S, T] are multiplied by D, 0 or 1 / (1 - ratio), which the random key decides.
//
// The gradient computes P = exp(S - LogSumExp) again, and D: with dP = D * dY V^T and
// r = rowsum(dY * Y) - dLogSumExp it is dS = P * (dP - r), dQ = scale * dS K, dK = scale * dS^T Q,
// dV = (D * P)^T dY.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/attention.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/philox.h"

namespace mezzo::ir {

namespace {

using In = AttentionInput;

constexpr int64_t kUnbounded = int64_t{1} << 40;  // beyond every sequence
constexpr double kInfinity = std::numeric_limits<double>::infinity();

const std::vector<AttrSpec> kAttrs = {{"scale", 1.0},
                                      {"softcap", 0.0},
                                      {"lower", 0, AttrSpec::optional},
                                      {"upper", 0, AttrSpec::optional},
                                      {"ratio", 0.0},
                                      {"stream", 0},
                                      {"inner_heads", Ints{}},
                                      {"narrow_weights", 0}};

bool inner(const Node& n, int64_t operand) {
  const Ints& list = n.ints("inner_heads");
  return std::find(list.begin(), list.end(), operand) != list.end();
}

// dims as stored <-> [B, H, S, D].
Dims swapped(Dims dims, bool swap) {
  if (swap) std::swap(dims[1], dims[2]);
  return dims;
}

AttentionStrides strides(const Dims& stored, bool inner) {
  const Dims s = strides_of(stored);
  return {s[0], inner ? s[2] : s[1], inner ? s[1] : s[2]};
}

void check_operands(const Node& n) {
  const Type &q = n.in_type(In::q), &k = n.in_type(In::k), &v = n.in_type(In::v);
  require(is_float(q.dtype) && k.dtype == q.dtype && v.dtype == q.dtype, "operands are ", name(q.dtype), ", ",
          name(k.dtype), " and ", name(v.dtype), ", expected one float type");
  require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "operands ", to_string(q), ", ", to_string(k),
          " and ", to_string(v), " must have 4 axes");
  for (int64_t i : n.ints("inner_heads")) require(i >= 0 && i <= 3, "inner_heads names operand ", i);
  const Dims qd = swapped(q.dims, inner(n, 0)), kd = swapped(k.dims, inner(n, 1)),
             vd = swapped(v.dims, inner(n, 2));
  require(kd[0] == qd[0] && vd[0] == qd[0] && kd[1] == vd[1] && kd[2] == vd[2] && kd[3] == qd[3], "operands ",
          to_string(q), ", ", to_string(k), " and ", to_string(v), " do not fit together");
  require(kd[1] >= 1 && qd[1] % kd[1] == 0, kd[1], " key heads do not divide ", qd[1], " query heads");
  require(n.f("ratio") >= 0 && n.f("ratio") <= 1, "ratio ", n.f("ratio"), " is not in [0, 1]");
  const size_t key = attention_key_input(n);
  require(n.has(key) == (n.f("ratio") > 0), "a ratio above 0 and a random key come together");
  if (n.has(key))
    require(n.in_type(key) == Type{DType::u32, {2}}, "the random key is ", to_string(n.in_type(key)),
            ", expected u32[2]");
  const size_t position = attention_mask_input(n);
  if (!n.has(position)) return;
  const Type& mask = n.in_type(position);
  const Dims scores{qd[0], qd[1], qd[2], kd[2]};
  require(mask.dtype == DType::boolean || mask.dtype == compute_type(q.dtype) || mask.dtype == q.dtype,
          "mask is ", name(mask.dtype), ", expected bool or ", name(compute_type(q.dtype)));
  require(mask.rank() == 4 && broadcast(mask.dims, scores) == scores, "mask ", to_string(mask.dims),
          " does not broadcast to ", to_string(scores));
}

Dims stored_y(const Node& n) {
  const Dims q = swapped(n.in_type(In::q).dims, inner(n, 0)), v = swapped(n.in_type(In::v).dims, inner(n, 2));
  return swapped({q[0], q[1], q[2], v[3]}, inner(n, 3));
}

Dims row_dims(const Node& n) {
  const Dims q = swapped(n.in_type(In::q).dims, inner(n, 0));
  return {q[0], q[1], q[2], 1};
}

// The operands as T, and the scores of one query.
template <class T>
struct Reader {
  AttentionSizes s;
  const std::vector<const Tensor*>& in;
  std::vector<T> q, k, v;
  const Tensor* mask = nullptr;
  uint32_t seed = 0, step = 0;

  Reader(const Node& n, const std::vector<const Tensor*>& inputs)
      : s(attention_sizes(n)), in(inputs), q(all(In::q)), k(all(In::k)), v(all(In::v)) {
    if (s.has_mask) mask = inputs[attention_mask_input(n)];
    if (!s.dropout) return;
    const Tensor& key = *inputs[attention_key_input(n)];
    seed = static_cast<uint32_t>(key.get_int(0)) ^ s.dropout->stream;
    step = static_cast<uint32_t>(key.get_int(1));
  }

  // What the Dropout makes of x, a weight of these coordinates.
  T dropped(T x, int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (!s.dropout) return x;
    const int64_t at = ((b * s.heads + h) * s.queries + i) * s.keys + j;
    const bool kept = philox(static_cast<uint32_t>(at), step, seed) >> 8 >= s.dropout->threshold;
    return kept ? x * static_cast<T>(s.dropout->factor) : T(0);
  }

  std::vector<T> all(size_t i) const {
    std::vector<T> out(static_cast<size_t>(in[i]->count()));
    for (size_t e = 0; e < out.size(); e++) out[e] = static_cast<T>(in[i]->get(static_cast<int64_t>(e)));
    return out;
  }
  static T* row(std::vector<T>& data, const AttentionStrides& st, int64_t b, int64_t h, int64_t i) {
    return data.data() + b * st.batch + h * st.head + i * st.row;
  }
  // Of keys [0, keys); `slope`: d score / d (scale * q k), from softcap.
  void scores(int64_t b, int64_t h, int64_t i, std::vector<T>& score, std::vector<T>& slope) {
    const T* query = row(q, s.q, b, h, i);
    for (int64_t j = 0; j < s.keys; j++) {
      auto at = static_cast<size_t>(j);
      score[at] = static_cast<T>(-kInfinity), slope[at] = 1;
      if (j - i < s.lower || j - i > s.upper) continue;
      const int64_t m = b * s.mask[0] + h * s.mask[1] + i * s.mask[2] + j * s.mask[3];
      if (s.has_mask && !s.mask_is_float && mask->get_int(m) == 0) continue;
      const T* key = row(k, s.k, b, h / s.group(), j);
      T sum = 0;
      for (int64_t d = 0; d < s.head; d++) sum += query[d] * key[d];
      sum *= static_cast<T>(s.scale);
      if (s.softcap > 0) {
        const T t = std::tanh(sum / static_cast<T>(s.softcap));
        sum = t * static_cast<T>(s.softcap), slope[at] = 1 - t * t;
      }
      if (s.has_mask && s.mask_is_float) sum += static_cast<T>(mask->get(m));
      score[at] = sum;
    }
  }
};

template <class T>
void attend(const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
  Reader<T> r(n, in);
  const AttentionSizes& s = r.s;
  std::vector<T> p(static_cast<size_t>(s.keys)), slope(p.size()), y(static_cast<size_t>(s.value));
  for (int64_t b = 0; b < s.batch; b++)
    for (int64_t h = 0; h < s.heads; h++)
      for (int64_t i = 0; i < s.queries; i++) {
        r.scores(b, h, i, p, slope);
        T top = static_cast<T>(-kInfinity), sum = 0;
        for (T score : p) top = std::max(top, score);
        std::fill(y.begin(), y.end(), T(0));
        for (int64_t j = 0; j < s.keys && top > -kInfinity; j++) {
          const T share = std::exp(p[static_cast<size_t>(j)] - top);
          const T* value = r.row(r.v, s.v, b, h / s.group(), j);
          sum += share;
          const T weight = r.dropped(share, b, h, i, j);
          for (size_t e = 0; e < y.size(); e++) y[e] += weight * value[e];
        }
        const int64_t to = b * s.y.batch + h * s.y.head + i * s.y.row;
        for (size_t e = 0; e < y.size(); e++)
          out[0].set(to + static_cast<int64_t>(e), static_cast<double>(sum > 0 ? y[e] / sum : y[e]));
        out[1].set((b * s.heads + h) * s.queries + i,
                   static_cast<double>(sum > 0 ? top + std::log(sum) : top));
      }
}

template <class T>
void attend_gradient(const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
  Reader<T> r(n, in);
  const AttentionSizes& s = r.s;
  std::vector<T> y = r.all(In::y), dy = r.all(In::dy), lse = r.all(In::log_sum_exp);
  std::vector<T> dq(r.q.size()), dk(r.k.size()), dv(r.v.size());
  std::vector<T> p(static_cast<size_t>(s.keys)), slope(p.size());
  for (int64_t b = 0; b < s.batch; b++)
    for (int64_t h = 0; h < s.heads; h++)
      for (int64_t i = 0; i < s.queries; i++) {
        r.scores(b, h, i, p, slope);
        const int64_t row = (b * s.heads + h) * s.queries + i;
        const T total = lse[static_cast<size_t>(row)];
        const T *own = r.row(y, s.y, b, h, i), *down = r.row(dy, s.y, b, h, i);
        T rest = n.has(In::d_log_sum_exp) ? static_cast<T>(-in[In::d_log_sum_exp]->get(row)) : T(0);
        for (int64_t e = 0; e < s.value; e++) rest += own[e] * down[e];
        const T* query = r.row(r.q, s.q, b, h, i);
        T* dquery = r.row(dq, s.q, b, h, i);
        for (int64_t j = 0; j < s.keys; j++) {
          auto at = static_cast<size_t>(j);
          const T share = total > -kInfinity ? std::exp(p[at] - total) : T(0);
          const T *key = r.row(r.k, s.k, b, h / s.group(), j), *value = r.row(r.v, s.v, b, h / s.group(), j);
          T *dkey = r.row(dk, s.k, b, h / s.group(), j), *dvalue = r.row(dv, s.v, b, h / s.group(), j);
          const T weight = r.dropped(share, b, h, i, j);
          T dp = 0;
          for (int64_t e = 0; e < s.value; e++) {
            dp += down[e] * value[e];
            dvalue[e] += weight * down[e];
          }
          dp = r.dropped(dp, b, h, i, j);
          const T ds = share * (dp - rest), step = ds * slope[at] * static_cast<T>(s.scale);
          for (int64_t d = 0; d < s.head; d++) {
            dquery[d] += step * key[d];
            dkey[d] += step * query[d];
          }
          if (out.size() > 3) out[3].set(row * s.keys + j, static_cast<double>(ds));
        }
      }
  for (size_t k = 0; k < 3; k++) {
    const std::vector<T>& from = k == 0 ? dq : k == 1 ? dk : dv;
    for (size_t e = 0; e < from.size(); e++)
      out[k].set(static_cast<int64_t>(e), static_cast<double>(from[e]));
  }
}

const OpDef attention = {
    .name = "ScaledDotProductAttention",
    .min_inputs = 3,
    .max_inputs = 5,
    .attrs = kAttrs,
    .precision = Precision::low,
    .meaning = Meaning::kernel,
    .infer = [](const Node& n) -> std::vector<Type> {
      check_operands(n);
      const DType dtype = n.in_type(In::q).dtype;
      return {{dtype, stored_y(n)}, {compute_type(dtype), row_dims(n)}};
    },
    .evaluate =
        [](const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
          if (out[0].dtype() == DType::f64) return attend<double>(n, in, out);
          attend<float>(n, in, out);
        },
    .grad = [](Grad& g) -> Values {
      Graph& graph = g.in[0].node->graph();
      Attrs attrs = g.node.attrs();
      const bool mask = g.node.has(In::forward_mask) && g.needs[In::forward_mask];
      if (mask) attrs["scores"] = int64_t{1};
      Value dy = g.dy[0] ? g.dy[0] : expand(constant_like(g.out[0], 0), g.out[0].dims());
      Value mask_in = g.node.has(In::forward_mask) ? g.in[In::forward_mask] : Value{};
      Value key_in = g.node.has(In::forward_key) ? g.in[In::forward_key] : Value{};
      Node* d =
          graph.add(get_op("ScaledDotProductAttentionGrad"),
                    {g.in[In::q], g.in[In::k], g.in[In::v], g.out[0], g.out[1], dy, mask_in, g.dy[1], key_in},
                    std::move(attrs));
      Values out{d->out(0), d->out(1), d->out(2)};
      if (mask) out.push_back(d->out(3));
      return out;
    },
    .no_grad_inputs = {In::forward_key},
    .f32_inputs = {In::forward_mask},
    .decompositions = attention_decompositions,
};
MEZZO_REGISTER_OP(attention);

// Gradients of Q, K and V in their types and orders; with `scores` also dS, [B, H, S, T], the gradient of a
// float mask.
const OpDef attention_gradient = {
    .name = "ScaledDotProductAttentionGrad",
    .min_inputs = 6,
    .max_inputs = 9,
    .attrs =
        [] {
          std::vector<AttrSpec> attrs = kAttrs;
          attrs.push_back({"scores", 0});
          return attrs;
        }(),
    .precision = Precision::low,
    .meaning = Meaning::kernel,
    .infer = [](const Node& n) -> std::vector<Type> {
      check_operands(n);
      const Type& q = n.in_type(In::q);
      const Type y{q.dtype, stored_y(n)}, rows{compute_type(q.dtype), row_dims(n)};
      require(n.in_type(In::y) == y && n.in_type(In::dy) == y, "Y and dY are ", to_string(n.in_type(In::y)),
              " and ", to_string(n.in_type(In::dy)), ", expected ", to_string(y));
      require(n.in_type(In::log_sum_exp) == rows, "LogSumExp is ", to_string(n.in_type(In::log_sum_exp)),
              ", expected ", to_string(rows));
      if (n.has(In::d_log_sum_exp))
        require(n.in_type(In::d_log_sum_exp) == rows, "dLogSumExp has another type");
      std::vector<Type> types{q, n.in_type(In::k), n.in_type(In::v)};
      if (n.i("scores") != 0) {
        Dims dims = row_dims(n);
        dims[3] = swapped(n.in_type(In::k).dims, inner(n, 1))[2];
        types.push_back({compute_type(q.dtype), dims});
      }
      return types;
    },
    .evaluate =
        [](const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
          if (out[0].dtype() == DType::f64) return attend_gradient<double>(n, in, out);
          attend_gradient<float>(n, in, out);
        },
    .grad = not_differentiable,
    .f32_inputs = {In::log_sum_exp, In::gradient_mask, In::d_log_sum_exp},
};
MEZZO_REGISTER_OP(attention_gradient);

}  // namespace

bool is_attention(const Node& n) { return &n.op() == &attention; }
bool is_attention_gradient(const Node& n) { return &n.op() == &attention_gradient; }
size_t attention_mask_input(const Node& n) { return is_attention(n) ? In::forward_mask : In::gradient_mask; }
size_t attention_key_input(const Node& n) { return is_attention(n) ? In::forward_key : In::gradient_key; }

int64_t AttentionSizes::first_key(int64_t from) const { return std::clamp<int64_t>(from + lower, 0, keys); }
int64_t AttentionSizes::last_key(int64_t to) const { return std::clamp<int64_t>(to + upper, 0, keys); }

AttentionSizes attention_sizes(const Node& n) {
  const Dims &q = n.in_type(In::q).dims, &k = n.in_type(In::k).dims, &v = n.in_type(In::v).dims;
  const Dims qd = swapped(q, inner(n, 0)), kd = swapped(k, inner(n, 1)), vd = swapped(v, inner(n, 2));
  AttentionSizes s{};
  s.batch = qd[0], s.heads = qd[1], s.kv_heads = kd[1], s.queries = qd[2], s.keys = kd[2];
  s.head = qd[3], s.value = vd[3];
  s.q = strides(q, inner(n, 0)), s.k = strides(k, inner(n, 1)), s.v = strides(v, inner(n, 2));
  s.y = strides(stored_y(n), inner(n, 3));
  const size_t mask = attention_mask_input(n);
  s.has_mask = n.has(mask);
  if (s.has_mask) {
    s.mask_is_float = is_float(n.in_type(mask).dtype);
    const Dims& dims = n.in_type(mask).dims;
    const Dims steps = strides_of(dims);
    for (size_t i = 0; i < 4; i++) s.mask[i] = dims[i] == 1 ? 0 : steps[i];
  }
  if (const double ratio = n.f("ratio"); ratio > 0)
    s.dropout = {philox_stream(n.i("stream")), dropout_threshold(ratio), dropout_factor(ratio)};
  s.scale = n.f("scale"), s.softcap = n.f("softcap");
  s.lower = n.has_attr("lower") ? std::max(n.i("lower"), -kUnbounded) : -kUnbounded;
  s.upper = n.has_attr("upper") ? std::min(n.i("upper"), kUnbounded) : kUnbounded;
  return s;
}

}  // namespace mezzo::ir
