// fake_device.h: the tests of this folder run on the fake driver and its companions, found by the real
// loader. With MEZZO_TEST_REAL_DEVICE set, those that need no scripted failures run on the GPU of the
// machine, the others skip.
#pragma once
#include <dlfcn.h>
#include <gmock/gmock.h>

#include <cstdlib>

#include "codegen/cuda/device.h"
#include "mezzo/error.h"
#include "tests/cuda_sim/fake/fake_cuda.h"
#include "tests/paths.h"

namespace mezzo::testing_cuda {

// Decided before anything looks for a library.
inline const bool kReal = [] {
  if (std::getenv("MEZZO_TEST_REAL_DEVICE")) return true;
  ::setenv("MEZZO_CUDA_PATH", (MEZZO_BINARY_DIR + "/fake_cuda").c_str(), 1);
  ::unsetenv("MEZZO_DEBUG");
  ::unsetenv("FAKE_CUDA_FAIL");
  return false;
}();

template <class F>
F* control(const char* name) {
  void* symbol = ::dlsym(codegen::cuda::driver_library().library.handle, name);
  EXPECT_NE(symbol, nullptr) << name << " is not in " << codegen::cuda::driver_library().library.path;
  return reinterpret_cast<F*>(symbol);
}
inline long calls(const char* function) { return control<FakeCudaCalls>("fake_cuda_calls")(function); }
inline void reset_calls() { control<FakeCudaReset>("fake_cuda_reset")(); }
inline void fail(const char* function, long nth, int error) {
  control<FakeCudaFail>("fake_cuda_fail")(function, nth, error);
}
inline void fail_nothing() { control<FakeCudaFail>("fake_cuda_fail")(nullptr, 0, 0); }
inline long live() { return control<FakeCudaLive>("fake_cuda_live")(); }
inline long used() { return control<FakeCudaUsed>("fake_cuda_used")(); }
inline void late(bool on) { control<FakeCudaLate>("fake_cuda_late")(on); }
inline void fresh_context() { control<FakeCudaFreshContext>("fake_cuda_fresh_context")(); }

// Everything that waits for the device.
inline long waits() {
  return calls("cuStreamSynchronize") + calls("cuEventSynchronize") + calls("cuStreamQuery");
}

inline std::shared_ptr<codegen::cuda::CudaDevice> open() {
  return std::make_shared<codegen::cuda::CudaDevice>(codegen::cuda::need_driver());
}

// A test on either device; on the fake one it must give back everything it took from the driver.
class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kReal) return;
    fresh_context();
    fail_nothing();
    live_ = live();
  }
  void TearDown() override {
    if (kReal) return;
    fail_nothing();
    fresh_context();
    EXPECT_EQ(live(), live_) << "something of the driver was not given back";
  }

 private:
  long live_ = 0;
};

// A test that counts the driver's calls or makes them fail.
class OnFakeDevice : public OnDevice {
 protected:
  void SetUp() override {
    if (kReal) GTEST_SKIP() << "needs the fake driver";
    OnDevice::SetUp();
  }
};

}  // namespace mezzo::testing_cuda
