#include "codegen/cuda/device.h"

#include <algorithm>

#include "mezzo/error.h"

namespace mezzo::codegen {
namespace cuda {
namespace {

const char* kCudaDevice = "cuda";
constexpr int64_t kSlotBytes = 256;
constexpr int kSlots = 64;

// Faults of a kernel: the context is unusable afterwards, and with it everything on the device.
bool is_kernel_fault(int result) {
  return result == kIllegalAddress || result == kLaunchTimeout || result == kAssert ||
         (result >= kHardwareStackError && result <= kLaunchFailed);
}

[[noreturn]] void no_device(const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::unsupported, message, kCudaDevice, hint);
}

}  // namespace

std::string error_text(const DriverApi& api, int result) {
  const char *name = nullptr, *text = nullptr;
  api.cuGetErrorName(result, &name);
  api.cuGetErrorString(result, &text);
  return concat(name ? name : concat("CUDA error ", result), text ? concat(" (", text, ")") : "");
}

CudaDevice::CudaDevice(const DriverApi& api) : api_(api) {
  if (int result = api.cuInit(0); result != 0) {
    if (result == kNoDevice)
      no_device("the NVIDIA driver sees no GPU",
                "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu");
    if (result == kDriverMismatch)
      no_device(
          concat("the NVIDIA driver does not start: ", error_text(api, result)),
          "its kernel module and libcuda.so.1 are of different versions: reboot, or install both again");
    no_device(concat("the NVIDIA driver does not start: ", error_text(api, result)), "use --device cpu");
  }
  int count = 0;
  if (int result = api.cuDeviceGetCount(&count); result != 0 || count == 0)
    no_device("the NVIDIA driver sees no GPU",
              "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu");
  check(api.cuDeviceGet(&device_, 0), "choosing the device");
  char name[256] = "";
  check(api.cuDeviceGetName(name, sizeof name, device_), "reading the device's name");
  name_ = name;
  arch_ = attribute(kAttributeMajor) * 10 + attribute(kAttributeMinor);
  multiprocessors_ = attribute(kAttributeMultiprocessors);
  size_t total = 0;
  check(api.cuDeviceTotalMem_v2(&total, device_), "reading the device's memory size");
  total_bytes_ = static_cast<int64_t>(total);
  int result = api.cuDevicePrimaryCtxRetain(&context_, device_);
  if (result == kDeviceUnavailable || result == kInvalidDevice)
    no_device(concat("the GPU cannot be used: ", error_text(api, result)),
              "another process may have it to itself (compute mode in nvidia-smi); wait for it, or use "
              "--device cpu");
  check(result, "making a context");
  try {
    make_current();
    check(api.cuMemHostAlloc(&slots_, kSlotBytes * kSlots, 0), "allocating pinned memory of the host");
    check(api.cuStreamCreate(&stream_, kStreamNonBlocking), "making a stream");
  } catch (...) {
    if (slots_) api.cuMemFreeHost(slots_);
    api.cuDevicePrimaryCtxRelease_v2(device_);
    throw;
  }
}

CudaDevice::~CudaDevice() {
  enter();
  api_.cuStreamSynchronize(stream_);
  api_.cuStreamDestroy_v2(stream_);
  api_.cuMemFreeHost(slots_);
  api_.cuDevicePrimaryCtxRelease_v2(device_);
}

int CudaDevice::attribute(int name) const {
  int value = 0;
  check(api_.cuDeviceGetAttribute(&value, name, device_), "reading an attribute of the device");
  return value;
}

void CudaDevice::make_current() const { check(api_.cuCtxSetCurrent(context_), "entering the context"); }

void CudaDevice::fail(int result, const std::string& doing) const {
  std::string text = error_text(api_, result);
  if (result == kOutOfMemory)
    throw Error(
        ErrorCode::out_of_memory, concat("the device is out of memory while ", doing), kCudaDevice,
        "use a smaller batch, or several with --accumulate; other processes may hold memory (nvidia-smi)");
  if (result == kUncorrectableEcc)
    throw Error(ErrorCode::unsupported, concat("the device's memory is faulty: ", text), kCudaDevice,
                "the run cannot go on; reset or replace the GPU");
  if (is_kernel_fault(result))
    throw InternalError(concat(
        "a kernel failed on the device: ", text, ", noticed while ", doing,
        "; what the device held is lost: go on from the last checkpoint. MEZZO_DEBUG=sync names the kernel"));
  throw InternalError(concat(doing, ": ", text));
}

void CudaDevice::wait() {
  check(api_.cuStreamSynchronize(stream_), "waiting for the device");
  settled();
}

std::byte* CudaDevice::allocate(int64_t bytes) {
  make_current();
  DevicePointer p = 0;
  int result = api_.cuMemAlloc_v2(&p, static_cast<size_t>(bytes > 0 ? bytes : 1));
  if (result == kOutOfMemory) {
    size_t free = 0, total = 0;
    api_.cuMemGetInfo_v2(&free, &total);
    fail(result, concat("allocating ", bytes, " bytes (", free, " of ", total, " are free)"));
  }
  check(result, "allocating memory of the device");
  return bytes_at(p);
}

void CudaDevice::release(std::byte* p) noexcept {
  enter();
  api_.cuMemFree_v2(address(p));
}

void CudaDevice::upload(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes == 0) return;
  make_current();
  const bool small = bytes <= kSlotBytes;
  if (small) {
    if (small_uploads_ == kSlots) wait();
    auto* slot = static_cast<std::byte*>(slots_) + kSlotBytes * small_uploads_++;
    from = std::copy_n(from, bytes, slot) - bytes;
  }
  check(api_.cuMemcpyHtoDAsync_v2(address(to), from, static_cast<size_t>(bytes), stream_),
        "copying to the device");
  if (!small) wait();  // the caller's memory may still be read
}

