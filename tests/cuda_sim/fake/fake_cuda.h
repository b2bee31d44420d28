// fake_cuda.h: what tests ask of the fake driver (fake_driver.cpp), which is loaded as libcuda.so.1 through
// the real loader. Functions are looked up in that library by name.
//
// Environment, for whole processes: FAKE_CUDA_VERSION (13000), FAKE_CUDA_DEVICES (1), FAKE_CUDA_MEMORY
// (bytes, 4 GiB), FAKE_CUDA_ARCH (90), FAKE_CUDA_FAIL (FUNCTION:N:ERROR, the Nth call of a function fails).
#pragma once
#include <dlfcn.h>

#include <functional>

namespace mezzo::fake_cuda {

// What must be there when a function is called.
enum Demand { anything, context, context_outside_capture };

// A function of the fake driver, for the other fake libraries; null where that driver is not open.
template <class F>
F* of_driver(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (!found)
    if (void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD)) found = dlsym(driver, name);
  return reinterpret_cast<F*>(found);
}

}  // namespace mezzo::fake_cuda

extern "C" {
using FakeCudaCalls =
    long(const char* function);  // so often since the last reset; "" = all functions together
using FakeCudaReset = void();    // of the counters; scripted failures stay
// The nth call of a function from now on fails; function "" takes every call but those that give
// something back. Null function: nothing
// fails.
using FakeCudaFail = void(const char* function, long nth, int error);
// Allocations, modules, graphs, events and streams that exist.
using FakeCudaLive = long();
using FakeCudaUsed = long();  // bytes of device memory
// A call of another fake library, counted and made to fail as the driver's own are: what is wrong with it, or
// 0.
using FakeCudaEnter = int(const char* function, mezzo::fake_cuda::Demand demand);
// Work of another fake library, run or captured like a launch.
using FakeCudaSubmit = int(void* stream, std::function<void()> work);
using FakeCudnnLive = long();                     // of the fake cuDNN: handles and descriptors that exist
using FakeCudaSpend = void(double milliseconds);  // of the device's time
using FakeCudaNow = double();
// Late: work is done when somebody waits for it or asks, one piece per question, so that what a host changes
// too early is seen. Otherwise at once.
using FakeCudaLate = void(bool late);
using FakeCudaFreshContext = void();  // forgets a sticky error, as a new process would
}
