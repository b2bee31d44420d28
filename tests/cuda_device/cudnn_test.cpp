// Convolutions through cuDNN: results beside the evaluator's, the kernels around them, plans that are kept,
// and what happens when a call fails.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "device_run.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "runtime/session.h"

namespace mezzo::testing_cuda {
namespace {

using ir::Dims;
using ir::DType;
using ir::Graph;
using ir::Value;
using ::testing::HasSubstr;

constexpr int kNotSupported = 3000, kExecutionFailed = 5000;  // of cuDNN

struct Form {
  const char* name;
  DType type;
  Dims x, w;  // as N, C, spatial... and M, C/groups, kernel...
  ir::ConvolutionSpec spec;
  bool bias = false;
};

// The convolution and both gradients, in three outputs.
Graph graph_of(const Form& f) {
  Graph g;
  auto stored = [&](Dims dims) {
    if (f.spec.channels_last) std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
    return dims;
  };
  const Dims x_dims = stored(f.x);
  Value x = g.input("x", {f.type, x_dims}), w = g.input("w", {f.type, f.w}), bias;
  if (f.bias) bias = g.input("bias", {ir::compute_type(f.type), {f.w[0]}});
  Value y = ir::convolution(x, w, f.spec, bias);
  Value dy = g.input("dy", y.type());
  g.outputs = {{"y", y},
               {"dx", ir::convolution_input_grad(dy, w, x_dims, f.spec)},
               {"dw", ir::convolution_weight_grad(x, dy, f.w, f.spec)}};
  return g;
}

std::string details(const codegen::Program& program) {
  std::string out;
  for (const codegen::LaunchInfo& info : program.launches()) out += info.detail + "\n";
  return out;
}

// Sums of these numbers are exact, but for the fast algorithms of the real library.
void expect_results(const Graph& g, DeviceRun& run) {
  const auto want = ir::evaluate(g, run.feeds, ir::EvalMode::rounded).outputs;
  for (size_t k = 0; k < g.outputs.size(); k++) {
    const ir::Tensor &got = run.outputs[k], &expected = want.at(g.outputs[k].name);
    const double unit = !kReal ? 0 : ir::is_low(got.dtype()) ? 0x1p-7 : 1e-5;
    for (int64_t i = 0; i < got.count(); i++)
      ASSERT_NEAR(got.get(i), expected.get(i), unit * (1 + std::fabs(expected.get(i))))
          << g.outputs[k].name << " element " << i;
  }
}

class CudnnTest : public OnDevice, public ::testing::WithParamInterface<Form> {};

TEST_P(CudnnTest, EqualsTheEvaluator) {
  Graph g = graph_of(GetParam());
  place_results(g);
  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  ASSERT_EQ(program->launches().size(), 3u);
  for (const codegen::LaunchInfo& info : program->launches())
    EXPECT_TRUE(kReal || info.detail.find("cuDNN") != std::string::npos) << info.name << ": " << info.detail;
  DeviceRun run(g, *program, device);
  for (int k = 0; k < 3; k++) {  // the first directly, the second is captured, then replays
    run.run();
    expect_results(g, run);
  }
  if (kReal) return;
  late(true);
  run.run();
  late(false);
  expect_results(g, run);
}

constexpr DType f32 = DType::f32, f64 = DType::f64, bf16 = DType::bf16, f16 = DType::f16;
const ir::ConvolutionSpec kSame{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, kStrided{{2, 3}, {1, 1}, {1, 0}, {0, 2}},
    kLast{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, true}, kStridedLast{{2, 2}, {1, 1}, {1, 1}, {1, 1}, 1, true};
INSTANTIATE_TEST_SUITE_P(
    Forms, CudnnTest,
    ::testing::Values(
        Form{"plain", f32, {2, 3, 6, 5}, {4, 3, 3, 3}, kSame},
        Form{"strides_and_uneven_pads", f32, {2, 3, 7, 8}, {4, 3, 3, 2}, kStrided},
        Form{"dilated", f32, {1, 2, 9, 9}, {3, 2, 3, 3}, {{2, 1}, {2, 3}, {0, 1}, {1, 0}}},
        Form{"groups", f32, {2, 6, 5, 5}, {4, 3, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 2}},
        Form{"depthwise_last", f32, {2, 4, 5, 5}, {4, 1, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 4, true}},
        Form{"one_axis", f32, {2, 3, 9}, {4, 3, 4}, {{2}, {1}, {1}, {2}}, true},
        Form{"one_axis_last", f32, {2, 3, 9}, {4, 3, 4}, {{2}, {1}, {1}, {2}, 1, true}},
        Form{"three_axes",
             f32,
             {1, 2, 4, 5, 3},
             {3, 2, 2, 3, 2},
             {{1, 2, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 0}}},
        Form{"three_axes_last",
             f32,
             {1, 2, 4, 5, 3},
             {3, 2, 2, 3, 2},
             {{1, 2, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 0}, 1, true}},
        Form{"wide", f64, {2, 3, 6, 5}, {4, 3, 3, 3}, kSame, true},
        Form{"bf16", bf16, {2, 3, 6, 5}, {4, 3, 3, 3}, kSame, true},
        Form{"bf16_last", bf16, {2, 3, 7, 8}, {4, 3, 3, 3}, kStridedLast, true},
        Form{"f16_last", f16, {2, 3, 6, 5}, {4, 3, 3, 3}, kLast},
        Form{"one_tap_last",
             f16,
             {2, 3, 6, 5},
             {4, 3, 1, 1},
             {{2, 2}, {1, 1}, {0, 0}, {0, 0}, 1, true},
             true}),
    [](const auto& form) { return std::string(form.param.name); });

class CudnnCalls : public OnFakeDevice {
 protected:
  void SetUp() override {
    OnFakeDevice::SetUp();
    folder_ = std::filesystem::path(::testing::TempDir()) / concat("mezzo_cudnn_", ::getpid());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    if (!kReal) {
      void* count = ::dlsym(codegen::cuda::cudnn_library().library.handle, "fake_cudnn_live");
      EXPECT_EQ(reinterpret_cast<FakeCudnnLive*>(count)(), 0) << "something of cuDNN was not given back";
    }
    OnFakeDevice::TearDown();
  }
  // One convolution, without kernels around it.
  static Graph plain() {
    Graph g;
    g.outputs = {
        {"y", ir::convolution(g.input("x", {f32, {2, 3, 6, 5}}), g.input("w", {f32, {4, 3, 3, 3}}), kSame)}};
    return g;
  }
  std::unique_ptr<codegen::Program> compile(const Graph& g, bool keep = false) {
    return codegen::compile_cuda(g, {device_, keep ? folder_.string() : "", "", 1});
  }

  std::shared_ptr<codegen::cuda::CudaDevice> device_ = kReal ? nullptr : open();
  std::filesystem::path folder_;
};

// Filters lie with their channels last for the library, and a 16-bit bias is added before the one rounding.
TEST_F(CudnnCalls, KernelsAroundAConvolution) {
  Graph g = graph_of({"", bf16, {2, 3, 6, 5}, {4, 3, 3, 3}, kLast, true});
  place_results(g);
  auto program = compile(g);
  const auto& launches = program->launches();
  EXPECT_THAT(launches[0].detail, ::testing::MatchesRegex("[^;]+; cuDNN; [^;]+")) << "filter, y, bias";
  EXPECT_THAT(launches[1].detail, ::testing::MatchesRegex("[^;]+; cuDNN")) << "filter, dx";
  EXPECT_THAT(launches[2].detail, ::testing::MatchesRegex("cuDNN; [^;]+")) << "dw, filter";
  Graph rows = graph_of({"", f32, {2, 3, 6, 5}, {4, 3, 3, 3}, kSame});
  place_results(rows);
  EXPECT_EQ(details(*compile(rows)), "cuDNN\ncuDNN\ncuDNN\n");
}

// What a step with strict numerics asks for.
TEST_F(CudnnCalls, WideWeightGradientsAreOwnKernels) {
  Graph g;
  ir::ConvolutionSpec spec = kSame;
  spec.out = f32;
  Value x = g.input("x", {bf16, {2, 3, 6, 5}}), dy = g.input("dy", {bf16, {2, 4, 6, 5}});
  g.outputs = {{"dw", ir::convolution_weight_grad(x, dy, {4, 3, 3, 3}, spec)}};
  auto program = compile(g);
  EXPECT_THAT(details(*program), HasSubstr("own product"));
  DeviceRun run(g, *program, device_);
  run.run();
  expect_results(g, run);
}

TEST_F(CudnnCalls, PlansAreKept) {
  const Graph g = plain();
  auto finals = [&](int scripted = 0) {
    reset_calls();
    if (scripted != 0) fail("cudnnBackendFinalize", 1, scripted);
    auto program = compile(g, true);
    const long made = calls("cudnnBackendFinalize");
    EXPECT_EQ(details(*program), "cuDNN\n");
    DeviceRun run(g, *program, device_);
    run.run(3);
    expect_results(g, run);
    return made;
  };
  const long built = finals();
  EXPECT_GT(built, 6) << "tensors, operation, graph, heuristics, plans";
  EXPECT_EQ(finals(), 1) << "the plan alone, of its text";
  EXPECT_EQ(finals(kNotSupported), built + 1) << "a text that the library does not take any more";
  EXPECT_EQ(finals(), 1) << "stored again";
  for (auto& entry : std::filesystem::directory_iterator(folder_)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40);
    file.put('#');
  }
  EXPECT_EQ(finals(), built) << "damaged";
  EXPECT_EQ(finals(), 1);
}

// The first proposal is not reproducible, the second reads narrower numbers, the third cannot be built.
TEST_F(CudnnCalls, TheFirstProposalThatWillDoIsTaken) {
  const Graph g = plain();
  compile(g, true);
  std::string kept;
  for (auto& entry : std::filesystem::directory_iterator(folder_)) {
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    if (text.str().find("plan of the fake cuDNN") != std::string::npos) kept = text.str();
  }
  EXPECT_THAT(kept, HasSubstr("{\"plan of the fake cuDNN\": \" 34 "));
}

TEST_F(CudnnCalls, ARunThatFailsIsNamed) {
  const Graph g = plain();
  auto program = compile(g);
  DeviceRun run(g, *program, device_);
  for (const char* when : {"directly", "under capture", "under the next capture"}) {
    fail("cudnnBackendExecute", 1, kExecutionFailed);
    try {
      run.run();
      ADD_FAILURE() << when;
    } catch (const InternalError& e) {
      EXPECT_THAT(e.what(), HasSubstr("cuDNN does not run a plan: CUDNN_STATUS")) << when;
      EXPECT_THAT(e.what(), HasSubstr("told by the fake cuDNN")) << when;
    }
    fail_nothing();
    if (std::string(when) == "directly") run.run();
  }
  reset_calls();
  run.run(3);
  expect_results(g, run);
  EXPECT_EQ(calls("cuGraphLaunch"), 3);
  EXPECT_EQ(calls("cudnnBackendExecute"), 1) << "recorded once";
}

TEST_F(CudnnCalls, WithoutAHandleTheErrorSaysWhatToDo) {
  const Graph g = plain();
  for (const char* function : {"cudnnCreate", "cudnnSetStream"}) {
    fail(function, 1, 1001);
    try {
      compile(g);
      ADD_FAILURE() << function;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::unsupported);
      EXPECT_THAT(e.what(), HasSubstr("cuDNN does not start on the device"));
      EXPECT_THAT(e.hint(), HasSubstr("MEZZO_DEBUG=no_cudnn"));
    }
  }
}

// Own kernels serve where a plan cannot be made, whatever the reason; a run's failure is an error.
TEST_F(CudnnCalls, EveryCallMayFail) {
  const Graph g = plain();
  int own = 0, errors = 0, served = 0;
  for (const char* function : {"cudnnBackendCreateDescriptor", "cudnnBackendSetAttribute",
                               "cudnnBackendFinalize", "cudnnBackendGetAttribute", "cudnnBackendExecute"}) {
    reset_calls();
    {
      auto program = compile(g);
      DeviceRun(g, *program, device_).run(3);
    }
    const long total = calls(function), step = std::max(1L, total / 12), before = live();
    EXPECT_GT(total, 0) << function;
    for (long n = 1; n <= total; n += step) {
      fail(function, n, kNotSupported);
      try {
        auto program = compile(g);
        (details(*program) == "cuDNN\n" ? served : own)++;
        DeviceRun run(g, *program, device_);
        run.run(3);
        expect_results(g, run);
      } catch (const InternalError& e) {
        errors++;
        EXPECT_THAT(e.what(), HasSubstr("cuDNN does not run a plan: ")) << function << " " << n;
      } catch (const std::runtime_error& e) {
        ADD_FAILURE() << function << " " << n << ": " << e.what();
      }
      fail_nothing();
      EXPECT_EQ(live(), before) << function << " " << n;
    }
  }
  std::printf("%d plans all the same, %d own kernels, %d errors\n", served, own, errors);
  EXPECT_GT(own, 0);
  EXPECT_GT(errors, 0);
}

// A step of lenet: two convolutions, the gradient of the second's input, and with excess numerics those of
// both weights.
TEST_F(CudnnCalls, WeightGradientsOfAStepWithExcessNumerics) {
  const std::string fixtures = MEZZO_SOURCE_DIR + "/models/fixtures/";
  const auto runs = runtime::read_npz(fixtures + "lenet.runs.npz");
  runtime::Arrays batch;
  for (auto [from, to] : {std::pair{"data:input", "input"}, {"labels", "labels"}}) {
    const ir::Tensor& all = runs.at(from);
    Dims dims = all.dims();
    dims[0] = 4;
    ir::Tensor part({all.dtype(), dims});
    std::copy_n(all.data(), part.bytes(), part.data());
    batch.emplace(to, std::move(part));
  }
  for (Numerics numerics : {Numerics::strict, Numerics::excess}) {
    CompileOptions o;
    o.device = Device::cuda;
    o.precision = Precision::bf16;
    o.numerics = numerics;
    o.cache_dir = "none";
    runtime::Session session(std::make_shared<runtime::LoadedModel>(fixtures + "lenet.ts17.onnx"), o);
    reset_calls();
    session.step({batch});
    EXPECT_EQ(calls("cudnnBackendExecute"), numerics == Numerics::excess ? 5 : 3);
  }
}

}  // namespace
}  // namespace mezzo::testing_cuda
