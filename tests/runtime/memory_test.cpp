// memory_test.cpp: a weight has one home, whatever the session does with it.
#include <gmock/gmock.h>
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "codegen/cpu/jit.h"
#include "runtime/session.h"
#include "tests/frontend/model_builder.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;
using ir::DType;
using ir::Tensor;

constexpr int64_t kSide = 4096, kWeightBytes = kSide * kSide * 4;
constexpr int64_t kSlack = kWeightBytes / 2;  // code, graphs, heap; less than one more copy

// One matrix of 64 MiB.
std::string model_bytes() {
  test::ModelBuilder m;
  m.input("x", {-1, kSide}).output("y").node("MatMul", {"x", "w"}, {"y"});
  m.tensor("w", {kSide, kSide}, 1).set_raw_data(std::string(kWeightBytes, '\0'));
  return m.bytes();
}

int64_t allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

int64_t status(const std::string& row) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (int64_t kilobytes = 0; word == row && file >> kilobytes) return kilobytes * 1024;
  return -1;
}

// How far `action` raises this process's resident size for a while; what memory it frees counts as held.
int64_t rise_during(const std::function<void()>& action) {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
  const int64_t before = status("VmRSS:");
  action();
  return status("VmHWM:") - before;
}

class Memory : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "AddressSanitizer's allocator counts otherwise";
#endif
    if (!codegen::cpu::jit_available()) GTEST_SKIP() << "the interpreter copies what it reads";
    if (::access("/proc/self/clear_refs", W_OK) != 0) GTEST_SKIP() << "this kernel does not measure peaks";
    fs::create_directories(dir_);
    std::ofstream(path("m.onnx"), std::ios::binary) << model_bytes();
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string path(const char* name) const { return (dir_ / name).string(); }
  fs::path dir_ = fs::path(testing::TempDir()) / concat("mezzo_memory_", ::getpid());
};

TEST_F(Memory, AWeightHasOneHome) {
  CompileOptions options;
  options.cache_dir = "none";
  options.loss.kind = Loss::Kind::mse;
  options.optimizer = SGD{.lr = 0.1};
  Tensor x({DType::f32, {1, kSide}}), labels({DType::f32, {1, kSide}});
  const Arrays feeds{{"x", x}, {"labels", labels}};

  const int64_t before = allocated_bytes();
  auto model = std::make_shared<LoadedModel>(path("m.onnx"));
  EXPECT_LT(allocated_bytes() - before, kSlack) << "a model that was only read holds its weights";
  Session session(model, options);
  session.step({feeds});
  const int64_t held = allocated_bytes() - before;
  EXPECT_GE(session.bytes(), kWeightBytes);
  EXPECT_GE(held, session.bytes());
  EXPECT_LT(held, session.bytes() + kSlack);

  // A further program, and the file that is written, read the weights where they are.
  EXPECT_LT(rise_during([&] { session.evaluate(feeds); }), kSlack);
  EXPECT_LT(rise_during([&] { session.save_onnx(path("out.onnx")); }), kSlack);
  EXPECT_EQ(fs::file_size(path("out.onnx")), fs::file_size(path("m.onnx")));
  EXPECT_GT(rise_during([&] { Tensor copy(session.parameter("w")); }), kWeightBytes / 2);  // it would be seen
}

}  // namespace
}  // namespace mezzo::runtime
