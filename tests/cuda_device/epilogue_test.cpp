// DotEpilogue through cuBLASLt's epilogues, and, where the library cannot say it, as a product and a kernel:
// beside the evaluator.
#include <unistd.h>

#include <filesystem>

#include "codegen/cuda/matmul.h"
#include "device_run.h"
#include "ir/build.h"
#include "ir/dot_epilogue.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"

namespace mezzo::testing_cuda {
namespace {

using ir::Dims;
using ir::DType;
using ir::Epilogue;
using ir::Graph;
using ir::Tensor;
using ir::Value;
using ::testing::HasSubstr;

struct Product {
  const char* name;
  Dims a, b;
  DType type;
  bool bias;
  ir::DotEpilogueSpec spec;
  const char* detail;  // how it must run
};

Graph graph_of(const Product& p) {
  Graph g;
  Value a = g.input("a", {p.type, p.a}), b = g.input("b", {p.type, p.b});
  Graph scratch;
  ir::Type y = ir::dot(scratch.input("a", a.type()), scratch.input("b", b.type()),
                       {.trans_a = p.spec.trans_a, .trans_b = p.spec.trans_b, .out = p.spec.out})
                   .type();
  Value bias, operand;
  if (p.bias) bias = g.input("bias", {y.dtype, {y.dims.back()}});
  if (p.spec.epilogue == Epilogue::add || p.spec.epilogue == Epilogue::dgelu) operand = g.input("operand", y);
  const ir::Node* made = ir::dot_epilogue(a, b, bias, operand, p.spec);
  for (int k = 0; k < made->output_count(); k++) g.outputs.push_back({concat("y", k), made->out(k)});
  return g;
}

void expect_near(const Tensor& got, const Tensor& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.type(), want.type()) << what;
  double top = 1e-3;
  for (int64_t i = 0; i < want.count(); i++) top = std::max(top, std::fabs(want.get(i)));
  for (int64_t i = 0; i < want.count(); i++)
    ASSERT_NEAR(got.get(i), want.get(i), tolerance * top) << what << " element " << i;
}

double unit_of(DType type) { return type == DType::bf16 ? 0x1p-7 : type == DType::f16 ? 0x1p-10 : 1e-6; }

class EpilogueTest : public OnDevice, public ::testing::WithParamInterface<Product> {};

TEST_P(EpilogueTest, EqualsTheEvaluator) {
  const Product& p = GetParam();
  const Graph g = graph_of(p);
  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  ASSERT_EQ(program->launches().size(), 1u);
  EXPECT_THAT(program->launches()[0].detail, HasSubstr(p.detail));
  DeviceRun r(g, *program, device);
  r.run(3);
  const auto want = ir::evaluate(g, r.feeds, ir::EvalMode::rounded).outputs;
  for (size_t k = 0; k < g.outputs.size(); k++)
    expect_near(r.outputs[k], want.at(g.outputs[k].name), unit_of(g.outputs[k].value.dtype()),
                g.outputs[k].name);
}

constexpr DType f32 = DType::f32, bf16 = DType::bf16, f16 = DType::f16;
INSTANTIATE_TEST_SUITE_P(
    Products, EpilogueTest,
    ::testing::Values(
        Product{"bias", {5, 7}, {3, 7}, bf16, true, {Epilogue::bias, false, true}, "cuBLASLt +bias"},
        Product{"bias_of_batches", {4, 5, 7}, {4, 7, 3}, f16, true, {Epilogue::bias}, "cuBLASLt +bias x4"},
        Product{"add", {7, 5}, {7, 3}, bf16, false, {Epilogue::add, true, false, f32, 8}, "cuBLASLt +add"},
        Product{"add_low", {5, 7}, {7, 3}, bf16, false, {Epilogue::add}, "cuBLASLt +add"},
        Product{"add_batches", {4, 5, 7}, {4, 7, 3}, f32, false, {Epilogue::add}, "cuBLASLt +add x4"},
        Product{"add_wide",
                {5, 7},
                {7, 3},
                DType::f64,
                false,
                {Epilogue::add, false, false, {}, 0.3},
                "cuBLASLt +add"},
        Product{"gelu", {5, 7}, {7, 8}, bf16, true, {Epilogue::gelu}, "cuBLASLt +bias +gelu"},
        Product{"gelu_of_rows",
                {2, 5, 7},
                {16, 7},
                f16,
                true,
                {Epilogue::gelu, false, true},
                "cuBLASLt +bias +gelu"},
        Product{"gelu_alone", {5, 7}, {7, 8}, f32, false, {Epilogue::gelu}, "cuBLASLt +gelu"},
        Product{"dgelu", {5, 7}, {7, 8}, bf16, false, {Epilogue::dgelu}, "cuBLASLt +dgelu"},
        Product{"bias_gradient",
                {2, 5, 7},
                {8, 7},
                bf16,
                false,
                {Epilogue::dgelu, false, true, {}, 1, true},
                "cuBLASLt +dgelu +bias gradient"},
        // 12 elements are no whole 8; batches need strides of their own; the library has no f64 Gelu.
        Product{"gelu_of_12", {5, 7}, {7, 12}, bf16, true, {Epilogue::gelu}, "cuBLASLt; "},
        Product{"gelu_of_batches", {4, 5, 7}, {4, 7, 8}, bf16, true, {Epilogue::gelu}, "cuBLASLt x4; "},
        Product{"dgelu_of_12",
                {5, 7},
                {7, 12},
                f16,
                false,
                {Epilogue::dgelu, false, false, {}, 1, true},
                "cuBLASLt; "},
        Product{"gelu_wide", {5, 7}, {7, 8}, DType::f64, true, {Epilogue::gelu}, "cuBLASLt; "}),
    [](const auto& product) { return std::string(product.param.name); });

class Epilogues : public OnDevice {};

// update s = s + 8 Dot is one call that writes over the state.
TEST_F(Epilogues, AccumulateInPlace) {
  Graph g = ir::parse(R"(graph main {
  input %x : bf16[8,16]
  input %dy : bf16[8,24]
  state $sum kind="accumulator" : f32[16,24]
  %0 = Constant 8 : f32[]
  %1 = Dot(%x, %dy) trans_a=1 out=f32 : f32[16,24]
  %2 = Mul(%1, %0) : f32[16,24]
  %3 = Add($sum, %2) : f32[16,24]
  update $sum = %3 unconditional
}
)");
  const Graph before = ir::clone(g);
  g = passes::run_pipeline(std::move(g), {}, {.training = false, .first = "plan_epilogues"}).step;
  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  ASSERT_EQ(program->launches().size(), 1u) << "no kernel and no copy";
  EXPECT_THAT(program->launches()[0].detail, HasSubstr("cuBLASLt +add"));
  DeviceRun r(g, *program, device);
  r.run(3);
  for (int k = 0; k < 3; k++)
    r.feeds.at("sum") = ir::evaluate(before, r.feeds, ir::EvalMode::rounded).updates.at("sum");
  EXPECT_EQ(r.states().at(0), r.feeds.at("sum"));
}

