// scalar.h: the arithmetic a backend has to spell, its exact meaning, and programs composed of it. One definition of
// exp, tanh, erf ... serves the evaluator, the LLVM emitter and the CUDA printer, so fused code can equal the reference
// bit for bit.
#pragma once
#include <functional>
#include <string_view>
#include <vector>

#include "ir/type.h"

namespace mezzo::ir {

// Machine operations. Floats are computed in the type of the operands (f32 or f64; 16-bit floats were widened before),
// one rounding each, round to nearest even. Integers wrap. Comparisons give bool. min(a, b) is a where a < b or a is NaN,
// otherwise b; max likewise with >. So a NaN in either operand comes out, and of equal operands (zeros of either sign)
// the second. Float division by zero follows IEEE; integer division truncates toward zero and by zero gives 0, as do both
// integer remainders. round: ties to even. Shifts by less than 0, or by the width of the type or more, give 0.
// clang-format off
enum class Code : uint8_t {
  add, sub, mul, div, fma, neg, abs, sqrt, floor, ceil, round, trunc, min, max,
  fmod,        // remainder with the sign of the dividend (C)
  mod,         // remainder with the sign of the divisor (Python), integers and floats
  equal, less, less_equal,
  select,      // (condition, then, else)
  logical_and, logical_or, logical_xor, logical_not,              // on bool
  bit_and, bit_or, bit_xor, bit_not, shift_left, shift_right,     // on integers; shift_right is logical
  mul_high,    // upper half of the product of two u32
  is_nan, is_inf,
  cast,        // to the instruction's type, one rounding; float to integer truncates, saturating, NaN gives 0; anything
               // to bool is x != 0 (so NaN is true)
  bitcast,     // f32 <-> i32/u32
  program,     // not a machine operation: the op carries a Program
};
// clang-format on
std::string_view name(Code);
int arity(Code);

// A straight-line program: instruction k computes value (parameters + k). All parameters have one type: f32, or u32 for
// the random generator.
struct Instruction {
  Code code;
  DType type;                 // of the result
  int a = -1, b = -1, c = -1; // operands: value numbers, -1 = none
  double constant = 0;        // for a constant: code == cast, a == -1
};
struct Program {
  int parameters = 1;
  DType parameter_type = DType::f32;
  std::vector<Instruction> body;  // the last one is the result
};

// Value of one machine operation on numbers held in double (floats) or exact integers (integers, bool): exactly what
// every backend computes. `type` is the result type, `operand` the type of the first operand.
struct Number {
  double real = 0;
  int64_t integer = 0;  // meaning when the type is not float
};
Number evaluate(Code code, DType type, DType operand, Number a, Number b = {}, Number c = {});
// Runs a program on f32 parameters.
float run(const Program& program, const float* parameters);
// The same for any program.
Number run(const Program& program, const Number* parameters);

// The scalar meaning of an op, element by element. Comparisons and logic have result type bool, Where takes (bool, T,
// T); all else maps T.. -> T.
struct Scalar {
  Code code;
  double (*real)(const double* x) = nullptr;   // composed functions: the real function, for f64
  const Program& (*program)() = nullptr;       // composed functions: how f32 computes it
};

}  // namespace mezzo::ir
