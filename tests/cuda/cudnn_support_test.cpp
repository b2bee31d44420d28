// Which convolutions and attentions cuDNN does for a GPU that is not here: a description of its properties
// stands for the device, and plans are built as far as they go without one. Needs the real library; skips
// where it is absent.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "codegen/cuda/convolution.h"
#include "codegen/cuda/dnn_attention.h"
#include "codegen/cuda/libraries.h"
#include "ir/build.h"
#include "ir/op.h"

// cuDNN keeps a cuBLASLt handle of its own to the end, which the leak sanitizer reports.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libcublasLt.so\nleak:libcudnn\n"; }

namespace mezzo::codegen::cuda {
namespace {

using ir::Dims;
using ir::DType;

// Member names are the library's; all must be there. The values are those of an H200.
constexpr const char* kH200 =
    R"({"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,
"multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,
"reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,
"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"totalGlobalMem":150754820096,
"smClockRateKHz":1980000,"memClockRateKHz":3201000,"l2CacheSize":62914560,"cudaDeviceId":0,"deviceVer":900,
"driverVer":13000,"deviceName":"NVIDIA H200"})";

struct Shape {
  const char* name;
  int64_t channels, extent, filters, kernel, stride;
};

// A convolution of a batch of 64 in NHWC, or one of its gradients.
ir::Node* make_node(ir::Graph& g, ProductKind kind, DType type, DType out, const Shape& s) {
  const int64_t n = 64, pad = s.kernel / 2, reach = (s.extent + 2 * pad - s.kernel) / s.stride + 1;
  Dims x{n, s.extent, s.extent, s.channels}, w{s.filters, s.channels, s.kernel, s.kernel},
      y{n, reach, reach, s.filters};
  ir::Attrs attrs{{"strides", ir::Ints{s.stride, s.stride}},
                  {"dilations", ir::Ints{1, 1}},
                  {"pads_begin", ir::Ints{pad, pad}},
                  {"pads_end", ir::Ints{pad, pad}},
                  {"groups", int64_t{1}},
                  {"channels_last", int64_t{1}},
                  {"out", out}};
  auto input = [&](const char* name, const Dims& dims) { return g.input(name, {type, dims}); };
  if (kind == ProductKind::convolution)
    return g.add(ir::get_op("Convolution"), {input("x", x), input("w", w)}, attrs);
  attrs["shape"] = kind == ProductKind::input_grad ? x : w;
  if (kind == ProductKind::input_grad)
    return g.add(ir::get_op("ConvolutionInputGrad"), {input("dy", y), input("w", w)}, attrs);
  return g.add(ir::get_op("ConvolutionWeightGrad"), {input("x", x), input("dy", y)}, attrs);
}

// The fake one knows no devices but the fake one.
bool is_real(const Library& cudnn) { return cudnn && cudnn.path.find("fake_cuda") == std::string::npos; }

