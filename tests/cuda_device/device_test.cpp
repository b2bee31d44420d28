// The device: what goes wrong before and while it works, with the code and the words that a user gets.
#include "fake_device.h"

namespace mezzo::testing_cuda {
namespace {

using codegen::DeviceMemory;
using codegen::cuda::CudaDevice;
using ::testing::HasSubstr;

class DeviceTest : public OnFakeDevice {};

ErrorCode code_of(const std::function<void()>& action, std::string& message) {
  try {
    action();
  } catch (const Error& e) {
    message = std::string(e.what()) + " hint: " + e.hint();
    return e.code();
  }
  ADD_FAILURE() << "no Error";
  return ErrorCode::usage;
}

TEST_F(DeviceTest, TransfersKeepTheirOrder) {
  auto device = open();
  EXPECT_THAT(device->describe(), HasSubstr("Fake GPU, compute capability 9.0"));
  DeviceMemory memory(device, 100000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 256, 0u);
  std::vector<std::byte> small(200), back(200);
  for (int round = 0; round < 200; round++) {  // more than there are slots of pinned memory
    small.assign(200, std::byte(round));
    device->upload(memory.data() + round * 200, small.data(), 200);
    small.assign(200, std::byte(77));  // may be reused at once
  }
  for (int round = 0; round < 200; round++) {
    device->download(back.data(), memory.data() + round * 200, 200);
    EXPECT_EQ(back, std::vector<std::byte>(200, std::byte(round)));
  }
  reset_calls();
  for (int i = 0; i < 60; i++) device->upload(memory.data(), small.data(), 8);
  EXPECT_EQ(waits(), 0);
}

TEST_F(DeviceTest, WithoutADevice) {
  ::setenv("FAKE_CUDA_DEVICES", "0", 1);
  std::string message;
  EXPECT_EQ(code_of([] { open(); }, message), ErrorCode::unsupported);
  ::unsetenv("FAKE_CUDA_DEVICES");
  EXPECT_THAT(message, HasSubstr("the NVIDIA driver sees no GPU hint: check nvidia-smi"));
}

TEST_F(DeviceTest, OldDriver) {
  ::setenv("FAKE_CUDA_VERSION", "11040", 1);
  auto loaded = codegen::cuda::load_driver(codegen::cuda::Environment::of_process());
  ::unsetenv("FAKE_CUDA_VERSION");
  EXPECT_FALSE(loaded);
  EXPECT_THAT(loaded.library.attempts[0], HasSubstr("the driver supports CUDA 11.4, CUDA 12.0 is needed"));
}

TEST_F(DeviceTest, OutOfMemorySaysHowMuchWasWanted) {
  ::setenv("FAKE_CUDA_MEMORY", "1000000", 1);
  std::string message;
  auto device = open();
  DeviceMemory first(device, 600000);
  EXPECT_EQ(device->free_bytes(), 400000);
  EXPECT_EQ(code_of([&] { DeviceMemory second(device, 600000); }, message), ErrorCode::out_of_memory);
  ::unsetenv("FAKE_CUDA_MEMORY");
  EXPECT_THAT(message, HasSubstr("allocating 600000 bytes (400000 of 1000000 are free)"));
  EXPECT_THAT(message, HasSubstr("hint: use a smaller batch"));
}

TEST_F(DeviceTest, EveryCallThatOpensItMayFail) {
  reset_calls();
  open();
  long total = calls("");
  EXPECT_GT(total, 10);
  int failed = 0;
  for (long n = 1; n <= total; n++) {
    fail("", n, 2);
    try {
      open();
    } catch (const std::exception&) {
      failed++;
    }
    fail_nothing();
  }
  EXPECT_GE(failed, 10);  // giving back cannot fail visibly
}

TEST_F(DeviceTest, FaultsAreNamed) {
  auto device = open();
  std::string message;
  EXPECT_EQ(code_of([&] { device->fail(214, "adding"); }, message), ErrorCode::unsupported);
  EXPECT_THAT(message, HasSubstr("the device's memory is faulty: CUDA_ERROR_ECC_UNCORRECTABLE"));
  try {
    device->fail(700, "waiting for a step");
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_THAT(e.what(), HasSubstr("a kernel failed on the device: CUDA_ERROR_ILLEGAL_ADDRESS"));
    EXPECT_THAT(e.what(), HasSubstr("MEZZO_DEBUG=sync names the kernel"));
  }
}

TEST_F(DeviceTest, AGpuThatSomebodyElseHasIsNamed) {
  fail("cuDevicePrimaryCtxRetain", 1, 46);
  std::string message;
  EXPECT_EQ(code_of([] { open(); }, message), ErrorCode::unsupported);
  EXPECT_THAT(message, HasSubstr("the GPU cannot be used: CUDA_ERROR_DEVICE_UNAVAILABLE"));
}

}  // namespace
}  // namespace mezzo::testing_cuda
