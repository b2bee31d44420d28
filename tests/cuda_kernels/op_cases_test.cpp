// Every line of tests/ops/cases.txt, its value and its gradients, planned, on the simulated GPU: what depends
// on no sum equals the evaluator bit for bit, all else is within bounds, and all schedules agree in every
// bit.
#include <iostream>

#include "codegen/emit.h"
#include "simulated_program.h"
#include "tests/codegen/backend_agreement.h"
#include "tests/codegen/kernel_harness.h"

namespace mezzo::cuda_sim {
namespace {

using codegen::testing::Agreement;
using codegen::testing::PlannedCase;

class CudaOps : public testing::Test {
 protected:
  void add(const std::string& what, PlannedCase c) {
    try {
      auto program = simulated_program(c.planned, kernels_);
      items_.push_back({what, std::move(c), std::move(program)});
    } catch (const codegen::Unsupported& e) {
      ADD_FAILURE() << "not on CUDA: " << what << ": " << e.what();
    }
  }

  // All kernels are compiled together; then every case runs.
  void check(const char* of_what, int least_lines) {
    Agreement all;
    for (Item& item : items_) {
      SCOPED_TRACE(item.what);
      try {
        const Agreement a = codegen::testing::check_case(item.planned, *item.program);
        all.exact += a.exact;
        all.bounded += a.bounded;
      } catch (const Fault& e) {
        ADD_FAILURE() << e.what();
      }
      item.program.reset();
    }
    std::cout << "CUDA = evaluator: " << of_what << " of " << lines_ << " lines in " << items_.size()
              << " forms, " << kernels_.count() << " different kernels; " << all.exact
              << " results in every bit, " << all.bounded << " within bounds\n";
    EXPECT_GE(lines_, least_lines);
    EXPECT_GT(all.exact, 300);
  }

  struct Item {
    std::string what;
    PlannedCase planned;
    std::unique_ptr<codegen::Program> program;
  };
  SimulatedKernels kernels_;
  std::vector<Item> items_;
  int lines_ = 0;
};

TEST_F(CudaOps, Values) {
  for (const ir::OpCase& c : ir::load_op_cases()) {
    lines_++;
    for (ir::DType real : {ir::DType::f32, ir::DType::bf16, ir::DType::f16})
      if (c.low || !ir::is_low(real))
        add(concat(c.line, " as ", ir::name(real)), codegen::testing::value_case(c, real));
  }
  check("values", 450);
}

TEST_F(CudaOps, Gradients) {
  for (const ir::OpCase& c : ir::load_op_cases()) {
    bool any = false;
    for (ir::DType real : {ir::DType::f32, ir::DType::bf16}) {
      if (ir::is_low(real) && !c.low) continue;
      auto planned = codegen::testing::gradient_case(c, real);
      any |= planned.has_value();
      if (planned) add(concat("gradient of ", c.line, " as ", ir::name(real)), std::move(*planned));
    }
    lines_ += any;
  }
  check("gradients", 380);
}

}  // namespace
}  // namespace mezzo::cuda_sim
