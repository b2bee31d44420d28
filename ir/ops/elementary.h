// elementary.h: pieces of elementary functions shared by several programs. All in f32.
#pragma once
#include <numbers>

#include "ir/ops/formula.h"

namespace mezzo::ir {

// Makes a Program once: `static const Program p = program_of(1, [](Formula& f) { return ...; });`
template <class F>
Program program_of(int parameters, F formula) {
  Formula f(parameters);
  return f.finish(formula(f));
}

// e^x = (1 + rest) * 2^k with |rest| < 0.42. x is clamped to where e^x is neither 0 nor infinite by far.
struct ExpParts {
  Term rest, k;  // k: i32 in [-151, 130] (anything when x is NaN; rest is NaN then)
};
ExpParts exp_parts(Term x);
Term exp_rest(Term r);               // e^r - 1 for |r| < 0.36
Term pow2(Term k);                   // 2^k for i32 k in [-126, 127]
Term scale_by_pow2(Term v, Term k);  // v * 2^k for i32 k in [-252, 254], rounded once
Term exp(Term x, int exponent = 0);  // e^x * 2^exponent

// A positive normal number as 2^exponent * m with m in [sqrt(1/2), sqrt(2)).
struct Split {
  Term exponent, m;  // i32, f32
};
Split split(Term x);
// Natural logarithm of a positive normal number. log: of any number.
Term log_normal(Term x);
Term log(Term x);
Term log1p(Term x);

// x = r + quadrant * pi/2 with |r| <= pi/4 and a little. Accurate for |x| < 2^22; beyond, r is still in
// [-0.8, 0.8].
struct Angle {
  Term r, quadrant;  // i32, of which the low two bits count
};
Angle reduce_angle(Term x);
Term sin_kernel(Term r);
Term cos_kernel(Term r);

}  // namespace mezzo::ir
