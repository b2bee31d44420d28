// elementary.cpp: argument reduction and polynomials of exp, log, sin and cos. The polynomials are weighted
// least-maximum fits on the reduced range, in the form that leaves the leading terms exact. Adding 1.5 * 2^23
// rounds to an integer and leaves it in the low bits.
#include "ir/ops/elementary.h"

#include <limits>

namespace mezzo::ir {
namespace {

constexpr double kRounder = 12582912.0;  // 1.5 * 2^23
constexpr double kRounderBits = 0x4b400000;
constexpr double kLn2High = 0.693359375;  // 10 bits: its product with an exponent is exact
constexpr double kLn2Low = -2.1219444e-4;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

ExpParts exp_parts(Term x) {
  x = select(90 < x, 90, x);  // written so that NaN passes
  x = select(x < -104, -104, x);
  Term t = fma(x, std::numbers::log2e, kRounder);
  Term k = bits(t) - kRounderBits;
  Term whole = t - kRounder;
  Term r = fma(whole, -kLn2Low, fma(whole, -kLn2High, x));
  return {exp_rest(r), k};
}

Term exp_rest(Term r) {
  return fma(r * r, polynomial(r, {0.0013951719, 0.008369599, 0.041666187, 0.16666512, 0.5}), r);
}

Term pow2(Term k) { return real((k + 127) << 23); }

Term scale_by_pow2(Term v, Term k) {
  // Two factors, because 2^k alone may be out of range. The first product is exact, unless the second
  // overflows anyway.
  Term half = ((k + 1024) >> 1) - 512;
  return v * pow2(half) * pow2(k - half);
}

Term exp(Term x, int exponent) {
  ExpParts e = exp_parts(x);
  return scale_by_pow2(e.rest + 1, exponent == 0 ? e.k : e.k + exponent);
}

Split split(Term x) {
  constexpr double kSqrtHalf = 0x3f3504f3;  // as bits
  Term exponent = ((bits(x) - (kSqrtHalf - 0x40000000)) >> 23) - 128;
  return {exponent, real(bits(x) - (exponent << 23))};
}

// log x = e ln 2 + log(1 + f), f = m - 1.
Term log_normal(Term x) {
  Split parts = split(x);
  Term f = parts.m - 1, e = to_real(parts.exponent);
  Term p = polynomial(f, {0.06915126, -0.11789685, 0.1187302, -0.12384372, 0.14218655, -0.1666925, 0.20002227,
                          -0.24999987, 0.3333331});
  Term square = f * f;
  Term tail = fma(square, -0.5, fma(e, kLn2Low, f * square * p));
  return fma(e, kLn2High, f + tail);
}

Term log(Term x) {
  Term tiny = x < 0x1p-126;
  Term core = log_normal(select(tiny, x * 0x1p23, x));
  core = select(tiny, core - 23 * std::numbers::ln2, core);
  Term r = select(x < kInfinity, core, x);  // infinity and NaN come out
  r = select(x < 0, std::numeric_limits<double>::quiet_NaN(), r);
  return select(x == 0, -kInfinity, r);
}

// log(u) with u = 1 + x, plus what the rounding of u lost, over u.
Term log1p(Term x) {
  Term u = x + 1;
  Term lost = select(x < 1, x - (u - 1), 1 - (u - x));
  Term core = log_normal(u) + lost / u;
  Term r = select(u < kInfinity, core, u);
  r = select(u < 0, std::numeric_limits<double>::quiet_NaN(), r);
  r = select(u == 0, -kInfinity, r);
  return select(abs(x) < 0x1p-24, x, r);
}

// pi/2 in three parts of 24 bits; every product is exact inside its fma.
Angle reduce_angle(Term x) {
  Term t = fma(x, 2 / std::numbers::pi, kRounder);
  Term k = t - kRounder;
  Term r = fma(k, -0x1.921fb4p+0, x);
  r = fma(k, -0x1.4442dp-24, r);
  r = fma(k, -0x1.846988p-48, r);
  return {select(r < -0.8, -0.8, select(0.8 < r, 0.8, r)), bits(t)};
}

Term sin_kernel(Term r) {
  Term z = r * r;
  return fma(r * z, polynomial(z, {2.7169167e-06, -0.00019839188, 0.008333329, -0.16666667}), r);
}

Term cos_kernel(Term r) {
  Term z = r * r;
  Term tail = z * z * polynomial(z, {2.4424922e-05, -0.0013887251, 0.041666646});
  return fma(z, -0.5, tail) + 1;
}

}  // namespace mezzo::ir
