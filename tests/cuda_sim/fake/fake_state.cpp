#include "tests/cuda_sim/fake/fake_state.h"

#include <cstdlib>
#include <string_view>

namespace mezzo::fake_cuda {
namespace {

// What fails while something is given back can be told to nobody.
bool gives_back(std::string_view function) {
  for (const char* word : {"Free", "Destroy", "Unload", "Release"})
    if (function.find(word) != function.npos) return true;
  return false;
}

}  // namespace

thread_local const void* current = nullptr;

long setting(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value ? std::atol(value) : otherwise;
}

Fake::Fake() {
  if (const char* script = std::getenv("FAKE_CUDA_FAIL")) {
    std::string text = script;
    size_t a = text.find(':'), b = text.rfind(':');
    fails = true, failing = text.substr(0, a), fail_in = std::atol(text.c_str() + a + 1),
    fail_with = std::atoi(text.c_str() + b + 1);
  }
}

Fake& fake() {
  static Fake* const instance =
      new Fake;  // outlives every user: handles may be given back while the process ends
  return *instance;
}

int enter(const char* function, Demand demand) {
  Fake& f = fake();
  f.calls[function]++;
  f.all_calls++;
  if (f.fails && (f.failing.empty() ? !gives_back(function) : f.failing == function) && --f.fail_in == 0) {
    f.fails = false;
    if (f.fail_with >= kIllegalAddress && f.fail_with <= kLaunchFailed)
      f.sticky = f.fail_with;  // of a kernel
    return f.fail_with;
  }
  if (demand == anything) return 0;
  if (f.sticky && !gives_back(function)) return f.sticky;  // giving back is counted all the same
  if (!current) return kInvalidContext;
  if (demand == context_outside_capture && f.capturing) return kCaptureUnsupported;
  return 0;
}

int submit(Stream stream, Work work) {
  auto* s = reinterpret_cast<FakeStream*>(stream);
  if (s->capture) return s->capture->work.push_back(std::move(work)), 0;
  if (!fake().late) return work();
  return fake().queue.push_back(std::move(work)), 0;
}

int catch_up(bool all) {
  auto& queue = fake().queue;
  while (!queue.empty()) {
    Work work = std::move(queue.front());
    queue.pop_front();
    if (int error = work()) return error;
    if (!all) break;
  }
  return 0;
}

}  // namespace mezzo::fake_cuda

using namespace mezzo::fake_cuda;

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
int fake_cuda_enter(const char* function, Demand demand) {
  std::lock_guard guard(fake().lock);
  return enter(function, demand);
}
int fake_cuda_submit(void* stream, std::function<void()> work) {
  std::lock_guard guard(fake().lock);
  return submit(static_cast<Stream>(stream), [work = std::move(work)] { return work(), 0; });
}
void fake_cuda_spend(double milliseconds) { fake().milliseconds += milliseconds; }
double fake_cuda_now() { return fake().milliseconds; }
void fake_cuda_late(bool late) { catch_up(), fake().late = late; }
void fake_cuda_fresh_context() { fake().sticky = 0, fake().queue.clear(); }
}
