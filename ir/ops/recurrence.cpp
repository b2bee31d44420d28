// recurrence.cpp: running sums and products along an axis: one primitive, s[i] = a[i] * s[i-1] + b[i], and
// ONNX CumSum and CumProd as formulas on it.
#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kFactor, kAddend };

int64_t axis_of(const Node& n, int64_t rank) { return normalize_axis(n.i("axis"), rank); }

std::vector<Type> infer_recurrence(const Node& n) {
  require(n.has(kFactor) || n.has(kAddend), "neither factors nor addends are given");
  const Type out = n.has(kFactor) ? n.in_type(kFactor) : n.in_type(kAddend);
  axis_of(n, out.rank());
  require(!is_low(out.dtype) && out.dtype != DType::boolean, "a running sum in ", name(out.dtype));
  if (n.has(kFactor) && n.has(kAddend))
    require(n.in_type(kAddend) == out, "addends ", to_string(n.in_type(kAddend)), ", expected ",
            to_string(out));
  return {out};
}

template <class T>
void run(const RecurrenceSizes& s, const Tensor* factors, const Tensor* addends, Tensor& out) {
  constexpr bool kReal = std::is_floating_point_v<T>;
  auto read = [](const Tensor& t, int64_t i) {
    if constexpr (kReal) return static_cast<T>(t.get(i));
    return static_cast<T>(t.get_int(i));
  };
  for (int64_t row = 0; row < s.rows.outer; row++)
    for (int64_t i = 0; i < s.rows.inner; i++) {
      T state = addends ? T(0) : T(1);
      for (int64_t k = 0; k < s.rows.extent; k++) {
        const int64_t at = (row * s.rows.extent + (s.reverse ? s.rows.extent - 1 - k : k)) * s.rows.inner + i;
        if (factors) state = state * read(*factors, at);
        if (addends) state = state + read(*addends, at);
        if (kReal)
          out.set(at, static_cast<double>(state));
        else
          out.set_int(at, static_cast<int64_t>(state));
      }
    }
}

void evaluate_recurrence(const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
  const Tensor *factors = n.has(kFactor) ? in[kFactor] : nullptr,
               *addends = n.has(kAddend) ? in[kAddend] : nullptr;
  const RecurrenceSizes s = recurrence_sizes(n);
  if (out[0].dtype() == DType::f64) return run<double>(s, factors, addends, out[0]);
  if (out[0].dtype() == DType::f32) return run<float>(s, factors, addends, out[0]);
  run<uint64_t>(s, factors, addends, out[0]);  // patterns modulo 2^64 are right for signed ones, too
}

// v one step later along the axis (earlier with `back`), `fill` first.
Value shifted(Value v, int64_t axis, bool back, double fill) {
  const int64_t extent = v.dims()[static_cast<size_t>(axis)];
  if (extent == 0) return v;
  Value rest = slice(v, {back ? 1 : 0}, {back ? extent : extent - 1}, {axis}, {1});
  Ints begin(v.dims().size()), end = begin;
  (back ? end : begin)[static_cast<size_t>(axis)] = 1;
  return pad(rest, begin, end, fill);
}

// The gradient of s runs against it: g[i] = dy[i] + a[i+1] * g[i+1]; then db = g and da[i] = g[i] * s[i-1].
Values grad_recurrence(Grad& g) {
  const Node& n = g.node;
  const int64_t axis = axis_of(n, n.type().rank());
  const bool reverse = n.i("reverse") != 0;
  Value factor = n.has(kFactor) ? g.in[kFactor] : Value{};
  Value d = recurrence(factor ? shifted(factor, axis, !reverse, 0) : Value{}, g.dy[0], axis, !reverse);
  Values out(n.input_count());
  if (factor) out[kFactor] = d * shifted(g.out[0], axis, reverse, n.has(kAddend) ? 0 : 1);
  if (n.has(kAddend)) out[kAddend] = d;
  return out;
}

const OpDef recurrence_op = {
    .name = "LinearRecurrence",
    .min_inputs = 0,
    .max_inputs = 2,
    .attrs = {{"axis", 0, AttrSpec::required}, {"reverse", 0}},
    .precision = Precision::unbounded,
    .meaning = Meaning::kernel,
    .infer = infer_recurrence,
    .evaluate = evaluate_recurrence,
    .grad = grad_recurrence,
};
MEZZO_REGISTER_OP(recurrence_op);

// `exclusive`: element i is left out of result i.
template <bool product>
Values expand_cumulative(Graph&, const Node& n, const Values& in) {
  const int64_t axis = axis_of(n, in[0].rank());
  const bool reverse = n.i("reverse") != 0;
  Value y = product ? recurrence(in[0], {}, axis, reverse) : recurrence({}, in[0], axis, reverse);
  return {n.i("exclusive") ? shifted(y, axis, reverse, product ? 1 : 0) : y};
}

OpDef cumulative(std::string_view name, Values (*expand)(Graph&, const Node&, const Values&)) {
  return {.name = name,
          .attrs = {{"axis", 0, AttrSpec::required}, {"exclusive", 0}, {"reverse", 0}},
          .precision = Precision::unbounded,
          .meaning = Meaning::expand,
          .infer = [](const Node& n) -> std::vector<Type> {
            axis_of(n, n.in_type(0).rank());
            require(n.in_type(0).dtype != DType::boolean, "input is bool, expected numbers");
            return {n.in_type(0)};
          },
          .expand = expand,
          .constant_inputs = {{1, "axis"}}};
}

const OpDef cum_sum = cumulative("CumSum", expand_cumulative<false>);
const OpDef cum_prod = cumulative("CumProd", expand_cumulative<true>);
MEZZO_REGISTER_OP(cum_sum);
MEZZO_REGISTER_OP(cum_prod);

}  // namespace

Value recurrence(Value factor, Value addend, int64_t axis, bool reverse) {
  Value like = factor ? factor : addend;
  Attrs attrs{{"axis", axis}};
  if (reverse) attrs["reverse"] = int64_t{1};
  Values inputs{factor};
  if (addend) inputs.push_back(addend);
  return like.node->graph().add(recurrence_op, std::move(inputs), std::move(attrs))->out();
}

bool is_recurrence(const Node& n) { return &n.op() == &recurrence_op; }

RecurrenceSizes recurrence_sizes(const Node& n) {
  return {row_sizes(n.type().dims, static_cast<size_t>(axis_of(n, n.type().rank()))), n.i("reverse") != 0};
}

}  // namespace mezzo::ir
