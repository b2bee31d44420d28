// sim.cpp: the scheduler of fibers, and device memory.
#include "sim.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <random>

#include "fiber.h"
#include "machine.h"

// The registers that survive a call, in the order of Fiber::prepare. The floating-point control words stay as
// they are.
asm(R"(
.text
.globl mezzo_switch_stack
.type mezzo_switch_stack, @function
mezzo_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mezzo_switch_stack, .-mezzo_switch_stack
)");

namespace mezzo::cuda_sim {
namespace {

constexpr size_t kGuard = 256;  // red zone around buffers and shared arrays, bytes
constexpr std::byte kPoison{0xff}, kZone{0xa5};
constexpr unsigned kWarp = 32;

enum class Wait : uint8_t { ready, barrier, warp, done };

struct Thread {
  Fiber fiber;
  Wait state = Wait::done;
  int line = 0;  // of the barrier or warp operation it waits at
  bool meets = false;
  unsigned mask = 0, source = 0;
  Word value = 0, result = 0;
};

struct SharedArray {
  std::vector<std::byte> bytes;
  size_t size = 0;
};

bool intact(const std::byte* data, size_t size) {
  for (size_t i = 0; i < kGuard; i++)
    if (data[-static_cast<std::ptrdiff_t>(i) - 1] != kZone || data[size + i] != kZone) return false;
  return true;
}

struct Allocation {
  std::vector<std::byte> memory;
  std::byte* data = nullptr;
  size_t bytes = 0;
  std::string name;
};

}  // namespace

struct Simulator::State : Machine {
  std::vector<Region> all;
  std::map<const std::byte*, Allocation> allocations;
  std::vector<Thread> fibers;
  std::map<int, SharedArray> arrays;  // by line
  std::string error;
  void* scheduler = nullptr;
  const Module::Function* function = nullptr;
  void* const* pointers = nullptr;

  static State& of(Machine* m) { return *static_cast<State*>(m); }
  Thread& running() { return fibers[thread]; }
  void wait() { mezzo_switch_stack(&running().fiber.pointer, scheduler); }
  [[noreturn]] void stop() {
    running().state = Wait::done;
    for (;;) wait();
  }
  [[noreturn]] void give_up(std::string what) {
    error = std::move(what);
    stop();
  }

  void at_barrier(int line) {
    running().line = line;
    running().state = Wait::barrier;
    wait();
  }

  // The last lane of the mask to arrive checks that all mean the same operation and hands out the results, so
  // nobody reads a slot that a faster lane uses again already. Stricter than hardware, where a mismatch is
  // undefined.
  Word at_warp(bool meets, unsigned mask, Word value, unsigned source, void (*last)(const Word*), int line) {
    Thread& me = running();
    unsigned lane = thread % kWarp, base = thread - lane;
    if (!(mask >> lane & 1)) give_up("a lane is not in its own mask");
    if (!meets && !(mask >> source % kWarp & 1)) give_up("a shuffle reads a lane outside of the mask");
    me.meets = meets, me.mask = mask, me.value = value, me.source = source % kWarp, me.line = line;
    me.state = Wait::warp;
    Word values[kWarp] = {};
    for (unsigned i = 0; i < kWarp; i++) {
      if (!(mask >> i & 1)) continue;
      if (base + i >= threads) give_up("a mask names lanes behind the end of the block");
      const Thread& t = fibers[base + i];
      // Not there yet, or still in an operation of other lanes. Two that wait for each other are found by
      // run_block.
      if (t.state != Wait::warp || t.mask != mask || t.line != line || t.meets != meets) {
        wait();
        return running().result;
      }
      values[i] = t.value;
    }
    if (meets) last(values);
    for (unsigned i = 0; i < kWarp; i++)
      if (mask >> i & 1) {
        Thread& t = fibers[base + i];
        t.result = meets ? 0 : values[t.source];
        t.state = Wait::ready;
      }
    return me.result;
  }

  char* shared_array(unsigned size, int line) {
    SharedArray& a = arrays[line];
    if (a.bytes.empty()) {  // the first thread to come by
      a.size = size;
      a.bytes.assign(size + 2 * kGuard, kZone);
      std::fill_n(a.bytes.data() + kGuard, size, kPoison);
    }
    return reinterpret_cast<char*>(a.bytes.data() + kGuard);
  }

