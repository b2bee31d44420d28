// fake_state.h: what the parts of the fake driver share.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "codegen/cuda/driver_api.h"
#include "tests/cuda_sim/fake/fake_cuda.h"
#include "tests/cuda_sim/sim.h"

namespace mezzo::fake_cuda {

using namespace mezzo::codegen::cuda;

inline constexpr int kInvalidValue = 1, kInvalidContext = 201, kNotFound = 500, kCaptureUnsupported = 900,
                     kUnknown = 999;

// A number in the environment.
long setting(const char* name, long otherwise);

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
  bool late = false;
  std::deque<std::function<int()>> queue;  // of all streams, when late
  double milliseconds = 0;                 // that have passed on the device

  Fake();
};
Fake& fake();
extern thread_local const void* current;  // context

// Counts the call; what is wrong with it before it starts, or 0.
int enter(const char* function, Demand demand);
#define ENTER(demand)                 \
  std::lock_guard guard(fake().lock); \
  if (int error = enter(__func__, demand)) return error

// Runs the work, records it, or keeps it for later.
int submit(Stream stream, Work work);
// Does what was kept, all or the first piece; an error of it or 0.
int catch_up(bool all = true);

}  // namespace mezzo::fake_cuda
