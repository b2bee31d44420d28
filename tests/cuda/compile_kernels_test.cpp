// Kernel texts through NVRTC and its cache: the fake one, whose compilations are counted, and the real one
// where it is installed.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "codegen/cuda/compile_kernels.h"
#include "codegen/cuda/libraries.h"
#include "mezzo/error.h"
#include "tests/paths.h"

namespace mezzo::codegen::cuda {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

Loaded<NvrtcApi> fake_nvrtc() {
  return load_nvrtc(
      {[](const char* name) {
         return std::string(name == std::string("MEZZO_CUDA_PATH") ? MEZZO_BINARY_DIR + "/fake_cuda" : "");
       },
       "/nowhere"},
      0);
}

class Kernels : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / concat("mezzo_cubins_", ::getpid());
    fs::remove_all(folder_);
    loaded_ = fake_nvrtc();
    ASSERT_TRUE(loaded_) << loaded_.library.attempts[0];
  }
  void TearDown() override { fs::remove_all(folder_); }

  KernelCompiler compiler(int arch = 90) { return {loaded_.api, {arch, folder_.string(), 2}}; }
  int compilations() {
    auto count = reinterpret_cast<int (*)()>(dlsym(loaded_.library.handle, "fake_nvrtc_compilations"));
    int now = count() - before_;
    before_ += now;
    return now;
  }

  fs::path folder_;
  Loaded<NvrtcApi> loaded_;
  int before_ = 0;
};

TEST_F(Kernels, SecondTimeFromTheCache) {
  compilations();
  std::vector<std::string> texts{"text one", "text two", "text three"};
  auto first = compiler().compile(texts), second = compiler().compile(texts);
  EXPECT_EQ(compilations(), 3);
  for (size_t i = 0; i < texts.size(); i++) {
    EXPECT_FALSE(first[i].cached);
    EXPECT_TRUE(second[i].cached);
    EXPECT_EQ(first[i].code, second[i].code);
    EXPECT_THAT(first[i].code, HasSubstr(texts[i]));
    EXPECT_THAT(first[i].code, HasSubstr("--gpu-architecture=sm_90"));
  }
}

TEST_F(Kernels, DamagedEntryIsCompiledAgain) {
  compiler().compile({"text"});
  compilations();
  for (auto& entry : fs::directory_iterator(folder_)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(12);
    file.put('#');
  }
  EXPECT_EQ(ObjectCache(folder_.string()).content().damaged, 1);
  EXPECT_FALSE(compiler().compile({"text"})[0].cached);
  EXPECT_EQ(compilations(), 1);
  EXPECT_TRUE(compiler().compile({"text"})[0].cached);
  EXPECT_EQ(ObjectCache(folder_.string()).content().damaged, 0);
}

TEST_F(Kernels, FolderInTheWayOfAnEntryIsNoEntry) {
  compiler().compile({"text"});
  compilations();
  const fs::path entry = fs::directory_iterator(folder_)->path();
  fs::remove(entry);
  fs::create_directories(entry / "kept");
  EXPECT_FALSE(compiler().compile({"text"})[0].cached);
  EXPECT_EQ(compilations(), 1);
  EXPECT_TRUE(fs::exists(entry / "kept"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "a temporary file was left";
}

TEST_F(Kernels, OtherVersionOrDeviceIsAnotherEntry) {
  std::string key = compiler().key("text");
  EXPECT_NE(key, compiler(80).key("text"));
  EXPECT_NE(key, compiler().key("texts"));
  ::setenv("FAKE_NVRTC_VERSION", "13.1", 1);
  std::string other = compiler().key("text");
  ::unsetenv("FAKE_NVRTC_VERSION");
  EXPECT_NE(key, other);
  EXPECT_EQ(key, compiler().key("text"));
}

TEST_F(Kernels, RefusedCodeIsReplaced) {
  compiler().compile({"text"});
  compilations();
  EXPECT_FALSE(compiler().compile_again("text").cached);
  EXPECT_EQ(compilations(), 1);
  EXPECT_TRUE(compiler().compile({"text"})[0].cached);
}

TEST_F(Kernels, NewerDeviceGetsPtxAndAnOlderOneAnError) {
  EXPECT_EQ(compiler(131).target(), "compute_120");
  EXPECT_TRUE(compiler(131).compile({"text"})[0].ptx);
  // One that NVRTC does not know between two that it does.
  EXPECT_EQ(compiler(103).target(), "compute_100");
  EXPECT_EQ(compiler(87).target(), "compute_86");
  try {
    compiler(61);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::unsupported);
    EXPECT_THAT(e.what(), HasSubstr("compute capability 7.5 and later, the device has 6.1"));
  }
}

TEST_F(Kernels, FailureShowsTheLogOfTheFirstText) {
  try {
    compiler().compile({"good", "#error this one", "#error that one"});
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_THAT(e.what(), HasSubstr("kernels.cu(1): error: #error this one"));
    std::ifstream left(e.reproducer());
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(left), {}), "#error this one");
  }
}

TEST(Nvrtc, CompilesForAGpuThatIsNotHere) {
  const auto& real = nvrtc_library();
  if (!real || real.library.path.find("fake_cuda") != std::string::npos)
    GTEST_SKIP() << "no NVRTC here, or the fake one is open in this process already";
  KernelCompiler compiler(real.api, {90, "", 1});
  auto images = compiler.compile({"extern \"C\" __global__ void k0(float* x) { x[threadIdx.x] *= 2.0f; }\n"});
  EXPECT_THAT(images[0].code, StartsWith("\x7f"
                                         "ELF"));
  KernelCompiler future(real.api, {999, "", 1});
  EXPECT_THAT(future.compile({"extern \"C\" __global__ void k0(float* x) { x[0] = 1; }\n"})[0].code,
              HasSubstr(".visible .entry k0"));
  EXPECT_THROW(compiler.compile({"this is no kernel"}), InternalError);
}

}  // namespace
}  // namespace mezzo::codegen::cuda
