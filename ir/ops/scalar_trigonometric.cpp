// scalar_trigonometric.cpp: circular and hyperbolic functions and their inverses.
#include <cmath>
#include <limits>

#include "ir/ops/elementary.h"
#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {
namespace {

constexpr double kPi = std::numbers::pi;

// sin of the angle plus `quarter_turns` quarter turns.
Term turned_sin(Term x, int quarter_turns) {
  Angle angle = reduce_angle(x);
  Term quadrant = quarter_turns ? angle.quadrant + quarter_turns : angle.quadrant;
  Term v = select((quadrant & 1) == 0, sin_kernel(angle.r), cos_kernel(angle.r));
  return real(bits(v) ^ ((quadrant & 2) << 30));
}

const Program& sin_program() {
  static const Program p = program_of(1, [](Formula& f) { return turned_sin(f.parameter(0), 0); });
  return p;
}
const Program& cos_program() {
  static const Program p = program_of(1, [](Formula& f) { return turned_sin(f.parameter(0), 1); });
  return p;
}
const Program& tan_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Angle angle = reduce_angle(f.parameter(0));
    Term s = sin_kernel(angle.r), c = cos_kernel(angle.r), even = (angle.quadrant & 1) == 0;
    return select(even, s, -c) / select(even, c, s);
  });
  return p;
}
const OpDef sin_op = composed(
    "Sin", Precision::bounded, [](const double* x) { return std::sin(*x); }, sin_program,
    [](Grad& g) -> Values { return {g.dy[0] * cos(g.in[0])}; });
const OpDef cos_op = composed(
    "Cos", Precision::bounded, [](const double* x) { return std::cos(*x); }, cos_program,
    [](Grad& g) -> Values { return {-(g.dy[0] * sin(g.in[0]))}; });
const OpDef tan_op = composed(
    "Tan", Precision::full, [](const double* x) { return std::tan(*x); }, tan_program,
    [](Grad& g) -> Values { return {g.dy[0] * (g.out[0] * g.out[0] + 1)}; });

// asin on [0, 1/2], as a function of x and x^2.
Term asin_kernel(Term x, Term square) {
  Term p = polynomial(square, {0.037578143, 0.014393814, 0.031819817, 0.044515472, 0.07500512, 0.1666666});
  return fma(x * square, p, x);
}
// Beyond 1/2: asin x = pi/2 - 2 asin(sqrt((1 - x) / 2)).
const Program& asin_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x), half = (1 - a) * 0.5;
    Term far = fma(asin_kernel(sqrt(half), half), -2, kPi / 2);
    return copysign(select(a < 0.5, asin_kernel(a, a * a), far), x);
  });
  return p;
}
const Program& acos_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x), half = (1 - a) * 0.5;
    Term far = asin_kernel(sqrt(half), half) * 2;
    return select(a < 0.5, kPi / 2 - asin_kernel(x, x * x), select(x < 0, kPi - far, far));
  });
  return p;
}
// Reduced by tan(pi/8) and tan(3 pi/8): atan a = pi/4 + atan((a - 1) / (a + 1)) = pi/2 - atan(1 / a).
const Program& atan_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x);
    Term middle = 0.41421356 < a, high = 2.4142135 < a;
    Term t = select(high, -1.0 / a, select(middle, (a - 1) / (a + 1), a));
    Term offset = select(high, kPi / 2, select(middle, kPi / 4, f.real(0)));
    Term s = t * t;
    Term odd = polynomial(s, {-0.060830902, 0.105958655, -0.1424383, 0.1999849, -0.33333316});
    return copysign(offset + fma(t * s, odd, t), x);
  });
  return p;
}
const OpDef asin_op = composed(
    "Asin", Precision::full, [](const double* x) { return std::asin(*x); }, asin_program,
    [](Grad& g) -> Values { return {g.dy[0] / sqrt((1.0 - g.in[0]) * (g.in[0] + 1))}; });
const OpDef acos_op = composed(
    "Acos", Precision::full, [](const double* x) { return std::acos(*x); }, acos_program,
    [](Grad& g) -> Values { return {-(g.dy[0] / sqrt((1.0 - g.in[0]) * (g.in[0] + 1)))}; });
const OpDef atan_op = composed(
    "Atan", Precision::bounded, [](const double* x) { return std::atan(*x); }, atan_program,
    [](Grad& g) -> Values { return {g.dy[0] / (g.in[0] * g.in[0] + 1)}; });

// With h = e^|x| / 2: sinh = h - 1 / (4 h), cosh = h + 1 / (4 h).
const Program& sinh_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x), s = x * x, h = exp(a, -1);
    Term odd = polynomial(s, {2.8180632e-06, 0.00019835962, 0.008333351, 0.16666667});
    return select(a < 1, fma(s * odd, x, x), copysign(h - 0.25 / h, x));
  });
  return p;
}
const Program& cosh_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term h = exp(abs(f.parameter(0)), -1);
    return h + 0.25 / h;
  });
  return p;
}
// Large arguments: squares would overflow, and log(2x) is exact enough.
const Program& asinh_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x), s = a * a;
    Term near = log1p(a + s / (sqrt(s + 1) + 1));
    return copysign(select(a < 0x1p30, near, log(a) + std::numbers::ln2), x);
  });
  return p;
}
const Program& acosh_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), t = x - 1;
    Term near = log1p(t + sqrt(fma(t, t, t + t)));
    Term r = select(x < 0x1p30, near, log(x) + std::numbers::ln2);
    return select(x < 1, std::numeric_limits<double>::quiet_NaN(), r);
  });
  return p;
}
const Program& atanh_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x);
    return copysign(log1p((a + a) / (1 - a)) * 0.5, x);
  });
  return p;
}
const OpDef sinh_op = composed(
    "Sinh", Precision::full, [](const double* x) { return std::sinh(*x); }, sinh_program,
    [](Grad& g) -> Values { return {g.dy[0] * apply("Cosh", {g.in[0]})}; });
const OpDef cosh_op = composed(
    "Cosh", Precision::full, [](const double* x) { return std::cosh(*x); }, cosh_program,
    [](Grad& g) -> Values { return {g.dy[0] * apply("Sinh", {g.in[0]})}; });
const OpDef asinh_op = composed(
    "Asinh", Precision::full, [](const double* x) { return std::asinh(*x); }, asinh_program,
    [](Grad& g) -> Values { return {g.dy[0] / sqrt(g.in[0] * g.in[0] + 1)}; });
const OpDef acosh_op = composed(
    "Acosh", Precision::full, [](const double* x) { return std::acosh(*x); }, acosh_program,
    [](Grad& g) -> Values { return {g.dy[0] / sqrt((g.in[0] - 1) * (g.in[0] + 1))}; });
const OpDef atanh_op = composed(
    "Atanh", Precision::full, [](const double* x) { return std::atanh(*x); }, atanh_program,
    [](Grad& g) -> Values { return {g.dy[0] / ((1.0 - g.in[0]) * (g.in[0] + 1))}; });

MEZZO_REGISTER_OP(sin_op);
MEZZO_REGISTER_OP(cos_op);
MEZZO_REGISTER_OP(tan_op);
MEZZO_REGISTER_OP(asin_op);
MEZZO_REGISTER_OP(acos_op);
MEZZO_REGISTER_OP(atan_op);
MEZZO_REGISTER_OP(sinh_op);
MEZZO_REGISTER_OP(cosh_op);
MEZZO_REGISTER_OP(asinh_op);
MEZZO_REGISTER_OP(acosh_op);
MEZZO_REGISTER_OP(atanh_op);

}  // namespace
}  // namespace mezzo::ir
