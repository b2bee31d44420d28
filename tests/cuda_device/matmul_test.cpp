// Products through cuBLASLt's calling conventions: plans, and results of the fake library beside the
// evaluator's.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "codegen/cuda/matmul.h"
#include "device_run.h"
#include "ir/build.h"
#include "ir/eval.h"

namespace mezzo::testing_cuda {
namespace {

using codegen::DeviceMemory;
using ir::Dims;
using ir::DType;
using ir::Graph;
using ir::Tensor;
using ::testing::HasSubstr;

struct Product {
  const char* name;
  Dims a, b;
  bool trans_a, trans_b, bias;
  DType type, out;
  const char* detail;  // how it must run
};

Graph graph_of(const Product& p) {
  Graph g;
  ir::Values in{g.input("a", {p.type, p.a}), g.input("b", {p.type, p.b})};
  if (p.bias)
    in.push_back(g.input("bias", {ir::compute_type(p.type), {p.b[p.b.size() - (p.trans_b ? 2 : 1)]}}));
  ir::Attrs attrs{{"out", p.out}};
  if (p.trans_a) attrs["trans_a"] = int64_t{1};
  if (p.trans_b) attrs["trans_b"] = int64_t{1};
  g.outputs = {{"y", g.add(ir::get_op("Dot"), in, attrs)->out()}};
  return g;
}

class MatmulTest : public OnDevice, public ::testing::WithParamInterface<Product> {};

TEST_P(MatmulTest, EqualsTheEvaluator) {
  const Product& p = GetParam();
  Graph g = graph_of(p);
  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  EXPECT_THAT(program->launches()[0].detail, HasSubstr(p.detail));
  DeviceRun on_device(g, *program, device);
  const Tensor& y = on_device.outputs[0];
  Tensor want = ir::evaluate(g, on_device.feeds, ir::EvalMode::rounded).outputs.at("y");
  for (int k = 0; k < 3; k++) {
    on_device.run();
    for (int64_t i = 0; i < y.count(); i++)  // sums of these numbers are exact in f32
      ASSERT_EQ(y.get(i), want.get(i)) << p.name << " element " << i << ", run " << k;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Products, MatmulTest,
    ::testing::Values(
        Product{"plain", {5, 7}, {7, 3}, false, false, false, DType::f32, DType::f32, "cuBLASLt"},
        Product{"trans_a", {7, 5}, {7, 3}, true, false, false, DType::f32, DType::f32, "cuBLASLt"},
        Product{"trans_b", {5, 7}, {3, 7}, false, true, false, DType::f64, DType::f64, "cuBLASLt"},
        Product{"both", {7, 5}, {3, 7}, true, true, false, DType::bf16, DType::f32, "cuBLASLt"},
        Product{"low", {5, 7}, {7, 3}, false, false, false, DType::f16, DType::f16, "cuBLASLt"},
        Product{"bias", {5, 7}, {3, 7}, false, true, true, DType::f32, DType::f32, "cuBLASLt +bias"},
        Product{"wide_bias", {5, 7}, {3, 7}, false, true, true, DType::bf16, DType::f32, "cuBLASLt +bias"},
        Product{"low_bias", {5, 7}, {3, 7}, false, true, true, DType::bf16, DType::bf16, "cuBLASLt; "},
        Product{"batch", {4, 5, 7}, {4, 7, 3}, false, false, false, DType::f32, DType::f32, "cuBLASLt x4"},
        Product{"heads", {2, 4, 5, 7}, {2, 4, 3, 7}, false, true, false, DType::bf16, DType::bf16, "x8"},
        Product{"rows", {2, 4, 5, 7}, {7, 3}, false, false, true, DType::f32, DType::f32, "cuBLASLt +bias"},
        Product{"one_a", {5, 7}, {4, 7, 3}, false, false, false, DType::f32, DType::f32, "cuBLASLt x4"}),
    [](const auto& product) { return std::string(product.param.name); });

class MatmulChoice : public OnFakeDevice {};

// The fake library's first proposal takes 2 ms, its third 1 ms.
TEST_F(MatmulChoice, FastestAlgorithmIsFoundOnceAndKept) {
  const Product p{"", {5, 7}, {7, 3}, false, false, false, DType::f32, DType::f32, ""};
  const Graph g = graph_of(p);
  const auto folder = std::filesystem::path(::testing::TempDir()) / concat("mezzo_choice_", ::getpid());
  std::filesystem::remove_all(folder);
  auto device = open();
  auto milliseconds = [&](const std::string& cache) {
    auto program = codegen::compile_cuda(g, {device, cache, "", 1});
    Tensor a({DType::f32, p.a}), b({DType::f32, p.b}), y(g.outputs[0].value.type());
    DeviceMemory arena(device, program->arena_bytes() + 64);
    codegen::Bindings bindings;
    bindings.arena = arena.data();
    bindings.inputs = {a.data(), b.data()};
    bindings.outputs = {y.data()};
    const double before = control<FakeCudaNow>("fake_cuda_now")();
    program->run(bindings);
    return control<FakeCudaNow>("fake_cuda_now")() - before;
  };
  EXPECT_NEAR(milliseconds(""), 2, 0.5) << "nothing is timed where the answer cannot be kept";
  reset_calls();
  EXPECT_NEAR(milliseconds(folder.string()), 1, 0.5);
  EXPECT_EQ(calls("cuEventSynchronize"), 2) << "of three proposals one is unusable";
  reset_calls();
  EXPECT_NEAR(milliseconds(folder.string()), 1, 0.5);
  EXPECT_EQ(calls("cuEventCreate"), 0);
  // A damaged answer is found again.
  for (auto& entry : std::filesystem::directory_iterator(folder)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(12);
    file.put('#');
  }
  EXPECT_NEAR(milliseconds(folder.string()), 1, 0.5);
  EXPECT_EQ(calls("cuEventSynchronize"), 2);
  std::filesystem::remove_all(folder);
}

// Memory for the measurement that is not there makes no error of a product that fits.
TEST_F(MatmulChoice, WithoutMemoryToTimeTheFirstIsTaken) {
  const Graph g = graph_of({"", {5, 7}, {7, 3}, false, false, false, DType::f32, DType::f32, ""});
  const auto folder = std::filesystem::path(::testing::TempDir()) / concat("mezzo_no_room_", ::getpid());
  auto device = open();
  for (long n = 1; n <= 5; n++) {
    std::filesystem::remove_all(folder);
    const long before = live();
    fail("cuMemAlloc_v2", n, 2);
    { auto program = codegen::compile_cuda(g, {device, folder.string(), "", 1}); }
    EXPECT_EQ(live(), before) << n;
  }
  std::filesystem::remove_all(folder);
}

TEST(MatmulPlan, WeightsOfAllRowsAreOneProduct) {
  Product p{"", {2, 4, 5, 7}, {7, 3}, false, false, false, DType::f32, DType::f32, ""};
  Graph g = graph_of(p);
  auto plan = codegen::cuda::plan_matmul(*g.nodes().back(), DType::f32, false);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->batch, 1);
  EXPECT_EQ(plan->b.columns, 40);
}

TEST(MatmulPlan, WhatTheLibraryCannotSay) {
  Product integers{"", {5, 7}, {7, 3}, false, false, false, DType::i32, DType::i32, ""};
  Graph g = graph_of(integers);
  EXPECT_FALSE(codegen::cuda::plan_matmul(*g.nodes().back(), DType::i32, false));
  Product uneven{"", {2, 4, 5, 7}, {4, 7, 3}, false, false, false, DType::f32, DType::f32, ""};
  Graph u = graph_of(uneven);
  EXPECT_FALSE(codegen::cuda::plan_matmul(*u.nodes().back(), DType::f32, false));
}

}  // namespace
}  // namespace mezzo::testing_cuda
