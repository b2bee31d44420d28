// attention.cpp: ONNX Attention: Y = softmax(scale * Q K^T, capped, + masks) V over [B, H, S, D] operands, or
// over [B, S, H * D] ones with the numbers of heads given. The attention kernel computes Y without the scores
// in memory; qk_matmul_output, where somebody reads it, is made from products.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/attention.h"
#include "ir/ops/standardize.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kQ, kK, kV, kMask, kPastK, kPastV, kValid };
enum Output : size_t { kY, kPresentK, kPresentV, kScores };
enum ScoresMode : int64_t { kProduct, kCapped, kBiased, kSoftmax };

struct Sizes {
  bool packed;  // operands are [B, S, H * D]
  int64_t batch, heads, kv_heads, queries, keys, past, head, value;
  int64_t total() const { return past + keys; }
};

int64_t count_heads(const Node& n, const char* attr, int64_t width) {
  const int64_t heads = n.has_attr(attr) ? n.i(attr) : 0;
  require(heads > 0 && width % heads == 0, attr, " ", heads, " does not divide ", width);
  return heads;
}

Sizes sizes(const Node& n) {
  const Dims &q = n.in_type(kQ).dims, &k = n.in_type(kK).dims, &v = n.in_type(kV).dims;
  require((q.size() == 3 || q.size() == 4) && k.size() == q.size() && v.size() == q.size(), "Q ",
          to_string(q), ", K ", to_string(k), " and V ", to_string(v), " must all have 3 or all have 4 axes");
  Sizes s{q.size() == 3, q[0], 0, 0, 0, 0, 0, 0, 0};
  if (s.packed) {
    s.heads = count_heads(n, "q_num_heads", q[2]), s.kv_heads = count_heads(n, "kv_num_heads", k[2]);
    require(v[2] % s.kv_heads == 0, "kv_num_heads ", s.kv_heads, " does not divide ", v[2]);
    s.queries = q[1], s.keys = k[1], s.head = q[2] / s.heads, s.value = v[2] / s.kv_heads;
  } else {
    s.heads = q[1], s.kv_heads = k[1], s.queries = q[2], s.keys = k[2], s.head = q[3], s.value = v[3];
  }
  require(n.has(kPastK) == n.has(kPastV), "past_key and past_value must be given together");
  if (n.has(kPastK)) {
    const Dims& past = n.in_type(kPastK).dims;
    require(past.size() == 4, "past_key ", to_string(past), " must have 4 axes");
    require(!n.has(kValid), "nonpad_kv_seqlen cannot be combined with past_key");
    s.past = past[2];
  }
  return s;
}

std::vector<Type> infer(const Node& n) {
  const Type& q = float_input(n);
  const Sizes s = sizes(n);
  for (size_t i : {kK, kV, kPastK, kPastV})
    if (n.has(i))
      require(n.in_type(i).dtype == q.dtype, "input ", i, " is ", name(n.in_type(i).dtype), ", Q is ",
              name(q.dtype));
  require(s.kv_heads >= 1 && s.heads % s.kv_heads == 0, s.kv_heads, " key heads do not divide ", s.heads,
          " query heads");
  const Dims key{s.batch, s.kv_heads, s.total(), s.head}, value{s.batch, s.kv_heads, s.total(), s.value};
  if (n.has(kPastK)) {
    Dims past_key = key, past_value = value;
    past_key[2] = past_value[2] = s.past;
    require(n.in_type(kPastK).dims == past_key && n.in_type(kPastV).dims == past_value,
            "past_key and past_value are ", to_string(n.in_type(kPastK).dims), " and ",
            to_string(n.in_type(kPastV).dims), ", expected ", to_string(past_key), " and ",
            to_string(past_value));
  }
  const Dims scores{s.batch, s.heads, s.queries, s.total()};
  if (n.has(kMask)) {
    Dims mask = n.in_type(kMask).dims;
    require(!mask.empty() && mask.back() <= s.total(), "mask ", to_string(mask), " does not fit ",
            to_string(scores));
    if (mask.back() != 1) mask.back() = s.total();
    require(mask.size() <= 4 && broadcast(mask, scores) == scores, "mask ", to_string(n.in_type(kMask).dims),
            " does not broadcast to ", to_string(scores));
    const DType dtype = n.in_type(kMask).dtype;
    require(dtype == DType::boolean || compute_type(dtype) == compute_type(q.dtype), "mask is ", name(dtype),
            ", expected bool or ", name(q.dtype));
  }
  if (n.has(kValid))
    require(is_integer(n.in_type(kValid).dtype) && n.in_type(kValid).dims == Dims{s.batch},
            "nonpad_kv_seqlen is ", to_string(n.in_type(kValid)), ", expected i64", to_string(Dims{s.batch}));
  const int64_t mode = n.i("qk_matmul_output_mode");
  require(mode >= kProduct && mode <= kSoftmax, "qk_matmul_output_mode ", mode, " is none of 0, 1, 2, 3");
  constexpr int64_t kDouble = 11;  // ONNX's number of the element type
  if (n.has_attr("softmax_precision") && n.i("softmax_precision") == kDouble && q.dtype != DType::f64)
    throw Error(ErrorCode::unsupported, "softmax_precision 11: the softmax is computed in float");
  const Dims y =
      s.packed ? Dims{s.batch, s.queries, s.heads * s.value} : Dims{s.batch, s.heads, s.queries, s.value};
  return {{q.dtype, y}, {q.dtype, key}, {q.dtype, value}, {q.dtype, scores}};
}

