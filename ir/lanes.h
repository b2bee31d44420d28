// lanes.h: machine operations on many numbers at a time: the evaluator's inner loops. evaluate() and run() of
// scalar.h are the same with one lane.
#pragma once
#include "ir/scalar.h"

namespace mezzo::ir {

inline constexpr int kLanes = 256;

// Up to kLanes numbers of one type: `real` counts for floats, `integer` for all others (u64 as its bit
// pattern).
struct Lanes {
  double real[kLanes];
  int64_t integer[kLanes];
};

// out[i] = code(a[i], b[i], c[i]) for i < count; see scalar.h for the types. Operands the code does not have
// may be null. `out` may be one of the operands.
void evaluate(Code code, DType type, DType operand, int count, const Lanes* a, const Lanes* b, const Lanes* c,
              Lanes& out);

// Runs a program on `count` lanes. `parameters` points to program.parameters pointers; `scratch` is grown as
// needed and can be used again. The result is a reference into `scratch` (or one of the parameters).
const Lanes& run(const Program& program, int count, const Lanes* const* parameters,
                 std::vector<Lanes>& scratch);

}  // namespace mezzo::ir
