// Every line of tests/ops/cases.txt, planned, on the simulated GPU: elementwise kernels equal the evaluator
// bit for bit, those with sums are within bounds, and all schedules agree in every bit.
#include "comparison.h"
#include "node_run.h"
#include "passes/pipeline.h"
#include "tests/ops/op_case.h"

namespace mezzo::cuda_sim {
namespace {

TEST(CudaKernels, EveryOpCase) {
  std::vector<std::unique_ptr<ir::Graph>> graphs;
  NodeRuns runs;
  int lines = 0, forms = 0;
  for (const ir::OpCase& c : ir::load_op_cases()) {
    lines++;
    for (ir::DType real : {ir::DType::f32, ir::DType::bf16, ir::DType::f16}) {
      if (ir::is_low(real) && !c.low) continue;
      ir::BuiltCase built = ir::build_op_case(c, real);
      passes::StepGraphs planned =
          passes::run_pipeline(std::move(built.graph), {}, {.training = false, .first = "expand"});
      graphs.push_back(std::make_unique<ir::Graph>(std::move(planned.step)));
      runs.add(concat(c.line, " as ", ir::name(real)), *graphs.back(), std::move(built.feeds));
      forms++;
    }
  }
  Comparison comparison;
  runs.run([&](const std::string& what, const NodeRuns::Outcome& o) { comparison.check(what, o); });
  std::cout << "CUDA = evaluator: " << lines << " lines in " << forms << " forms, " << runs.nodes()
            << " nodes, " << comparison.exact << " of them exactly\n";
  for (const auto& [reason, count] : runs.unsupported())
    std::cout << "  not on CUDA: " << reason << ", " << count << " nodes\n";
  EXPECT_GT(comparison.exact, 300);
}

}  // namespace
}  // namespace mezzo::cuda_sim