// Which keys a query may see, apart from attn_mask: lower <= key - query <= upper, plus, with
// nonpad_kv_seqlen, the query's place in its sample.
struct Band {
  std::optional<int64_t> lower, upper;
};
Band band_of(const Node& n, int64_t offset) {
  Band band;
  if (n.i("left_window_size") >= 0) band.lower = offset - n.i("left_window_size");
  if (n.i("right_window_size") >= 0) band.upper = offset + n.i("right_window_size");
  if (n.i("is_causal") != 0) band.upper = std::min(band.upper.value_or(offset), offset);
  return band;
}

// bool [B, 1, S or 1, T]: the key is no padding and lies in the band around the query, whose place in the
// sample is counted from the end of its valid keys.
Value valid_keys(Graph& to, const Node& n, const Sizes& s, Value lengths) {
  Value length = reshape(cast(lengths, DType::i32), {s.batch, 1, 1, 1});
  Value key = iota(to, {1, 1, 1, s.total()}, 3, DType::i32);
  Value seen = less(key, length);
  Value place =
      key - (iota(to, {1, 1, s.queries, 1}, 2, DType::i32) + (length - static_cast<double>(s.queries)));
  const Band band = band_of(n, 0);
  auto bound = [&](int64_t v) { return constant_like(place, static_cast<double>(v)); };
  if (band.lower) seen = logical_and(seen, greater_equal(place, bound(*band.lower)));
  if (band.upper) seen = logical_and(seen, less_equal(place, bound(*band.upper)));
  return seen;
}

constexpr double kHidden = -std::numeric_limits<double>::infinity();

// attn_mask and the padding as one mask of 4 axes, bool or float; absent without either.
Value joined_mask(Graph& to, const Node& n, const Sizes& s, const Values& in) {
  Value mask;
  if (n.has(kMask)) {
    mask = in[kMask];
    Dims dims(static_cast<size_t>(4 - mask.rank()), 1);
    dims.insert(dims.end(), mask.dims().begin(), mask.dims().end());
    mask = reshape(mask, dims);
    const bool floats = is_float(mask.dtype());
    if (floats) mask = cast(mask, compute_type(mask.dtype()));
    if (dims[3] != 1 && dims[3] != s.total()) {
      dims[3] = s.total() - dims[3];
      mask = concat({mask, expand(constant_like(mask, floats ? kHidden : 0), dims)}, 3);
    }
  }
  if (!n.has(kValid)) return mask;
  Value seen = valid_keys(to, n, s, in[kValid]);
  if (!mask) return seen;
  return is_float(mask.dtype()) ? where(seen, mask, constant_like(mask, kHidden)) : logical_and(seen, mask);
}