  void run_block(Order order, std::mt19937& random);
};

namespace {

thread_local Machine* current = nullptr;  // for the entry of a new fiber

}  // namespace

Simulator::Simulator() : state_(std::make_unique<State>()) {
  Machine& m = *state_;
  m.barrier = [](Machine* self, int line) { State::of(self).at_barrier(line); };
  m.exchange = [](Machine* self, unsigned mask, Word value, unsigned source, int line) {
    return State::of(self).at_warp(false, mask, value, source, nullptr, line);
  };
  m.meet = [](Machine* self, unsigned mask, Word value, void (*last)(const Word*), int line) {
    State::of(self).at_warp(true, mask, value, 0, last, line);
  };
  m.shared = [](Machine* self, unsigned bytes, int line) {
    return State::of(self).shared_array(bytes, line);
  };
  m.fail = [](Machine* self, const char* what) { State::of(self).give_up(what); };
}

Simulator::~Simulator() = default;

std::byte* Simulator::allocate(size_t bytes, std::string name) {
  constexpr size_t kAlignment = 256;
  Allocation a;
  a.memory.assign(bytes + 2 * kGuard + kAlignment, kZone);
  size_t offset = kAlignment - reinterpret_cast<uintptr_t>(a.memory.data()) % kAlignment;
  if (offset < kGuard) offset += kAlignment;
  a.data = a.memory.data() + offset;
  a.bytes = bytes;
  a.name = std::move(name);
  std::fill_n(a.data, bytes, kPoison);
  auto begin = reinterpret_cast<Word>(a.data);
  std::byte* data = a.data;
  auto& all = state_->all;
  auto before = [](const Region& r, Word at) { return r.begin < at; };
  all.insert(std::lower_bound(all.begin(), all.end(), begin, before), {begin, begin + bytes});
  state_->allocations.emplace(data, std::move(a));
  state_->recent = nullptr;
  return data;
}

void Simulator::release(const std::byte* memory) {
  auto begin = reinterpret_cast<Word>(memory);
  std::erase_if(state_->all, [&](const Region& r) { return r.begin == begin; });
  state_->allocations.erase(memory);
  state_->recent = nullptr;
}

void Simulator::poison(std::byte* memory) {
  const Allocation& a = state_->allocations.at(memory);
  std::fill_n(a.data, a.bytes, kPoison);
}

Traffic Simulator::traffic(const std::byte* memory) const {
  auto begin = reinterpret_cast<Word>(memory);
  for (const Region& r : state_->all)
    if (r.begin == begin) return {r.read, r.written};
  throw std::out_of_range("no allocation starts there");
}

void Simulator::reset_traffic() {
  for (Region& r : state_->all) r.read = r.written = 0;
}

void Simulator::State::run_block(Order order, std::mt19937& random) {
  std::vector<unsigned> ids(threads);
  std::iota(ids.begin(), ids.end(), 0u);
  if (order == Order::descending) std::reverse(ids.begin(), ids.end());
  for (unsigned i = 0; i < threads; i++) {
    fibers[i].state = Wait::ready;
    fibers[i].fiber.prepare([] {
      auto& s = State::of(current);
      s.function->entry(s.pointers);
      s.stop();
    });
  }
  arrays.clear();
  for (;;) {
    if (order == Order::shuffled) std::shuffle(ids.begin(), ids.end(), random);
    bool ran = false;
    for (unsigned id : ids) {
      if (fibers[id].state != Wait::ready) continue;
      ran = true;
      thread = id;
      mezzo_switch_stack(&scheduler, fibers[id].fiber.pointer);
      if (!error.empty()) throw Fault(error + ", thread " + std::to_string(id));
    }
    if (ran) continue;
    // Nobody can run: all who live are at one barrier, or something is wrong.
    const Thread* first = nullptr;
    for (unsigned i = 0; i < threads; i++) {
      Thread& t = fibers[i];
      if (t.state == Wait::warp) throw Fault("a lane of a mask never arrives, thread " + std::to_string(i));
      if (t.state != Wait::barrier) continue;
      if (first && first->line != t.line) throw Fault("threads of a block wait at different barriers");
      first = &t;
      t.state = Wait::ready;
    }
    if (!first) break;
    for (unsigned i = 0; i < threads; i++)
      if (fibers[i].state == Wait::done)
        throw Fault("a thread ends without reaching a barrier, thread " + std::to_string(i));
  }
  for (const auto& [line, a] : arrays)
    if (!intact(a.bytes.data() + kGuard, a.size)) throw Fault("write outside of a shared array");
}

void Simulator::launch(const Module& module, std::string_view name, Dim3 grid, Dim3 block,
                       size_t shared_bytes, const std::vector<void*>& pointers, Order order) {
  State& s = *state_;
  const Module::Function& f = module.find(name);
  auto describe = [&](const std::string& what) { return Fault(std::string(name) + ": " + what); };
  if (f.parameters != static_cast<int>(pointers.size()))
    throw describe("launched with " + std::to_string(pointers.size()) + " pointers, has " +
                   std::to_string(f.parameters));
  if (shared_bytes > 0) throw describe("dynamic shared memory is not simulated");
  s.function = &f;
  s.pointers = pointers.data();
  s.threads = block.x * block.y * block.z;
  if (s.threads == 0 || s.threads > 1024)
    throw describe("a block of " + std::to_string(s.threads) + " threads");
  s.blocks[0] = grid.x, s.blocks[1] = grid.y, s.blocks[2] = grid.z;
  s.regions = s.all.data();
  s.region_count = static_cast<unsigned>(s.all.size());
  s.recent = nullptr;
  s.error.clear();
  while (s.fibers.size() < s.threads) s.fibers.emplace_back();
  *f.machine = &s;
  current = &s;
  std::mt19937 random(grid.x * 31 + s.threads);
  std::vector<uint64_t> order_of_blocks(static_cast<size_t>(grid.x) * grid.y * grid.z);
  std::iota(order_of_blocks.begin(), order_of_blocks.end(), uint64_t{0});
  if (order == Order::descending) std::reverse(order_of_blocks.begin(), order_of_blocks.end());
  if (order == Order::shuffled) std::shuffle(order_of_blocks.begin(), order_of_blocks.end(), random);
  try {
    for (uint64_t b : order_of_blocks) {
      s.block[0] = static_cast<unsigned>(b % grid.x);
      s.block[1] = static_cast<unsigned>(b / grid.x % grid.y);
      s.block[2] = static_cast<unsigned>(b / grid.x / grid.y);
      s.run_block(order, random);
    }
  } catch (const Fault& e) {
    throw describe(std::string(e.what()) + " of block " + std::to_string(s.block[0]));
  }
  for (const auto& [data, a] : s.allocations)
    if (!intact(a.data, a.bytes)) throw describe("write outside of buffer " + a.name);
}

}  // namespace mezzo::cuda_sim