TEST(CudnnSupport, ConvolutionsOfResNetForSm90) {
  const auto& library = cudnn_library();
  if (!is_real(library.library))
    GTEST_SKIP() << "no cuDNN 9 here: "
                 << (library.library.attempts.empty() ? "" : library.library.attempts.back());
  Descriptor device(library.api, kDnnDeviceProperties);
  device.set_text(kDnnDeviceJson, kH200).finish("device properties");
  const Shape shapes[] = {{"3x3", 256, 14, 256, 3, 1},
                          {"3x3 stride 2", 128, 28, 128, 3, 2},
                          {"1x1", 256, 56, 64, 1, 1},
                          {"7x7 stride 2", 3, 224, 64, 7, 2}};
  // Printed, and whether it could be built.
  auto build = [&](ProductKind kind, const char* name, DType type, DType out, const Shape& s) {
    ir::Graph g;
    auto plan = plan_convolution(*make_node(g, kind, type, out, s), kind, out);
    EXPECT_TRUE(plan && plan->filter_last == (s.kernel > 1)) << s.name;
    std::printf("%-4s -> %-4s %-15s %-12s ", std::string(ir::name(type)).c_str(),
                std::string(ir::name(out)).c_str(), name, s.name);
    try {
      const DnnTarget target{nullptr, &device};
      DnnPlan made =
          build_plan(library.api, target, convolution_graph(library.api, target, *plan), plan->text());
      std::string text = made.plan.text(kDnnPlanJson);
      EXPECT_GT(text.size(), 100u);
      EXPECT_GE(made.workspace, 0);
      std::printf("%2d proposals, number %d taken, workspace %lld, %zu bytes of text\n", made.proposed,
                  made.tried, static_cast<long long>(made.workspace), text.size());
      return 1;
    } catch (const DnnRefusal&) {
      std::printf("refused\n");
      return 0;
    }
  };
  int built = 0, asked = 0, wide = 0;
  for (DType type : {DType::bf16, DType::f16})
    for (const Shape& s : shapes) {
      asked += 3;
      built += build(ProductKind::convolution, "forward", type, type, s);
      built += build(ProductKind::input_grad, "input gradient", type, type, s);
      built += build(ProductKind::weight_grad, "weight gradient", type, type, s);
      // What a step with strict numerics asks for. cuDNN 9.19 proposes nothing, and own kernels do it.
      wide += build(ProductKind::weight_grad, "weight gradient", type, DType::f32, s);
    }
  std::printf("%d of %d built by cuDNN %s; f32 weight gradients of 16-bit operands: %d of %d\n", built, asked,
              library.library.version.c_str(), wide, asked / 3);
  EXPECT_EQ(built, asked);
}

// An attention as its node, with Q, K and V in [B, S, H, D] or [B, H, S, D].
ir::Node* make_attention(ir::Graph& g, DType type, bool gradient, bool causal, bool inner_heads) {
  const Dims rows = inner_heads ? Dims{16, 1024, 12, 64} : Dims{16, 12, 1024, 64}, column{16, 12, 1024, 1};
  ir::Values in{g.input("q", {type, rows}), g.input("k", {type, rows}), g.input("v", {type, rows})};
  ir::Attrs attrs{{"scale", 0.125}, {"narrow_weights", int64_t{1}}};
  if (causal) attrs["upper"] = int64_t{0};
  if (inner_heads) attrs["inner_heads"] = ir::Ints{0, 1, 2, 3};
  if (!gradient) return g.add(ir::get_op("ScaledDotProductAttention"), in, attrs);
  in.push_back(g.input("y", {type, rows}));
  in.push_back(g.input("sums", {DType::f32, column}));
  in.push_back(g.input("dy", {type, rows}));
  return g.add(ir::get_op("ScaledDotProductAttentionGrad"), in, attrs);
}

// Kernels for attention are compiled when a plan is built, and loaded then, which needs a driver: where there
// is none the toolkit's stub stands for it, and a plan gets as far as that.
bool open_driver() {
  for (const char* driver :
       {"libcuda.so.1", "/usr/local/cuda/lib64/stubs/libcuda.so", "/usr/local/cuda/lib/stubs/libcuda.so",
        "/usr/local/cuda-13.0/lib/stubs/libcuda.so"})
    if (::dlopen(driver, RTLD_NOW | RTLD_GLOBAL)) return true;
  return false;
}

