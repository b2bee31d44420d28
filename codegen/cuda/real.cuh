// real.cuh: the composed functions of the IR on f64, named after their ops; on f32 they are programs of machine
// operations.
DEVICE f64 real_Exp(f64 x) { return exp(x); }
DEVICE f64 real_Expm1(f64 x) { return expm1(x); }
DEVICE f64 real_Log(f64 x) { return log(x); }
DEVICE f64 real_Log1p(f64 x) { return log1p(x); }
DEVICE f64 real_Power(f64 x, f64 y) { return pow(x, y); }
DEVICE f64 real_Tanh(f64 x) { return tanh(x); }
DEVICE f64 real_Sigmoid(f64 x) {
  const f64 e = exp(-fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
DEVICE f64 real_Erf(f64 x) { return erf(x); }
DEVICE f64 real_Sin(f64 x) { return sin(x); }
DEVICE f64 real_Cos(f64 x) { return cos(x); }
DEVICE f64 real_Tan(f64 x) { return tan(x); }
DEVICE f64 real_Asin(f64 x) { return asin(x); }
DEVICE f64 real_Acos(f64 x) { return acos(x); }
DEVICE f64 real_Atan(f64 x) { return atan(x); }
DEVICE f64 real_Sinh(f64 x) { return sinh(x); }
DEVICE f64 real_Cosh(f64 x) { return cosh(x); }
DEVICE f64 real_Asinh(f64 x) { return asinh(x); }
DEVICE f64 real_Acosh(f64 x) { return acosh(x); }
DEVICE f64 real_Atanh(f64 x) { return atanh(x); }