double scale_of(const Node& n, const Sizes& s) {
  return n.has_attr("scale") ? n.f("scale") : 1 / std::sqrt(static_cast<double>(s.head));
}

// The scores [B, H, S, T] as qk_matmul_output shows them, in f32 (f64).
Value shown_scores(Graph& to, const Node& n, const Sizes& s, Value q, Value k, Value mask) {
  const int64_t mode = n.i("qk_matmul_output_mode"), group = s.heads / s.kv_heads;
  const DType wide = compute_type(q.dtype());
  Value left = reshape(q, {s.batch, s.kv_heads, group * s.queries, s.head});
  Value scores = reshape(dot(left, k, {.trans_b = true, .out = wide}), n.type(kScores).dims) * scale_of(n, s);
  const double cap = n.f("softcap");
  if (mode >= kCapped && cap > 0) scores = tanh(scores / cap) * cap;
  if (mode < kBiased) return scores;
  auto hide = [&](Value seen) { return where(seen, scores, constant_like(scores, kHidden)); };
  if (mask) scores = is_float(mask.dtype()) ? scores + mask : hide(mask);
  const Band band = n.has(kValid) ? Band{} : band_of(n, s.past);
  Value place = iota(to, {1, 1, 1, s.total()}, 3, DType::i32) - iota(to, {1, 1, s.queries, 1}, 2, DType::i32);
  auto bound = [&](int64_t v) { return constant_like(place, static_cast<double>(v)); };
  if (band.lower) scores = hide(greater_equal(place, bound(*band.lower)));
  if (band.upper) scores = hide(less_equal(place, bound(*band.upper)));
  return mode == kSoftmax ? apply("Softmax", {scores}, {{"axis", int64_t{-1}}}) : scores;
}

Values expand_attention(Graph& to, const Node& n, const Values& in) {
  const Sizes s = sizes(n);
  Attrs attrs{{"scale", scale_of(n, s)}, {"softcap", n.f("softcap")}};
  const Band band = n.has(kValid) ? Band{} : band_of(n, s.past);
  if (band.lower) attrs["lower"] = *band.lower;
  if (band.upper) attrs["upper"] = *band.upper;
  Value q = in[kQ], k = in[kK], v = in[kV];
  // Packed operands are read where they stand; [B, H, S, D] is made of them only for the outputs that have
  // this order.
  Value q4 = q, k4 = k, v4 = v;
  Ints inner;
  if (s.packed) {
    q = reshape(q, {s.batch, s.queries, s.heads, s.head});
    k = reshape(k, {s.batch, s.keys, s.kv_heads, s.head});
    v = reshape(v, {s.batch, s.keys, s.kv_heads, s.value});
    q4 = transpose(q, {0, 2, 1, 3}), k4 = transpose(k, {0, 2, 1, 3}), v4 = transpose(v, {0, 2, 1, 3});
    inner = {0, 1, 2, 3};
  }
  if (n.has(kPastK)) {
    k = k4 = concat({in[kPastK], k4}, 2);
    v = v4 = concat({in[kPastV], v4}, 2);
    if (s.packed) inner = {0, 3};
  }
  if (!inner.empty()) attrs["inner_heads"] = inner;
  Value mask = joined_mask(to, n, s, in);
  Values operands{q, k, v};
  if (mask) operands.push_back(mask);
  Value y = apply("ScaledDotProductAttention", operands, std::move(attrs));
  return {reshape(y, n.type(kY).dims), k4, v4, shown_scores(to, n, s, q4, k4, mask)};
}

const OpDef attention = {
    .name = "Attention",
    .min_inputs = 3,
    .max_inputs = 7,
    .attrs = {{"is_causal", 0},
              {"kv_num_heads", 0, AttrSpec::optional},
              {"left_window_size", -1},
              {"q_num_heads", 0, AttrSpec::optional},
              {"qk_matmul_output_mode", 0},
              {"right_window_size", -1},
              {"scale", 1.0, AttrSpec::optional},
              {"softcap", 0.0},
              {"softmax_precision", 1, AttrSpec::optional}},
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_attention,
    .f32_inputs = {kMask},
};
MEZZO_REGISTER_OP(attention);

}  // namespace
}  // namespace mezzo::ir