void CudaDevice::download(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes == 0) return;
  make_current();
  check(api_.cuMemcpyDtoHAsync_v2(to, address(from), static_cast<size_t>(bytes), stream_),
        "copying from the device");
  wait();
}

int64_t CudaDevice::free_bytes() {
  make_current();
  size_t free = 0, total = 0;
  check(api_.cuMemGetInfo_v2(&free, &total), "asking for free memory");
  return static_cast<int64_t>(free);
}

std::string CudaDevice::describe() const {
  return concat(name_, ", compute capability ", arch_ / 10, ".", arch_ % 10, ", ", multiprocessors_,
                " multiprocessors, ", total_bytes_ >> 20, " MiB");
}

PinnedMemory::PinnedMemory(std::shared_ptr<CudaDevice> device, int64_t bytes) : device_(std::move(device)) {
  device_->make_current();
  void* p = nullptr;
  device_->check(device_->api().cuMemHostAlloc(&p, static_cast<size_t>(bytes > 0 ? bytes : 1), 0),
                 "allocating pinned memory of the host");
  data_ = static_cast<std::byte*>(p);
}

PinnedMemory::~PinnedMemory() {
  if (!data_) return;
  device_->enter();
  device_->api().cuMemFreeHost(data_);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  return *this;
}

DeviceTimer::DeviceTimer(std::shared_ptr<CudaDevice> device) : device_(std::move(device)) {
  device_->make_current();
  device_->check(device_->api().cuEventCreate(&events_[0], kEventDefault), "making an event");
  if (int result = device_->api().cuEventCreate(&events_[1], kEventDefault); result != 0) {
    device_->api().cuEventDestroy_v2(events_[0]);
    device_->fail(result, "making an event");
  }
}

DeviceTimer::~DeviceTimer() {
  device_->enter();
  for (Event e : events_) device_->api().cuEventDestroy_v2(e);
}

void DeviceTimer::start() {
  device_->check(device_->api().cuEventRecord(events_[0], device_->stream()), "taking the time");
}

float DeviceTimer::milliseconds() {
  const DriverApi& api = device_->api();
  device_->check(api.cuEventRecord(events_[1], device_->stream()), "taking the time");
  device_->check(api.cuEventSynchronize(events_[1]), "waiting for a measurement");
  float milliseconds = 0;
  device_->check(api.cuEventElapsedTime(&milliseconds, events_[0], events_[1]), "taking the time");
  return milliseconds;
}

}  // namespace cuda

std::shared_ptr<Device> open_cuda_device() { return std::make_shared<cuda::CudaDevice>(cuda::need_driver()); }

}  // namespace mezzo::codegen
