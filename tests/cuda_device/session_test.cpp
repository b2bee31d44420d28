// Training on the device beside the CPU backend: the same files, batches and options; and what a session does
// there that it does not do on the CPU.
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "fake_device.h"
#include "passes/step_names.h"
#include "runtime/session.h"

namespace mezzo::testing_cuda {
namespace {

using ir::DType;
using ir::Tensor;
using runtime::Arrays;
using runtime::LoadedModel;
using runtime::Session;
using ::testing::HasSubstr;

std::shared_ptr<LoadedModel> fixture(const std::string& name) {
  return std::make_shared<LoadedModel>(concat(MEZZO_SOURCE_DIR + "/models/fixtures/", name));
}

Arrays batch(const std::string& net, int64_t k) {
  static std::map<std::string, Arrays> runs;
  auto [it, fresh] = runs.try_emplace(net);
  if (fresh) it->second = runtime::read_npz(concat(MEZZO_SOURCE_DIR + "/models/fixtures/", net, ".runs.npz"));
  const Tensor &data = it->second.at("data:input"), &labels = it->second.at("labels");
  constexpr int64_t kBatch = 16;
  ir::Dims dims = data.dims();
  dims[0] = kBatch;
  Tensor x({data.dtype(), dims}), y({labels.dtype(), {kBatch}});
  std::copy_n(data.data() + k * x.bytes(), x.bytes(), x.data());
  std::copy_n(labels.data() + k * y.bytes(), y.bytes(), y.data());
  return {{"input", x}, {"labels", y}};
}

CompileOptions options_for(Device device, Precision precision, const std::string& optimizer) {
  CompileOptions o;
  o.device = device;
  o.precision = precision;
  o.cache_dir = "none";
  if (optimizer == "sgd") o.optimizer = SGD{.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-4};
  if (optimizer == "adamw") o.optimizer = AdamW{.lr = 1e-3, .weight_decay = 0.01};
  if (optimizer == "adamw") o.clip_norm = 1.0;
  return o;
}

double distance(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.type(), b.type());
  double error = 0, norm = 0;
  for (int64_t i = 0; i < b.count(); i++) {
    error += std::pow(a.get(i) - b.get(i), 2);
    norm += std::pow(b.get(i), 2);
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

struct Trial {
  const char *net, *optimizer;
  Precision precision;
  int steps;
  Numerics numerics = Numerics::strict;
};
std::string trial_name(const ::testing::TestParamInfo<Trial>& info) {
  const char* precisions[] = {"fp32", "bf16", "fp16"};
  return concat(info.param.net, "_", info.param.optimizer, "_",
                precisions[static_cast<int>(info.param.precision)],
                info.param.numerics == Numerics::excess ? "_excess" : "");
}

class Training : public OnDevice, public ::testing::WithParamInterface<Trial> {};

TEST_P(Training, EqualsTheCpu) {
  const Trial& t = GetParam();
  auto model = fixture(concat(t.net, ".ts17.onnx"));
  auto options = [&](Device device) {
    CompileOptions o = options_for(device, t.precision, t.optimizer);
    o.numerics = t.numerics;
    return o;
  };
  Session cuda(model, options(Device::cuda)), cpu(model, options(Device::cpu));
  // Sums are in another order; a 16-bit rounding may then fall on the other side, by 2^-8 or 2^-11.
  const double bound = t.precision == Precision::fp32 ? 1e-4 : t.precision == Precision::bf16 ? 2e-2 : 4e-3;
  for (int64_t k = 0; k < t.steps; k++) {
    StepResult a = cuda.step({batch(t.net, k)}), b = cpu.step({batch(t.net, k)});
    EXPECT_EQ(a.step, b.step);
    EXPECT_EQ(a.skipped, b.skipped);
    EXPECT_EQ(a.scale, b.scale);
    EXPECT_NEAR(a.loss / b.loss, 1, bound) << "step " << k + 1;
    EXPECT_NEAR(a.grad_norm / b.grad_norm, 1, 5 * bound) << "step " << k + 1;
  }
  double worst = 0;
  for (const std::string& name : cuda.parameters())
    worst = std::max(worst, distance(cuda.parameter(name), cpu.parameter(name)));
  EXPECT_LE(worst, bound);
  std::printf("%d steps, %zu parameters, relative distance at most %.2g\n", t.steps, cuda.parameters().size(),
              worst);
}

INSTANTIATE_TEST_SUITE_P(
    Nets, Training,
    ::testing::Values(Trial{"mlp", "sgd", Precision::fp32, 20}, Trial{"mlp", "adamw", Precision::fp32, 20},
                      Trial{"mlp", "adamw", Precision::bf16, 20}, Trial{"mlp", "sgd", Precision::fp16, 20},
                      Trial{"mlp", "adamw", Precision::bf16, 20, Numerics::excess},
                      Trial{"lenet", "sgd", Precision::fp32, 4}, Trial{"lenet", "sgd", Precision::bf16, 4},
                      Trial{"lenet", "sgd", Precision::bf16, 4, Numerics::excess},
                      Trial{"digits_cnn", "sgd", Precision::fp32, 4},
                      Trial{"digits_cnn", "sgd", Precision::bf16, 4, Numerics::excess}),
    trial_name);

class SessionTest : public OnFakeDevice {};
class SessionOnDevice : public OnDevice {};

TEST_F(SessionTest, AStepIsOneGraphAndTheInputs) {
  Session session(fixture("mlp.ts17.onnx"), options_for(Device::cuda, Precision::fp16, "adamw"));
  for (int k = 0; k < 3; k++) session.step({batch("mlp", k)});
  reset_calls();
  for (int k = 3; k < 13; k++) session.step({batch("mlp", k)});
  EXPECT_EQ(calls("cuGraphLaunch"), 10);
  EXPECT_EQ(calls("cuMemcpyHtoDAsync_v2"), 10);
  EXPECT_EQ(calls("cuMemcpyDtoHAsync_v2"), 0);
  EXPECT_EQ(calls("cuLaunchKernel"), 0);
  EXPECT_EQ(calls("cuMemAlloc_v2") + calls("cuMemHostAlloc"), 0);
  EXPECT_EQ(waits(), 0);
}

TEST_F(SessionTest, WithoutRoomForTheNextWindowItWaits) {
  auto model = fixture("mlp.ts17.onnx");
  const CompileOptions options = options_for(Device::cuda, Precision::fp32, "sgd");
  Session ahead(model, options), plain(model, options);
  const char* functions[] = {"cuMemAlloc_v2", "cuStreamCreate", "cuEventCreate", "cuEventCreate"};
  ahead.stage({batch("mlp", 0)});
  for (int k = 0; k < 4; k++) {
    plain.step({batch("mlp", k)});
    ahead.start();
    fail(functions[k], k == 3 ? 2 : 1, 2);
    ahead.stage({batch("mlp", k + 1)});
    fail_nothing();
    ahead.finish();
  }
  for (const std::string& name : plain.parameters()) EXPECT_EQ(ahead.parameter(name), plain.parameter(name));
}

TEST_F(SessionOnDevice, OverflowIsTracedUnderReplay) {
  auto model = fixture("mlp.ts17.onnx");
  Session cuda(model, options_for(Device::cuda, Precision::fp16, "sgd")),
      cpu(model, options_for(Device::cpu, Precision::fp16, "sgd"));
  for (int k = 0; k < 3; k++) {
    cuda.step({batch("mlp", k)});
    cpu.step({batch("mlp", k)});
  }
  Arrays before = cuda.states().all();
  Arrays bad = batch("mlp", 3);
  bad.at("input").set(5, INFINITY);
  StepResult a = cuda.step({bad}), b = cpu.step({bad});
  ASSERT_TRUE(a.skipped && b.skipped);
  ASSERT_TRUE(a.overflow && b.overflow);
  EXPECT_EQ(a.overflow->op, b.overflow->op);
  EXPECT_EQ(a.overflow->node, b.overflow->node);
  for (const std::string& name : cuda.parameters()) EXPECT_EQ(cuda.parameter(name), before.at(name)) << name;
  EXPECT_EQ(cuda.states().at(passes::kScale).get(0), a.scale / 2);
  StepResult next = cuda.step({batch("mlp", 4)});
  EXPECT_FALSE(next.skipped);
  EXPECT_EQ(next.scale, a.scale / 2);
}

TEST_F(SessionOnDevice, WindowsGradientsAndEvaluation) {
  auto model = fixture("mlp.ts17.onnx");
  Session cuda(model, options_for(Device::cuda, Precision::fp32, "sgd")),
      cpu(model, options_for(Device::cpu, Precision::fp32, "sgd"));
  for (int k = 0; k < 3; k++) {
    std::vector<Arrays> window{batch("mlp", 2 * k), batch("mlp", 2 * k + 1)};
    EXPECT_NEAR(cuda.step(window).loss, cpu.step(window).loss, 1e-4);
  }
  auto a = cuda.gradients(batch("mlp", 7)), b = cpu.gradients(batch("mlp", 7));
  EXPECT_NEAR(a.loss, b.loss, 1e-4);
  for (auto& [name, g] : b.gradients) EXPECT_LE(distance(a.gradients.at(name), g), 1e-4) << name;
  auto x = cuda.evaluate(batch("mlp", 8)), y = cpu.evaluate(batch("mlp", 8));
  EXPECT_NEAR(x.loss, y.loss, 1e-4);
  EXPECT_EQ(x.hits.counted, y.hits.counted);
  for (const std::string& name : cuda.parameters())
    EXPECT_LE(distance(cuda.parameter(name), cpu.parameter(name)), 1e-4) << name;
}

TEST_F(SessionTest, APlanThatDoesNotFitIsRefusedBeforeAnythingIsAllocated) {
  ::setenv("FAKE_CUDA_MEMORY", "20000", 1);
  const long before = used();
  try {
    Session session(fixture("mlp.ts17.onnx"), options_for(Device::cuda, Precision::fp32, "adamw"));
    session.step({batch("mlp", 0)});
    ADD_FAILURE() << "it fits";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(e.what(), HasSubstr("bytes of the device's memory, 20000 are free: parameters "));
    for (const char* category : {"slots", "inputs", "constants", "arena", "activations", "gradients"})
      EXPECT_THAT(e.what(), HasSubstr(category));
    EXPECT_THAT(e.hint(), HasSubstr("--accumulate"));
  }
  ::unsetenv("FAKE_CUDA_MEMORY");
  EXPECT_EQ(used(), before);
}

// Memory that runs out in the middle of a training stops one question, and changes nothing.
TEST_F(SessionTest, OutOfMemoryLeavesTheStatesAlone) {
  auto model = fixture("mlp.ts17.onnx");
  Session tried(model, options_for(Device::cuda, Precision::fp32, "adamw")),
      plain(model, options_for(Device::cuda, Precision::fp32, "adamw"));
  for (int k = 0; k < 2; k++) tried.step({batch("mlp", k)}), plain.step({batch("mlp", k)});
  int refused = 0;
  for (const char* function : {"cuModuleLoadDataEx", "cuMemAlloc_v2", "cuMemHostAlloc"}) try {
      fail(function, 1, 2);
      tried.evaluate(batch("mlp", 2));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::out_of_memory) << function;
      refused++;
    }
  fail_nothing();
  EXPECT_EQ(refused, 3);
  for (int k = 2; k < 4; k++)
    EXPECT_EQ(tried.step({batch("mlp", k)}).loss, plain.step({batch("mlp", k)}).loss);
  for (const std::string& name : plain.parameters()) EXPECT_EQ(tried.parameter(name), plain.parameter(name));
}

// A fault of the device ends the session's device side; that is said, also by what comes after.
TEST_F(SessionTest, AFaultIsAnErrorUntilTheProcessEnds) {
  Session session(fixture("mlp.ts17.onnx"), options_for(Device::cuda, Precision::fp32, "sgd"));
  session.step({batch("mlp", 0)});
  const std::string out = testing::TempDir() + concat("mezzo_fault_", ::getpid(), ".onnx");
  const std::function<void()> questions[] = {
      [&] { session.step({batch("mlp", 1)}); }, [&] { session.step({batch("mlp", 2)}); },
      [&] { session.evaluate(batch("mlp", 2)); }, [&] { session.parameter("fc1.weight"); },
      [&] { session.save_onnx(out); }};
  fail("cuMemcpyHtoDAsync_v2", 1, 719);
  for (const auto& question : questions) try {
      question();
      ADD_FAILURE();
    } catch (const InternalError& e) {
      EXPECT_THAT(e.what(), HasSubstr("a kernel failed on the device"));
    }
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace mezzo::testing_cuda
