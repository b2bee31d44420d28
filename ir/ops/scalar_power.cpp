// scalar_power.cpp: x^y. The logarithm is carried in two floats, because its error is multiplied by y log x
// before the exponential makes it relative.
#include <cmath>
#include <limits>

#include "ir/ops/elementary.h"
#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Pair {
  Term high, low;  // a value as a sum of two floats
};

// The sum of a and b, exactly, when |a| >= |b| or a is 0.
Pair exact_sum(Term a, Term b) {
  Term sum = a + b;
  return {sum, b - (sum - a)};
}

// log2 of a positive finite number: e + (2 / ln 2) atanh(s), s = (m - 1) / (m + 1).
Pair log2_pair(Term x) {
  Term tiny = x < 0x1p-126;
  Split parts = split(select(tiny, x * 0x1p23, x));
  Term e = to_real(parts.exponent) - select(tiny, 23.0, x.in->real(0));
  Term f = parts.m - 1;
  Pair divisor = exact_sum(f.in->real(2), f);
  Term s = f / divisor.high;
  Term rest = fma(-s, divisor.low, fma(-s, divisor.high, f));
  Term square = s * s;
  Term low = fma(s * square, polynomial(square, {0.117924936, 0.14268585, 0.20000169, 0.3333333}),
                 rest / divisor.high);
  constexpr double kScaleHigh = 0x1.715476p+1, kScaleLow = 0x1.4ae0cp-25;  // 2 / ln 2
  Term product = s * kScaleHigh;
  Term product_low = fma(s, kScaleHigh, -product) + fma(s, kScaleLow, low * kScaleHigh);
  Pair sum = exact_sum(e, product);
  return exact_sum(sum.high, sum.low + product_low);
}

// 2^(z + low), for any z.
Term exp2_pair(Term z, Term low) {
  Term bounded = select(136 < z, 136, select(z < -160, -160, z));
  constexpr double kRounder = 12582912.0;  // 1.5 * 2^23
  Term shifted = bounded + kRounder;
  Term r = (bounded - (shifted - kRounder)) + low;
  return scale_by_pow2(exp_rest(r * std::numbers::ln2) + 1, bits(shifted) - double{0x4b400000});
}

// The cases are those of IEEE 754 and of std::pow.
const Program& power_program() {
  static const Program p = program_of(2, [](Formula& f) {
    Term x = f.parameter(0), y = f.parameter(1), a = abs(x);
    Pair log = log2_pair(a);
    Term high = select(a == 0, -kInfinity, select(a < kInfinity, log.high, a));
    Term z = y * high;
    Term low = fma(y, log.low, fma(y, high, -z));
    Term magnitude = exp2_pair(z, select(abs(z) < 1000, low, f.real(0)));
    magnitude = select(a == 1, 1, select(z == z, magnitude, kNan));  // 1^infinity is 1

    Term integer = floor(y) == y, half = y * 0.5;
    Term odd = integer && !(floor(half) == half);
    Term r = select(odd, copysign(magnitude, x), magnitude);
    r = select((x < 0) && (-kInfinity < x) && !integer, kNan, r);
    r = select(y == y, r, y);
    return select(x == 1, 1, select(y == 0, 1, r));
  });
  return p;
}

// x^c; the usual exponents without a logarithm.
Value power_of(Value x, double c) {
  if (c == 1) return x;
  if (c == 2) return x * x;
  if (c == 3) return x * x * x;
  if (c == 0.5) return sqrt(x);
  if (c == -1) return 1.0 / x;
  return apply("Power", {x, constant_like(x, c)});
}

// The exponent, where it is one number known when the graph is built.
std::optional<double> known_exponent(Value y) {
  TensorPtr t = constant_of(y);
  return t && t->count() == 1 ? std::optional<double>(t->get(0)) : std::nullopt;
}

// d x^y / dx = y x^(y-1), 0 for y = 0; d x^y / dy = x^y log x, 0 for x <= 0.
Values grad_pow(Grad& g) {
  Value x = g.in[0], dy = g.dy[0], dx, dexponent;
  if (auto c = known_exponent(g.in[1])) dx = *c == 0 ? dy * 0.0 : dy * (power_of(x, *c - 1) * *c);
  Value y = cast(g.in[1], x.dtype());
  Value none = constant_like(x, 0);
  if (!dx) dx = where(equal(y, none), none, dy * (y * apply("Power", {x, y - 1})));
  if (g.needs[1]) {
    Value positive = less(none, x);
    dexponent = where(positive, dy * (g.out[0] * log(where(positive, x, constant_like(x, 1)))), none);
  }
  return {dx, dexponent};
}

const OpDef power_op = composed(
    "Power", Precision::full, [](const double* x) { return std::pow(x[0], x[1]); }, power_program, grad_pow,
    2);
MEZZO_REGISTER_OP(power_op);

const OpDef pow_op = {
    .name = "Pow",
    .min_inputs = 2,
    .max_inputs = 2,
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      for (size_t i : {size_t{0}, size_t{1}})
        require(n.in_type(i).dtype != DType::boolean, "input ", i, " must be numbers, not bool");
      return {{n.in_type(0).dtype, broadcast(n.in_type(0).dims, n.in_type(1).dims)}};
    },
    // Integers go through f64, whose 53 bits hold most powers that do not overflow.
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      DType type = is_float(in[0].dtype()) ? in[0].dtype() : DType::f64;
      Value x = cast(in[0], type);
      auto c = known_exponent(in[1]);
      if (c && *c != 0) return {cast(reshape(power_of(x, *c), n.type().dims), in[0].dtype())};
      return {cast(apply("Power", {x, cast(in[1], type)}), in[0].dtype())};
    },
    .grad = grad_pow,
};
MEZZO_REGISTER_OP(pow_op);

}  // namespace
}  // namespace mezzo::ir
