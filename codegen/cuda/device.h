// device.h: a CUDA device: the process's context on it and one stream. Errors of the driver become exceptions
// here.
#pragma once
#include "codegen/cuda/libraries.h"
#include "codegen/device.h"

namespace mezzo::codegen::cuda {

class CudaDevice : public Device {
 public:
  explicit CudaDevice(const DriverApi& api);
  ~CudaDevice() override;
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  std::byte* allocate(int64_t bytes) override;
  void release(std::byte*) noexcept override;
  void upload(std::byte* to, const std::byte* from, int64_t bytes) override;
  void download(std::byte* to, const std::byte* from, int64_t bytes) override;
  int64_t free_bytes() override;
  std::string describe() const override;

  // Calls of the driver belong to the thread's current context; every entry from outside makes it this one.
  void make_current() const;
  const DriverApi& api() const { return api_; }
  Stream stream() const { return stream_; }
  int arch() const { return arch_; }  // compute capability: 90
  int multiprocessors() const { return multiprocessors_; }
  const std::string& name() const { return name_; }

  // Throws for every result but 0. `doing`: "copying an input".
  void check(int result, const char* doing) const {
    if (result != 0) fail(result, doing);
  }
  [[noreturn]] void fail(int result, const std::string& doing) const;
  void wait();
  // Everything asked for so far is known to be done.
  void settled() { small_uploads_ = 0; }
  void enter() const noexcept { api_.cuCtxSetCurrent(context_); }

 private:
  int attribute(int name) const;
  const DriverApi& api_;
  int device_ = 0;
  Context context_ = nullptr;
  Stream stream_ = nullptr;
  int arch_ = 0, multiprocessors_ = 0;
  int64_t total_bytes_ = 0;
  std::string name_;
  // Small uploads go through slots of pinned memory, so that nobody waits for them; a slot is used again when
  // its last upload is known to be done.
  void* slots_ = nullptr;
  int small_uploads_ = 0;  // since then
};

// Memory of the host that the device reads and writes directly.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(std::shared_ptr<CudaDevice> device, int64_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  std::byte* data() const { return data_; }

 private:
  std::shared_ptr<CudaDevice> device_;
  std::byte* data_ = nullptr;
};

// Time between two points of the device's stream.
class DeviceTimer {
 public:
  explicit DeviceTimer(std::shared_ptr<CudaDevice> device);
  ~DeviceTimer();
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  void start();
  float milliseconds();  // since then; waits for the device

 private:
  std::shared_ptr<CudaDevice> device_;
  Event events_[2] = {};
};

// DevicePointer <-> byte pointers, as which the backends' common interface carries addresses.
inline DevicePointer address(const std::byte* p) { return reinterpret_cast<uintptr_t>(p); }
inline std::byte* bytes_at(DevicePointer p) {
  return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(p));
}

// "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)"
std::string error_text(const DriverApi& api, int result);

}  // namespace mezzo::codegen::cuda
