// Every case of tests/ops/cases.txt through the passes and the CPU backend: elementwise results and movement
// equal the rounded evaluator bit for bit, what adds in another order stays within bounds.
#include "codegen/cpu/jit.h"
#include "kernel_harness.h"
#include "tests/codegen/backend_agreement.h"

namespace mezzo::codegen::testing {
namespace {

class CpuOps : public ::testing::TestWithParam<ir::OpCase> {
 protected:
  static void check(const PlannedCase& c) {
    const Agreement a = check_case(c, *compile_cpu(c.planned, {.threads = 2}));
    if (!cpu::jit_available()) return;
    for (const std::string& detail : a.launches)
      EXPECT_EQ(detail.substr(0, 3), "jit") << "the evaluator would be compared with itself";
  }
};

TEST_P(CpuOps, Values) {
  for (DType real : {DType::f32, DType::bf16, DType::f16}) {
    if (ir::is_low(real) && !GetParam().low) continue;
    SCOPED_TRACE(name(real));
    check(value_case(GetParam(), real));
  }
}

TEST_P(CpuOps, Gradients) {
  for (DType real : {DType::f32, DType::bf16}) {
    if (ir::is_low(real) && !GetParam().low) continue;
    SCOPED_TRACE(name(real));
    if (auto c = gradient_case(GetParam(), real)) check(*c);
  }
}

std::string test_name(const ::testing::TestParamInfo<ir::OpCase>& tested) {
  return concat(tested.param.op->name, "_line", tested.param.number);
}

INSTANTIATE_TEST_SUITE_P(All, CpuOps, ::testing::ValuesIn(ir::load_op_cases()), test_name);

}  // namespace
}  // namespace mezzo::codegen::testing
