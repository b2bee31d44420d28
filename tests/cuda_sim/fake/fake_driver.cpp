// fake_driver.cpp: a CUDA driver on the host: memory and launches are the simulator's, a stream runs
// everything at once, a capture records. It is stricter than the real one: a thread without the context, a
// transfer or allocation that a capture does not allow, code of another architecture and a double free are
// errors, and every call is counted.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "codegen/cuda/driver_api.h"
#include "codegen/cuda/source.h"
#include "tests/cuda_sim/fake/fake_cuda.h"
#include "tests/cuda_sim/sim.h"

using namespace mezzo::codegen::cuda;
using mezzo::cuda_sim::Fault;

namespace {

constexpr int kInvalidValue = 1, kInvalidContext = 201, kNotFound = 500, kCaptureUnsupported = 900,
              kUnknown = 999;
constexpr std::string_view kMagic = "FAKE CUBIN";

long setting(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value ? std::atol(value) : otherwise;
}

using Work = std::function<int()>;
struct FakeGraph {
  std::vector<Work> work;
};
struct FakeStream {
  std::unique_ptr<FakeGraph> capture;
};
struct FakeModule {
  std::shared_ptr<const mezzo::cuda_sim::Module> code;
  std::map<std::string, size_t> parameters;  // by function
};
struct FakeFunction {
  FakeModule* module;
  std::string name;
  size_t parameters;
};

struct Fake {
  std::recursive_mutex lock;
  mezzo::cuda_sim::Simulator machine;
  std::map<std::string, long> calls;
  long all_calls = 0;
  std::string failing;  // function, with how many calls to go and the error
  bool fails = false;
  long fail_in = 0;
  int fail_with = 0;
  int sticky = 0;
  std::map<const std::byte*, size_t> device, pinned;
  std::set<const void*> live;
  std::vector<std::unique_ptr<FakeFunction>> functions;
  long used = 0;
  bool capturing = false;

  Fake() {
    if (const char* script = std::getenv("FAKE_CUDA_FAIL")) {
      std::string text = script;
      size_t a = text.find(':'), b = text.rfind(':');
      fails = true, failing = text.substr(0, a), fail_in = std::atol(text.c_str() + a + 1),
      fail_with = std::atoi(text.c_str() + b + 1);
    }
  }
};

Fake& fake() {
  static Fake* const instance =
      new Fake;  // outlives every user: handles may be given back while the process ends
  return *instance;
}
int context_tag;  // the one context is its address
thread_local const void* current = nullptr;

enum Demand { anything, context, context_outside_capture };

// What fails while something is given back can be told to nobody.
bool gives_back(std::string_view function) {
  for (const char* word : {"Free", "Destroy", "Unload", "Release"})
    if (function.find(word) != function.npos) return true;
  return false;
}

// Counts the call; what is wrong with it before it starts, or 0.
int enter(const char* function, Demand demand) {
  Fake& f = fake();
  f.calls[function]++;
  f.all_calls++;
  if (f.fails && (f.failing.empty() ? !gives_back(function) : f.failing == function) && --f.fail_in == 0) {
    f.fails = false;
    return f.fail_with;
  }
  if (demand == anything) return 0;
  if (f.sticky) return f.sticky;
  if (!current) return kInvalidContext;
  if (demand == context_outside_capture && f.capturing) return kCaptureUnsupported;
  return 0;
}
#define ENTER(demand)                 \
  std::lock_guard guard(fake().lock); \
  if (int error = enter(__func__, demand)) return error

int submit(Stream stream, Work work) {
  auto* s = reinterpret_cast<FakeStream*>(stream);
  if (s->capture) return s->capture->work.push_back(std::move(work)), 0;
  return work();
}

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
  return submit(stream, [=] { return std::memmove(to, from, bytes), 0; });
}

}  // namespace

