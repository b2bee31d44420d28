// backend_agreement.h: any backend against the rounded evaluator, over the cases of tests/ops/cases.txt.
#pragma once
#include <optional>

#include "codegen/program.h"
#include "tests/ops/op_case.h"

namespace mezzo::codegen::testing {

// How a case went. Outputs whose value depends on a sum, a product or a library call may differ within
// bounds, because these add in another order; all others must have the evaluator's bits.
struct Agreement {
  int exact = 0, bounded = 0;         // outputs compared
  std::vector<std::string> launches;  // LaunchInfo::detail of the kernels with a body
};

// A case, made ready for a backend.
struct PlannedCase {
  ir::Graph graph, planned;  // before the passes and behind them
  std::map<std::string, ir::Tensor> feeds;
  double tolerance;
  ir::DType real;
};
// The op's value with `real` for f32.
PlannedCase value_case(const ir::OpCase& c, ir::DType real);
// The gradients of all its inputs; nothing where it has none.
std::optional<PlannedCase> gradient_case(const ir::OpCase& c, ir::DType real);

// What a backend's program makes of the planned graph, against the graph as it was before the passes.
// Failures are GoogleTest's.
Agreement check_case(const PlannedCase& c, Program& program);

}  // namespace mezzo::codegen::testing
