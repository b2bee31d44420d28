// scalar_arithmetic.cpp: + - * / and their kin, rounding to integers, minimum and maximum, sums of many
// inputs.
#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {

std::vector<Type> infer_numbers(const Node& n) {
  require(n.in_type(0).dtype != DType::boolean, "needs numbers, not bool");
  return broadcast_inputs(n);
}
std::vector<Type> infer_floats(const Node& n) {
  require(is_float(n.in_type(0).dtype), "needs a float type, not ", name(n.in_type(0).dtype));
  return broadcast_inputs(n);
}
std::vector<Type> infer_integers(const Node& n) {
  require(is_integer(n.in_type(0).dtype), "needs an integer type, not ", name(n.in_type(0).dtype));
  return broadcast_inputs(n);
}
std::vector<Type> infer_booleans(const Node& n) {
  require(n.in_type(0).dtype == DType::boolean, "needs bool, not ", name(n.in_type(0).dtype));
  return broadcast_inputs(n);
}
std::vector<Type> infer_comparison(const Node& n) { return {{DType::boolean, broadcast_inputs(n)[0].dims}}; }
std::vector<Type> infer_ordering(const Node& n) { return {{DType::boolean, infer_numbers(n)[0].dims}}; }

namespace {

const OpDef add = machine("Add", Code::add, Precision::widest, infer_numbers, [](Grad& g) -> Values {
  return {g.dy[0], g.dy[0]};
});
const OpDef sub = machine("Sub", Code::sub, Precision::widest, infer_numbers, [](Grad& g) -> Values {
  return {g.dy[0], -g.dy[0]};
});
const OpDef mul = machine("Mul", Code::mul, Precision::widest, infer_numbers, [](Grad& g) -> Values {
  return {g.dy[0] * g.in[1], g.dy[0] * g.in[0]};
});
const OpDef div_op = machine("Div", Code::div, Precision::widest, infer_numbers, [](Grad& g) -> Values {
  Value dx = g.dy[0] / g.in[1];
  return {dx, -(dx * g.out[0])};
});
const OpDef neg =
    machine("Neg", Code::neg, Precision::pass, infer_numbers, [](Grad& g) -> Values { return {-g.dy[0]}; });
// The gradient at 0 is 0.
const OpDef abs_op = machine("Abs", Code::abs, Precision::pass, infer_numbers,
                             [](Grad& g) -> Values { return {g.dy[0] * sign(g.in[0])}; });
const OpDef sqrt_op = machine("Sqrt", Code::sqrt, Precision::full, infer_floats,
                              [](Grad& g) -> Values { return {g.dy[0] * 0.5 / g.out[0]}; });
const OpDef floor_op = machine("Floor", Code::floor, Precision::pass, infer_floats, zero_gradient);
const OpDef ceil_op = machine("Ceil", Code::ceil, Precision::pass, infer_floats, zero_gradient);
const OpDef round_op = machine("Round", Code::round, Precision::pass, infer_floats, zero_gradient);
MEZZO_REGISTER_OP(add);
MEZZO_REGISTER_OP(sub);
MEZZO_REGISTER_OP(mul);
MEZZO_REGISTER_OP(div_op);
MEZZO_REGISTER_OP(neg);
MEZZO_REGISTER_OP(abs_op);
MEZZO_REGISTER_OP(sqrt_op);
MEZZO_REGISTER_OP(floor_op);
MEZZO_REGISTER_OP(ceil_op);
MEZZO_REGISTER_OP(round_op);

// NaN and zeros of either sign come out as they are.
const OpDef sign_op = formula(
    "Sign", 1, 1, {}, Precision::pass, infer_numbers,
    [](Graph&, const Node&, const Values& in) -> Values {
      Value x = in[0], zero = constant_like(x, 0);
      Value up = where(less(zero, x), constant_like(x, 1), x);
      return {is_float(x.dtype()) || is_signed(x.dtype()) ? where(less(x, zero), constant_like(x, -1), up)
                                                          : up};
    },
    zero_gradient);
const OpDef reciprocal = formula(
    "Reciprocal", 1, 1, {}, Precision::full, infer_floats,
    [](Graph&, const Node&, const Values& in) -> Values { return {1.0 / in[0]}; },
    [](Grad& g) -> Values { return {-(g.dy[0] * g.out[0] * g.out[0])}; });
MEZZO_REGISTER_OP(sign_op);
MEZZO_REGISTER_OP(reciprocal);

// Inputs that tie for the extremum share its gradient evenly.
Values grad_extremum(Grad& g) {
  if (g.in.size() == 1) return {g.dy[0]};
  DType type = g.dy[0].dtype();
  Value count;
  Values hits, out;
  for (Value x : g.in) {
    hits.push_back(equal(x, g.out[0]));
    Value one = cast(hits.back(), type);
    count = count ? count + one : one;
  }
  Value share = g.dy[0] / count;
  for (Value hit : hits) out.push_back(where(hit, share, constant_like(share, 0)));
  return out;
}

Values fold_inputs(const Values& in, std::string_view op) {
  Value out = in[0];
  for (size_t i = 1; i < in.size(); i++) out = apply(op, {out, in[i]});
  return {out};
}

// The machine operations: two operands.
const OpDef minimum_op = machine("Minimum", Code::min, Precision::widest, infer_numbers, grad_extremum);
const OpDef maximum_op = machine("Maximum", Code::max, Precision::widest, infer_numbers, grad_extremum);
MEZZO_REGISTER_OP(minimum_op);
MEZZO_REGISTER_OP(maximum_op);

const OpDef min_op = formula(
    "Min", 1, kAnyNumber, {}, Precision::widest, infer_numbers,
    [](Graph&, const Node&, const Values& in) { return fold_inputs(in, "Minimum"); }, grad_extremum);
const OpDef max_op = formula(
    "Max", 1, kAnyNumber, {}, Precision::widest, infer_numbers,
    [](Graph&, const Node&, const Values& in) { return fold_inputs(in, "Maximum"); }, grad_extremum);
const OpDef sum_op = formula(
    "Sum", 1, kAnyNumber, {}, Precision::widest, infer_floats,
    [](Graph&, const Node&, const Values& in) { return fold_inputs(in, "Add"); },
    [](Grad& g) { return Values(g.in.size(), g.dy[0]); });
const OpDef mean_op = formula(
    "Mean", 1, kAnyNumber, {}, Precision::bounded, infer_floats,
    [](Graph&, const Node&, const Values& in) -> Values {
      return {fold_inputs(in, "Add")[0] / static_cast<double>(in.size())};
    },
    [](Grad& g) { return Values(g.in.size(), g.dy[0] / static_cast<double>(g.in.size())); });
MEZZO_REGISTER_OP(min_op);
MEZZO_REGISTER_OP(max_op);
MEZZO_REGISTER_OP(sum_op);
MEZZO_REGISTER_OP(mean_op);

// Remainders. d/dx = 1; the divisor gets minus the quotient.
Values grad_remainder(Grad& g) {
  return {g.dy[0], -(g.dy[0] * apply("Round", {(g.in[0] - g.out[0]) / g.in[1]}))};
}
const OpDef truncated_mod =
    machine("TruncatedMod", Code::fmod, Precision::widest, infer_numbers, grad_remainder);
const OpDef floored_mod = machine("FlooredMod", Code::mod, Precision::widest, infer_numbers, grad_remainder);
const OpDef mod = formula(
    "Mod", 2, 2, {{"fmod", int64_t{0}}}, Precision::widest, infer_numbers,
    [](Graph&, const Node& n, const Values& in) -> Values {
      const bool truncated = n.i("fmod") != 0;
      if (!truncated && !is_float(n.type().dtype)) return {ir::apply("FlooredMod", in)};
      Value rest = ir::apply("TruncatedMod", in);
      if (truncated) return {rest};
      // The sign of the divisor, as Python's %; 0 and NaN stay.
      Value other_sign = less(rest * in[1], constant_like(rest, 0));
      return {where(other_sign, rest + in[1], rest)};
    },
    grad_remainder);
MEZZO_REGISTER_OP(truncated_mod);
MEZZO_REGISTER_OP(floored_mod);
MEZZO_REGISTER_OP(mod);

}  // namespace
}  // namespace mezzo::ir