extern "C" {

long fake_cuda_calls(const char* function) { return *function ? fake().calls[function] : fake().all_calls; }
void fake_cuda_reset() { fake().calls.clear(), fake().all_calls = 0; }
void fake_cuda_fail(const char* function, long nth, int error) {
  fake().fails = function != nullptr;
  fake().failing = function ? function : "";
  fake().fail_in = nth, fake().fail_with = error;
}
long fake_cuda_live() {
  return static_cast<long>(fake().live.size() + fake().device.size() + fake().pinned.size());
}
long fake_cuda_used() { return fake().used; }
int fake_cuda_submit(void* stream, std::function<void()> work) {
  std::lock_guard guard(fake().lock);
  return submit(static_cast<Stream>(stream), [work = std::move(work)] { return work(), 0; });
}
void fake_cuda_fresh_context() { fake().sticky = 0; }

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
  if (!fake().live.erase(stream)) return kInvalidValue;
  return delete reinterpret_cast<FakeStream*>(stream), 0;
}
int cuStreamSynchronize(Stream) {
  ENTER(context_outside_capture);
  return 0;
}
int cuStreamQuery(Stream) {
  ENTER(context_outside_capture);
  return 0;
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
  static double now = 0;
  return *reinterpret_cast<double*>(event) = now += 0.001, 0;
}
int cuEventSynchronize(Event) {
  ENTER(context_outside_capture);
  return 0;
}
int cuEventElapsedTime(float* milliseconds, Event start, Event end) {
  ENTER(anything);
  *milliseconds = static_cast<float>(*reinterpret_cast<double*>(end) - *reinterpret_cast<double*>(start));
  return 0;
}
int cuModuleLoadDataEx(Module* out, const void* image, unsigned, int*, void**) {
  ENTER(context_outside_capture);
  std::string text = static_cast<const char*>(image);
  if (!text.starts_with(kMagic)) return kInvalidImage;
  size_t line = text.find('\n');
  std::string arch = "--gpu-architecture=sm_" + std::to_string(setting("FAKE_CUDA_ARCH", 90));
  if (text.substr(0, line).find(arch) == std::string::npos && text.find("=compute_") > line)
    return kNoBinaryForGpu;
  text.erase(0, line + 1);
  if (!text.starts_with(prelude())) return kInvalidImage;
  text.erase(0, prelude().size());
  auto module = std::make_unique<FakeModule>();
  try {
    module->code = mezzo::cuda_sim::Module::load({text});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fake driver: %s\n", e.what());
    return kInvalidImage;
  }
  static const std::regex head(R"(KERNEL\(\d+\)\s+(\w+)\(([^)]*)\))");
  for (std::sregex_iterator it(text.begin(), text.end(), head), end; it != end; ++it) {
    std::string list = (*it)[2];
    module->parameters[(*it)[1]] = list.find_first_not_of(" \n") == std::string::npos
                                       ? 0
                                       : static_cast<size_t>(std::count(list.begin(), list.end(), ',')) + 1;
  }
  fake().live.insert(module.get());
  return *out = reinterpret_cast<Module>(module.release()), 0;
}
int cuModuleUnload(Module module) {
  ENTER(anything);
  if (!fake().live.erase(module)) return kInvalidValue;
  return delete reinterpret_cast<FakeModule*>(module), 0;
}
int cuModuleGetFunction(Function* out, Module handle, const char* name) {
  ENTER(context);
  auto* module = reinterpret_cast<FakeModule*>(handle);
  auto found = module->parameters.find(name);
  if (found == module->parameters.end()) return kNotFound;
  fake().functions.push_back(std::make_unique<FakeFunction>(FakeFunction{module, name, found->second}));
  return *out = reinterpret_cast<Function>(fake().functions.back().get()), 0;
}
int cuFuncSetAttribute(Function, int, int) {
  ENTER(context);
  return 0;
}
int cuLaunchKernel(Function handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, Stream stream, void** parameters, void**) {
  ENTER(context);
  auto* function = reinterpret_cast<FakeFunction*>(handle);
  std::vector<void*> pointers;
  for (size_t i = 0; i < function->parameters; i++) pointers.push_back(*static_cast<void**>(parameters[i]));
  return submit(stream, [=] {
    try {
      fake().machine.launch(*function->module->code, function->name, {gx, gy, gz}, {bx, by, bz}, shared,
                            pointers);
      return 0;
    } catch (const Fault& e) {
      std::fprintf(stderr, "fake driver: %s\n", e.what());
      return fake().sticky = kIllegalAddress;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "fake driver: %s\n", e.what());
      return fake().sticky = kUnknown;
    }
  });
}
}
