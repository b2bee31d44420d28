// real.cuh: the composed functions of the IR on f64, named after their ops; on f32 they are programs of machine
// operations.
#define REAL_FUNCTION(op, function) \
  DEVICE f64 real_##op(f64 x) { return function(x); }
REAL_FUNCTION(Exp, exp)
REAL_FUNCTION(Expm1, expm1)
REAL_FUNCTION(Log, log)
REAL_FUNCTION(Log1p, log1p)
DEVICE f64 real_Power(f64 x, f64 y) { return pow(x, y); }
REAL_FUNCTION(Tanh, tanh)
DEVICE f64 real_Sigmoid(f64 x) {
  const f64 e = exp(-fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
REAL_FUNCTION(Erf, erf)
REAL_FUNCTION(Sin, sin)
REAL_FUNCTION(Cos, cos)
REAL_FUNCTION(Tan, tan)
REAL_FUNCTION(Asin, asin)
REAL_FUNCTION(Acos, acos)
REAL_FUNCTION(Atan, atan)
REAL_FUNCTION(Sinh, sinh)
REAL_FUNCTION(Cosh, cosh)
REAL_FUNCTION(Asinh, asinh)
REAL_FUNCTION(Acosh, acosh)
REAL_FUNCTION(Atanh, atanh)