// A feed-forward layer and its gradients, planned with excess numerics: three calls with an epilogue.
TEST_F(Epilogues, OfAFeedForwardLayer) {
  ir::Graph g;
  Value x = g.input("x", {f32, {4, 6, 16}}), target = g.input("target", {f32, {4, 6, 16}});
  auto linear = [&](Value v, const char* name, int64_t from, int64_t to) {
    Value w = g.state(concat(name, ".w"), {f32, {from, to}}, ir::StateKind::parameter);
    Value b = g.state(concat(name, ".b"), {f32, {to}}, ir::StateKind::parameter);
    return ir::apply("Add", {ir::apply("MatMul", {v, w}), b});
  };
  Value h = ir::apply("Gelu", {linear(x, "fc1", 16, 24)}, {{"approximate", std::string("tanh")}});
  Value error = linear(h, "fc2", 24, 16) - target;
  g.outputs = {{"loss", ir::reshape(ir::reduce_mean(error * error, {}), {})}};
  passes::Options options = passes::read_options("low=bf16 numerics=excess");
  g = passes::run_pipeline(std::move(g), options).step;
  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  std::string details;
  for (const codegen::LaunchInfo& info : program->launches()) details += info.detail + "\n";
  EXPECT_THAT(details, HasSubstr("cuBLASLt +bias +gelu\n"));
  EXPECT_THAT(details, HasSubstr("cuBLASLt +bias\n"));
  EXPECT_THAT(details, HasSubstr("cuBLASLt +dgelu +bias gradient\n"));
  DeviceRun r(g, *program, device);
  r.run(3);
  const auto want = ir::evaluate(g, r.feeds, ir::EvalMode::rounded).outputs;
  EXPECT_EQ(want.size(), g.outputs.size());
  for (size_t k = 0; k < g.outputs.size(); k++)
    expect_near(r.outputs[k], want.at(g.outputs[k].name), 2e-2, g.outputs[k].name);
}

// Where the answer can be kept, the library's proposals are timed, with everything an epilogue reads and
// writes.
TEST_F(Epilogues, AreTimedOnOperandsOfTheirOwn) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / concat("mezzo_epilogues_", ::getpid());
  auto device = open();
  for (const Product& p :
       {Product{"add", {7, 5}, {7, 3}, bf16, false, {Epilogue::add, true, false, f32, 8}, ""},
        Product{"gelu", {5, 7}, {7, 8}, bf16, true, {Epilogue::gelu}, ""},
        Product{"dgelu", {5, 7}, {8, 7}, bf16, false, {Epilogue::dgelu, false, true, {}, 1, true}, ""}}) {
    std::filesystem::remove_all(folder);
    const Graph g = graph_of(p);
    for (const char* when : {"timed", "known"}) {
      auto program = codegen::compile_cuda(g, {device, folder.string(), "", 1});
      EXPECT_THAT(program->launches()[0].detail, HasSubstr("+")) << p.name << ' ' << when;
      DeviceRun r(g, *program, device);
      r.run();
      const auto want = ir::evaluate(g, r.feeds, ir::EvalMode::rounded).outputs;
      for (size_t k = 0; k < g.outputs.size(); k++)
        expect_near(r.outputs[k], want.at(g.outputs[k].name), unit_of(g.outputs[k].value.dtype()), p.name);
    }
  }
  std::filesystem::remove_all(folder);
}

TEST(EpiloguePlan, SaysWhatTheLibraryReadsAndWrites) {
  const Product p{"", {2, 5, 7}, {8, 7}, bf16, false, {Epilogue::dgelu, false, true, {}, 1, true}, ""};
  const Graph g = graph_of(p);
  auto plan = codegen::cuda::plan_epilogue(*g.outputs[0].value.node);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->batch, 1);
  EXPECT_EQ(plan->d.columns, 10);
  EXPECT_EQ(plan->epilogue, codegen::cuda::kLtEpilogueDGeluBGrad);
  EXPECT_TRUE(plan->aux && plan->reads_aux && plan->bias_grad && !plan->bias);
}

}  // namespace
}  // namespace mezzo::testing_cuda
