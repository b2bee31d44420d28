// fake_driver.cpp: a CUDA driver on the host: memory and launches are the simulator's, a stream runs
// everything at once (or late, see fake_cuda.h), a capture records. It is stricter than the real one: a
// thread without the context, a transfer or allocation that a capture does not allow, code of another
// architecture and a double free are errors, and every call is counted.
#include <cstdio>
#include <cstring>

#include "tests/cuda_sim/fake/fake_state.h"

using namespace mezzo::fake_cuda;

namespace {

int context_tag;  // the one context is its address

bool inside(const std::map<const std::byte*, size_t>& all, const void* p, size_t bytes) {
  auto it = all.upper_bound(static_cast<const std::byte*>(p));
  if (it == all.begin()) return false;
  --it;
  return static_cast<const std::byte*>(p) + bytes <= it->first + it->second;
}
bool on_device(DevicePointer p, size_t bytes) {
  return inside(fake().device, reinterpret_cast<void*>(p), bytes);
}

int copy(Stream stream, void* to, const void* from, size_t bytes) {
  if (fake().late && !inside(fake().pinned, from, bytes) && !inside(fake().device, from, bytes)) {
    // Memory that the device does not reach is read by the driver before it returns.
    const auto* first = static_cast<const std::byte*>(from);
    return submit(stream, [to, kept = std::vector<std::byte>(first, first + bytes)] {
      return std::memcpy(to, kept.data(), kept.size()), 0;
    });
  }
  return submit(stream, [=] { return std::memmove(to, from, bytes), 0; });
}

}  // namespace

