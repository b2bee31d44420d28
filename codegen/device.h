// device.h: memory that the host cannot address, and its ways in and out.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace mezzo::codegen {

// Transfers and programs of one device happen in the order in which they were asked for.
class Device {
 public:
  virtual ~Device() = default;
  // At least `bytes`, 256-byte aligned, any content. Throws Error(out_of_memory).
  virtual std::byte* allocate(int64_t bytes) = 0;
  virtual void release(std::byte*) noexcept = 0;
  // `from` may be reused when this returns.
  virtual void upload(std::byte* to, const std::byte* from, int64_t bytes) = 0;
  // Waits until everything before is done.
  virtual void download(std::byte* to, const std::byte* from, int64_t bytes) = 0;
  virtual int64_t free_bytes() = 0;
  virtual std::string describe() const = 0;  // "NVIDIA H100, compute capability 9.0, ..."
};

// Owns a piece of a device's memory.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(std::shared_ptr<Device> device, int64_t bytes)
      : device_(std::move(device)), data_(device_->allocate(bytes)), bytes_(bytes) {}
  ~DeviceMemory() { reset(); }
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  void reset() noexcept {
    if (data_) device_->release(data_);
    data_ = nullptr;
    bytes_ = 0;
  }
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::shared_ptr<Device> device_;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

// The first CUDA device that is visible (CUDA_VISIBLE_DEVICES), with a stream of its own. Throws
// Error(unsupported) where there is no driver, one that is too old, or no device.
std::shared_ptr<Device> open_cuda_device();

}  // namespace mezzo::codegen
