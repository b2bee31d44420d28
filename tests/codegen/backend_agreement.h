// backend_agreement.h: any backend against the rounded evaluator, over the cases of tests/ops/cases.txt.
#pragma once
#include <functional>

#include "codegen/program.h"
#include "tests/ops/op_case.h"

namespace mezzo::codegen::testing {

// A backend: makes a program of a planned graph.
using CompilePlanned = std::function<std::unique_ptr<Program>(const ir::Graph& planned)>;

// How a case went. Outputs whose value depends on a sum, a product or a library call may differ within
// bounds, because these add in another order; all others must have the evaluator's bits.
struct Agreement {
  int exact = 0, bounded = 0;         // outputs compared
  std::vector<std::string> launches;  // LaunchInfo::detail of the kernels with a body
};

// The op's value with `real` for f32, through all passes and the backend, against the graph as it was before
// the passes. Failures are GoogleTest's.
Agreement check_value(const ir::OpCase& c, ir::DType real, const CompilePlanned& compile);
// The same for the gradients of all its inputs.
Agreement check_gradient(const ir::OpCase& c, ir::DType real, const CompilePlanned& compile);

}  // namespace mezzo::codegen::testing