extern "C" {

int cuInit(unsigned) {
  ENTER(anything);
  return setting("FAKE_CUDA_DEVICES", 1) > 0 ? 0 : kNoDevice;
}
int cuDriverGetVersion(int* version) {
  ENTER(anything);
  return *version = static_cast<int>(setting("FAKE_CUDA_VERSION", 13000)), 0;
}
int cuGetErrorName(int error, const char** name) {
  static const std::map<int, const char*> names{
      {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
      {kNoDevice, "CUDA_ERROR_NO_DEVICE"},
      {kDeviceUnavailable, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
      {kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {kInvalidImage, "CUDA_ERROR_INVALID_IMAGE"},
      {kUncorrectableEcc, "CUDA_ERROR_ECC_UNCORRECTABLE"},
      {kCaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
  auto found = names.find(error);
  return *name = found == names.end() ? "CUDA_ERROR" : found->second, 0;
}
int cuGetErrorString(int, const char** text) { return *text = "told by the fake driver", 0; }
int cuDeviceGetCount(int* count) {
  ENTER(anything);
  return *count = static_cast<int>(setting("FAKE_CUDA_DEVICES", 1)), 0;
}
int cuDeviceGet(int* device, int ordinal) {
  ENTER(anything);
  return *device = ordinal, 0;
}
int cuDeviceGetName(char* name, int length, int) {
  ENTER(anything);
  return std::snprintf(name, static_cast<size_t>(length), "Fake GPU"), 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  ENTER(anything);
  int arch = static_cast<int>(setting("FAKE_CUDA_ARCH", 90));
  *value = attribute == kAttributeMajor ? arch / 10 : attribute == kAttributeMinor ? arch % 10 : 8;
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  ENTER(anything);
  return *bytes = static_cast<size_t>(setting("FAKE_CUDA_MEMORY", 4l << 30)), 0;
}
int cuDevicePrimaryCtxRetain(Context* out, int) {
  ENTER(anything);
  return *out = reinterpret_cast<Context>(&context_tag), 0;
}
int cuDevicePrimaryCtxRelease_v2(int) {
  ENTER(anything);
  return 0;
}
int cuCtxSetCurrent(Context c) {
  ENTER(anything);
  return current = c, 0;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER(context);
  *total = static_cast<size_t>(setting("FAKE_CUDA_MEMORY", 4l << 30));
  *free = *total - static_cast<size_t>(fake().used);
  return 0;
}
int cuMemAlloc_v2(DevicePointer* out, size_t bytes) {
  ENTER(context_outside_capture);
  Fake& f = fake();
  if (bytes == 0) return kInvalidValue;
  if (f.used + static_cast<long>(bytes) > setting("FAKE_CUDA_MEMORY", 4l << 30)) return kOutOfMemory;
  std::byte* p = f.machine.allocate(bytes, "device memory");
  f.device[p] = bytes;
  f.used += static_cast<long>(bytes);
  return *out = reinterpret_cast<uintptr_t>(p), 0;
}
int cuMemFree_v2(DevicePointer p) {
  ENTER(context_outside_capture);
  if (int error = catch_up()) return error;
  Fake& f = fake();
  auto it = f.device.find(reinterpret_cast<std::byte*>(p));
  if (it == f.device.end()) return kInvalidValue;
  f.used -= static_cast<long>(it->second);
  f.machine.release(it->first);
  f.device.erase(it);
  return 0;
}
int cuMemHostAlloc(void** out, size_t bytes, unsigned) {
  ENTER(context_outside_capture);
  std::byte* p = fake().machine.allocate(bytes, "pinned memory");
  fake().pinned[p] = bytes;
  return *out = p, 0;
}
int cuMemFreeHost(void* p) {
  ENTER(context_outside_capture);
  if (int error = catch_up()) return error;
  if (!fake().pinned.erase(static_cast<std::byte*>(p))) return kInvalidValue;
  return fake().machine.release(static_cast<std::byte*>(p)), 0;
}
int cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, Stream stream) {
  ENTER(context);
  if (!on_device(to, bytes)) return kInvalidValue;
  if (fake().capturing && !inside(fake().pinned, from, bytes)) return kCaptureUnsupported;
  return copy(stream, reinterpret_cast<void*>(to), from, bytes);
}
int cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, Stream stream) {
  ENTER(context);
  if (!on_device(from, bytes)) return kInvalidValue;
  if (fake().capturing && !inside(fake().pinned, to, bytes)) return kCaptureUnsupported;
  return copy(stream, to, reinterpret_cast<void*>(from), bytes);
}
int cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, Stream stream) {
  ENTER(context);
  if (!on_device(to, bytes) || !on_device(from, bytes)) return kInvalidValue;
  return copy(stream, reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
}
int cuMemsetD8Async(DevicePointer p, unsigned char value, size_t bytes, Stream stream) {
  ENTER(context);
  if (!on_device(p, bytes)) return kInvalidValue;
  return submit(stream, [=] { return std::memset(reinterpret_cast<void*>(p), value, bytes), 0; });
}
int cuStreamCreate(Stream* out, unsigned) {
  ENTER(context);
  auto* s = new FakeStream;
  fake().live.insert(s);
  return *out = reinterpret_cast<Stream>(s), 0;
}
int cuStreamDestroy_v2(Stream stream) {
  ENTER(context_outside_capture);
  if (int error = catch_up()) return error;
  if (!fake().live.erase(stream)) return kInvalidValue;
  return delete reinterpret_cast<FakeStream*>(stream), 0;
}
int cuStreamSynchronize(Stream) {
  ENTER(context_outside_capture);
  return catch_up();
}
int cuStreamQuery(Stream) {
  ENTER(context_outside_capture);
  if (int error = catch_up(false)) return error;
  return fake().queue.empty() ? 0 : kNotReady;
}
int cuStreamBeginCapture_v2(Stream stream, int) {
  ENTER(context_outside_capture);
  reinterpret_cast<FakeStream*>(stream)->capture = std::make_unique<FakeGraph>();
  return fake().capturing = true, 0;
}
int cuStreamEndCapture(Stream stream, CaptureGraph* out) {
  std::lock_guard guard(fake().lock);
  auto graph = std::move(reinterpret_cast<FakeStream*>(stream)->capture);  // it ends, whatever comes of it
  fake().capturing = false;
  if (int error = enter(__func__, context)) return error;
  if (!graph) return kInvalidValue;
  fake().live.insert(graph.get());
  return *out = reinterpret_cast<CaptureGraph>(graph.release()), 0;
}
int cuGraphInstantiateWithFlags(GraphExec* out, CaptureGraph graph, unsigned long long) {
  ENTER(context_outside_capture);
  auto* exec = new FakeGraph(*reinterpret_cast<FakeGraph*>(graph));
  fake().live.insert(exec);
  return *out = reinterpret_cast<GraphExec>(exec), 0;
}
int cuGraphLaunch(GraphExec exec, Stream stream) {
  ENTER(context);
  auto* graph = reinterpret_cast<FakeGraph*>(exec);
  return submit(stream, [graph] {
    for (const Work& work : graph->work)
      if (int error = work()) return error;
    return 0;
  });
}
int cuGraphDestroy(CaptureGraph graph) {
  ENTER(anything);
  if (!fake().live.erase(graph)) return kInvalidValue;
  return delete reinterpret_cast<FakeGraph*>(graph), 0;
}
int cuGraphExecDestroy(GraphExec exec) {
  ENTER(anything);
  catch_up();  // it may be running
  if (!fake().live.erase(exec)) return kInvalidValue;
  return delete reinterpret_cast<FakeGraph*>(exec), 0;
}
int cuGraphGetNodes(CaptureGraph graph, GraphNode*, size_t* count) {
  ENTER(anything);
  return *count = reinterpret_cast<FakeGraph*>(graph)->work.size(), 0;
}
int cuEventCreate(Event* out, unsigned) {
  ENTER(context);
  auto* event = new double(0);
  fake().live.insert(event);
  return *out = reinterpret_cast<Event>(event), 0;
}
int cuEventDestroy_v2(Event event) {
  ENTER(anything);
  if (!fake().live.erase(event)) return kInvalidValue;
  return delete reinterpret_cast<double*>(event), 0;
}
int cuEventRecord(Event event, Stream) {
  ENTER(context);
  return *reinterpret_cast<double*>(event) = fake().milliseconds += 0.001, 0;
}
int cuStreamWaitEvent(Stream stream, Event event, unsigned) {
  ENTER(context);
  return fake().live.count(stream) && fake().live.count(event) ? 0 : kInvalidValue;
}
int cuEventSynchronize(Event) {
  ENTER(context_outside_capture);
  return catch_up();
}
int cuEventElapsedTime(float* milliseconds, Event start, Event end) {
  ENTER(anything);
  *milliseconds = static_cast<float>(*reinterpret_cast<double*>(end) - *reinterpret_cast<double*>(start));
  return 0;
}
}