// Prints what the library says to every form of attention. The number of those it does not support.
int attention_refusals(const CudnnApi& api) {
  Descriptor device(api, kDnnDeviceProperties);
  device.set_text(kDnnDeviceJson, kH200).finish("device properties");
  const DnnTarget target{nullptr, &device};
  int refused = 0;
  for (DType type : {DType::bf16, DType::f16})
    for (bool gradient : {false, true})
      for (bool causal : {false, true})
        for (bool inner_heads : {false, true}) {
          ir::Graph g;
          auto plan = plan_attention(*make_attention(g, type, gradient, causal, inner_heads));
          std::fprintf(stderr, "%-4s attention%s%s%s: ", std::string(ir::name(type)).c_str(),
                       gradient ? " gradient" : "", causal ? ", causal" : "",
                       inner_heads ? ", heads inside" : "");
          try {
            const DnnGraph graph = attention_graph(api, target, plan.value());
            const DnnProposals made = propose(api, target, graph);
            std::fprintf(stderr, "%zu of %d proposals are reproducible; ", made.configs.size(),
                         made.proposed);
            refused += made.configs.empty();
            if (type == DType::bf16) build_plan(api, target, graph, "");  // a second and more for each
            std::fprintf(stderr, type == DType::bf16 ? "built\n" : "\n");
          } catch (const DnnRefusal& e) {
            const std::string what = e.what();
            const bool compiled = what.find("cuLibraryLoadData") != what.npos;
            refused += !compiled;
            std::fprintf(stderr, "%s\n",
                         compiled ? "compiled, and not loaded without a driver" : what.c_str());
          }
        }
  return refused;
}

// In a fresh process: cuDNN compiles with the NVRTC that is open, which may be the fake one here, and tests
// that look for a driver must not find the stub.
TEST(CudnnSupport, AttentionForSm90) {
  constexpr const char* kFresh = "MEZZO_TEST_FRESH_PROCESS";
  constexpr int kNoDriver = 100;
  if (std::getenv(kFresh)) std::_Exit(open_driver() ? attention_refusals(cudnn_library().api) : kNoDriver);
  if (!is_real(cudnn_library().library)) GTEST_SKIP() << "no cuDNN 9 here";
  const std::string command = concat(kFresh, "=1 '", std::filesystem::read_symlink("/proc/self/exe").string(),
                                     "' --gtest_filter=CudnnSupport.AttentionForSm90 --gtest_brief=1");
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoDriver) GTEST_SKIP() << "no libcuda.so.1, not even a stub";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "forms that are not supported";
}

TEST(CudnnSupport, AttentionThatIsNotAskedFor) {
  auto planned = [](auto change) {
    ir::Graph g;
    ir::Node* node = make_attention(g, DType::bf16, false, true, false);
    change(*node);
    return plan_attention(*node).has_value();
  };
  EXPECT_TRUE(planned([](ir::Node&) {}));
  EXPECT_FALSE(planned([](ir::Node& n) { n.set_attr("narrow_weights", int64_t{0}); })) << "strict numerics";
  EXPECT_FALSE(planned([](ir::Node& n) { n.set_attr("softcap", 30.0); }));
  EXPECT_FALSE(planned([](ir::Node& n) { n.set_attr("ratio", 0.5); })) << "a mask of its own";
  EXPECT_FALSE(planned([](ir::Node& n) { n.set_attr("upper", int64_t{3}); }));
  EXPECT_FALSE(planned([](ir::Node& n) { n.set_attr("lower", int64_t{-8}); }));
}

// What a plan says must not depend on what the library would do with it.
TEST(CudnnSupport, PlansDescribeLayouts) {
  ir::Graph g;
  Shape s{"", 8, 10, 16, 3, 2};
  auto plan = plan_convolution(*make_node(g, ProductKind::convolution, DType::f16, DType::f32, s),
                               ProductKind::convolution, DType::f32);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->x.dims, (std::vector<int64_t>{64, 8, 10, 10}));
  EXPECT_EQ(plan->x.strides, (std::vector<int64_t>{800, 1, 80, 8}));
  EXPECT_EQ(plan->w.strides, (std::vector<int64_t>{72, 1, 24, 8}));
  EXPECT_EQ(plan->y.dims, (std::vector<int64_t>{64, 16, 5, 5}));
  EXPECT_EQ(plan->y.type, kDnnFloat);
  EXPECT_EQ(plan->x.type, kDnnHalf);
  EXPECT_EQ(plan->compute, kDnnFloat);
}

}  // namespace
}  // namespace mezzo::codegen::cuda
