// scalar_exponential.cpp: exp, log and what is made of them.
#include <cmath>
#include <limits>

#include "ir/ops/elementary.h"
#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {
namespace {

const Program& exp_program() {
  static const Program p = program_of(1, [](Formula& f) { return exp(f.parameter(0)); });
  return p;
}
const OpDef exp_op = composed(
    "Exp", Precision::full, [](const double* x) { return std::exp(*x); }, exp_program,
    [](Grad& g) -> Values { return {g.dy[0] * g.out[0]}; });

// 2^k (1 + rest) - 1 without cancellation near 0.
const Program& expm1_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0);
    ExpParts e = exp_parts(x);
    Term half = pow2(e.k - 1);  // 2^128 would not fit
    Term r = fma(half, e.rest, half - 0.5) * 2;
    r = select(x < -17.5, -1, r);
    return select(abs(x) < 0x1p-24, x, select(88.8 < x, std::numeric_limits<double>::infinity(), r));
  });
  return p;
}
const OpDef expm1_op = composed(
    "Expm1", Precision::full, [](const double* x) { return std::expm1(*x); }, expm1_program,
    [](Grad& g) -> Values { return {g.dy[0] * (g.out[0] + 1)}; });

const Program& log_program() {
  static const Program p = program_of(1, [](Formula& f) { return log(f.parameter(0)); });
  return p;
}
const OpDef log_op = composed(
    "Log", Precision::full, [](const double* x) { return std::log(*x); }, log_program,
    [](Grad& g) -> Values { return {g.dy[0] / g.in[0]}; });

const Program& log1p_program() {
  static const Program p = program_of(1, [](Formula& f) { return log1p(f.parameter(0)); });
  return p;
}
const OpDef log1p_op = composed(
    "Log1p", Precision::full, [](const double* x) { return std::log1p(*x); }, log1p_program,
    [](Grad& g) -> Values { return {g.dy[0] / (g.in[0] + 1)}; });

// An odd polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond.
const Program& tanh_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x), s = x * x;
    Term odd = polynomial(s, {-0.005717045, 0.020650588, -0.053743497, 0.13331491, -0.33333284});
    Term far = 1 - 2 / (exp(a + a) + 1);
    return copysign(select(a < 0.625, fma(s * odd, a, a), far), x);
  });
  return p;
}
const OpDef tanh_op = composed(
    "Tanh", Precision::bounded, [](const double* x) { return std::tanh(*x); }, tanh_program,
    [](Grad& g) -> Values { return {g.dy[0] * (1.0 - g.out[0] * g.out[0])}; });

double real_sigmoid(const double* x) {
  double e = std::exp(-std::fabs(*x));
  return (*x < 0 ? e : 1) / (1 + e);
}
const Program& sigmoid_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), e = exp(-abs(x));
    return select(x < 0, e, 1) / (e + 1);
  });
  return p;
}
const OpDef sigmoid_op =
    composed("Sigmoid", Precision::bounded, real_sigmoid, sigmoid_program,
             [](Grad& g) -> Values { return {g.dy[0] * (g.out[0] * (1.0 - g.out[0]))}; });

// x P(x^2) below 1; beyond, 1 - erfc with erfc = e^-Q(|x|). From 4 on erf is 1 in f32.
const Program& erf_program() {
  static const Program p = program_of(1, [](Formula& f) {
    Term x = f.parameter(0), a = abs(x), s = x * x;
    Term near = polynomial(s, {-9.680141e-06, 0.000112705464, -0.0008484712, 0.005221075, -0.026865445,
                               0.11283783, -0.37612638, 0.12837917});
    Term b = select(4 < a, 4, a);
    Term far = polynomial(b, {-4.6230937e-08, 2.2361004e-05, -0.0004455524, 0.004219333, -0.025239976,
                              0.108461335, 0.63318455, 1.1295948, -0.0001913075});
    return select(a < 1, fma(near, x, x), copysign(1 - exp(-far), x));
  });
  return p;
}
const OpDef erf_op = composed(
    "Erf", Precision::bounded, [](const double* x) { return std::erf(*x); }, erf_program,
    [](Grad& g) -> Values {
      return {g.dy[0] * (exp(-(g.in[0] * g.in[0])) * (2 * std::numbers::inv_sqrtpi))};
    });

MEZZO_REGISTER_OP(exp_op);
MEZZO_REGISTER_OP(expm1_op);
MEZZO_REGISTER_OP(log_op);
MEZZO_REGISTER_OP(log1p_op);
MEZZO_REGISTER_OP(tanh_op);
MEZZO_REGISTER_OP(sigmoid_op);
MEZZO_REGISTER_OP(erf_op);

}  // namespace
}  // namespace mezzo::ir
