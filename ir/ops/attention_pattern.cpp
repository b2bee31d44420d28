// attention_pattern.cpp: how exporters write scaled dot-product attention: a product of queries and
// transposed keys, scaled before (both factors) or behind, masked by addition or choice, a softmax, a product
// with the values. What brings the operands into the form of these products (transposes, heads repeated for
// grouped queries) is found by composing its index maps, however it is written, and left to the kernel.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/attention.h"
#include "ir/build.h"
#include "ir/pattern.h"

namespace mezzo::ir {
namespace {

constexpr double kHidden = -1e9;  // a score at or below this weighs nothing beside one that was not masked

// A value with the elements of an operand [B, H, S, D]: [B, G, S, D], or [B, S, G, D] when `inner`.
struct Source {
  Value base;
  bool inner = false;
  int64_t heads = 0;  // G
};

// Where a movement op's element comes from; nothing for other ops.
std::optional<Exprs> read_at(const Node& n, const Exprs& at) {
  if (n.input_count() != 1 || n.output_count() != 1) return std::nullopt;
  if (n.op().meaning == Meaning::index) {
    IndexMap map = n.op().index(n, at);
    if (map.value || map.accesses.size() != 1 || !map.accesses[0].when.empty()) return std::nullopt;
    return map.accesses[0].at;
  }
  const std::string_view op = n.op().name;
  if (op != "Unsqueeze" && op != "Squeeze" && op != "Flatten" && op != "Identity") return std::nullopt;
  return delinearize(linearize(at, n.type().dims), n.in_type(0).dims);
}

// The furthest value from which `v` is moved into its place. `at`: v's coordinates in terms of the operand's,
// whose extents are `dims`.
Source source_of(Value v, Exprs at, const Dims& dims) {
  Exprs operand;
  for (size_t i = 0; i < 4; i++) operand.push_back(Expr::coordinate(static_cast<int>(i), dims[i]));
  Source found;
  while (true) {
    const Dims& d = v.dims();
    for (bool inner : {false, true}) {
      if (d.size() != 4) break;
      const int64_t heads = d[inner ? 2 : 1], sequence = d[inner ? 1 : 2];
      if (d[0] != dims[0] || sequence != dims[2] || d[3] != dims[3] || heads < 1 || dims[1] % heads != 0)
        continue;
      const Expr head = floor_div(operand[1], dims[1] / heads);
      const Exprs expected = inner ? Exprs{operand[0], operand[2], head, operand[3]}
                                   : Exprs{operand[0], head, operand[2], operand[3]};
      if (at != expected) continue;
      found = {v, inner, heads};
      break;
    }
    auto next = read_at(*v.node, at);
    if (!next) return found;
    at = std::move(*next);
    v = v.node->in(0);
  }
}

Exprs coordinates(const Dims& dims) {
  Exprs at;
  for (size_t i = 0; i < dims.size(); i++) at.push_back(Expr::coordinate(static_cast<int>(i), dims[i]));
  return at;
}

// u where exactly the keys j <= i + u are visible to query i, and every query sees one.
template <class Visible>
std::optional<int64_t> causal_band(const Tensor& t, const Dims& scores, Visible visible) {
  const int64_t queries = scores[scores.size() - 2], keys = scores.back();
  const Dims& d = t.dims();
  if (d.size() < 2 || t.count() != queries * keys || d.back() != keys || d[d.size() - 2] != queries)
    return std::nullopt;
  int64_t upper = -1;
  while (upper + 1 < keys && visible(upper + 1)) upper++;
  if (upper < 0) return std::nullopt;
  for (int64_t i = 0; i < queries; i++)
    for (int64_t j = 0; j < keys; j++)
      if (visible(i * keys + j) != (j - i <= upper)) return std::nullopt;
  return upper;
}

// What a match says, in values of the old graph.
struct Reading {
  bool flat;  // operands of three axes: [N, S, D]
  bool inner_y;
  Source q, k, v;
  Dims scores;
  double scale = 1;
  std::optional<int64_t> upper;
  bool choice = false, addition = false;  // what of the mask is left besides the band
};

double factor(const Match& m, std::string_view by, std::string_view over) {
  return m.has_number(by) ? m.number(by) : m.has_number(over) ? 1 / m.number(over) : 1;
}

// The parts of the mask: a band where they are constants of that form.
bool read_mask(const Match& m, Reading& r) {
  for (std::string_view part : {"show", "hide", "mask"}) {
    if (!m.has(part)) continue;
    Value v = m.value(part);
    if (v.rank() > static_cast<int>(r.scores.size())) return false;
    const bool adds = part == "mask";
    TensorPtr t = constant_value(v);
    auto band = t ? causal_band(*t, r.scores,
                                [&](int64_t at) {
                                  return adds ? t->get(at) == 0 : (t->get_int(at) != 0) == (part == "show");
                                })
                  : std::nullopt;
    if (band && adds)
      for (int64_t i = 0; i < t->count(); i++)
        if (t->get(i) != 0 && !(t->get(i) <= kHidden)) band.reset();
    if (band)
      r.upper = std::min(r.upper.value_or(*band), *band);
    else
      (adds ? r.addition : r.choice) = true;
  }
  return !m.has_number("low") || m.number("low") <= kHidden;
}

std::optional<Reading> read(const Match& m) {
  Value product = m.value("product"), left = m.value("q"), right = m.value("k"), values = m.value("v");
  Reading r{
      .flat = product.rank() == 3, .inner_y = false, .q = {}, .k = {}, .v = {}, .scores = product.dims()};
  const Node& softmax = m.node("softmax");
  if ((product.rank() != 4 && !r.flat) || left.rank() != product.rank() || right.rank() != product.rank() ||
      values.rank() != product.rank() || softmax.type() != product.type() || product.type().count() == 0 ||
      !is_float(product.dtype()) || normalize_axis(softmax.i("axis"), product.rank()) != product.rank() - 1)
    return std::nullopt;
  const Dims &s = r.scores, &q = left.dims(), &k = right.dims(), &v = values.dims();
  const size_t lead = s.size() - 2;
  for (size_t i = 0; i < lead; i++)
    if (q[i] != s[i] || k[i] != s[i] || v[i] != s[i]) return std::nullopt;
  if (m.has("turned")) {
    if (r.flat || permutation_of(m.node("turned")) != Ints{0, 2, 1, 3}) return std::nullopt;
    r.inner_y = true;
  }
  r.scale = factor(m, "factor", "divisor") * factor(m, "q_factor", "q_divisor") *
            factor(m, "k_factor", "k_divisor");
  if (!read_mask(m, r) || !std::isfinite(r.scale)) return std::nullopt;
  if (r.flat) return r;
  r.q = source_of(left, coordinates(q), q);
  r.v = source_of(values, coordinates(v), v);
  const Dims keys{k[0], k[1], k[3], k[2]};
  Exprs at = coordinates(keys);
  std::swap(at[2], at[3]);
  r.k = source_of(right, at, keys);
  if (r.q.heads != q[1] || (r.k.base && r.k.heads != r.v.heads)) {
    r.q = {left, false, q[1]}, r.k = {}, r.v = {values, false, v[1]};
  }
  return r;
}

bool draws(const Match& m) {
  return m.has("key") && m.node("weights").i("training_mode") != 0 && m.node("weights").f("ratio") > 0;
}

// choice: -inf, or a number like it, where a key is hidden.
Value build_mask(const Match& m, const NewValue& now, const Reading& r) {
  Value mask = r.addition ? now(m.value("mask")) : Value{};
  if (r.choice) {
    Value shown = m.has("show") ? now(m.value("show")) : logical_not(now(m.value("hide")));
    const double low = m.number("low");
    if (mask || std::isfinite(low)) {
      Value open = mask ? mask : shown.node->graph().constant(0, m.value("product").dtype());
      mask = where(shown, open, constant_like(open, low));
    } else {
      mask = shown;
    }
  }
  if (!mask) return mask;
  Dims dims = mask.dims();
  if (r.flat) {  // [N, S, T] is [N, 1, S, T]
    dims.insert(dims.begin(), 3 - dims.size(), 1);
    dims.insert(dims.begin() + 1, 1);
  }
  dims.insert(dims.begin(), 4 - dims.size(), 1);
  return reshape(mask, dims);
}

Values build(Graph&, const Match& m, const NewValue& now) {
  const Reading r = *read(m);
  Attrs attrs{{"scale", r.scale}};
  if (r.upper) attrs["upper"] = *r.upper;
  if (draws(m)) {
    attrs["ratio"] = m.node("weights").f("ratio");
    attrs["stream"] = m.node("weights").i("stream");
  }
  Values operands;
  if (r.flat) {
    auto with_head = [](Value v) { return reshape(v, {v.dims()[0], 1, v.dims()[1], v.dims()[2]}); };
    operands = {with_head(now(m.value("q"))), with_head(transpose(now(m.value("k")), {0, 2, 1})),
                with_head(now(m.value("v")))};
  } else {
    Value key = r.k.base ? now(r.k.base) : transpose(now(m.value("k")), {0, 1, 3, 2});
    operands = {now(r.q.base), key, now(r.v.base)};
    Ints inner;
    const bool flags[] = {r.q.inner, r.k.inner, r.v.inner, r.inner_y};
    for (int64_t i = 0; i < 4; i++)
      if (flags[i]) inner.push_back(i);
    if (!inner.empty()) attrs["inner_heads"] = inner;
  }
  if (Value mask = build_mask(m, now, r)) operands.push_back(mask);
  if (draws(m)) {
    operands.resize(AttentionInput::forward_key);
    operands.push_back(now(m.value("key")));
  }
  Value y = apply("ScaledDotProductAttention", operands, std::move(attrs));
  return {r.flat ? reshape(y, {y.dims()[0], y.dims()[2], y.dims()[3]}) : y};
}

}  // namespace

const std::vector<Decomposition>& attention_decompositions() {
  static constexpr std::string_view pattern = R"(
      attention = turned | y;
      turned    = Transpose(y);
      y         = MatMul(weights, v);
      weights   = Dropout(clean, key) | Dropout(clean) | clean;
      clean     = Where(IsNaN(softmax), 0, softmax) | softmax;
      softmax   = Softmax(masked);
      masked    = Add(chosen, mask) | chosen;
      chosen    = Where(hide, #low, scaled) | Where(show, scaled, #low) | scaled;
      scaled    = Mul(product, #factor) | Div(product, #divisor) | product;
      product   = MatMul(left, right);
      left      = Mul(q, #q_factor) | Div(q, #q_divisor) | q;
      right     = Mul(k, #k_factor) | Div(k, #k_divisor) | k;
  )";
  static const std::vector<Decomposition> list = {
      {.pattern = pattern, .fits = [](const Match& m) { return read(m).has_value(); }, .build = build}};
  return list;
}

}  // namespace mezzo::ir
