#include "codegen/cuda/result_ring.h"

#include <atomic>
#include <cstring>
#include <thread>

#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr const char* kFunction = "collect_results";
constexpr int64_t kHeader = 64;  // bytes before the results of a slot: the step's number
constexpr int kThreads = 128;
constexpr int kSpins = 2000;  // looks at the slot between two looks at the stream

// table: number of results, bytes of a slot, slots; then address, bytes and offset of each result. The number
// is written after everything else is visible to the host.
constexpr const char* kText = R"(
#ifdef MEZZO_SIMULATED
#define publish()
#else
#define publish() __threadfence_system()
#endif
KERNEL(128) collect_results(const u64* table, u64* counter, u8* ring) {
  const u64 count = load(table), slot_bytes = load(table + 1), slots = load(table + 2);
  const u64 step = load(counter) + 1;
  u8* slot = ring + step % slots * slot_bytes;
  for (u64 r = 0; r < count; r++) {
    const u8* from = (const u8*)load(table + 3 + 3 * r);
    const u64 bytes = load(table + 4 + 3 * r), offset = load(table + 5 + 3 * r);
    for (u64 i = (u64)thread_number(); i < bytes; i += 128) store(slot + offset + i, load(from + i));
  }
  publish();
  block_barrier();
  if (thread_number() == 0) {
    store((u64*)slot, step);
    store(counter, step);
  }
}
)";

}  // namespace

ResultRing::ResultRing(std::shared_ptr<CudaDevice> device, std::vector<int64_t> bytes)
    : device_(std::move(device)), bytes_(std::move(bytes)), slot_bytes_(kHeader) {
  for (int64_t b : bytes_) {
    offsets_.push_back(slot_bytes_);
    slot_bytes_ += (b + 15) / 16 * 16;
  }
}

void ResultRing::add_kernel(KernelSet& set) { set.add_function(kFunction, kText); }
void ResultRing::resolve(const KernelSet& set) { collect_ = set.find(kFunction); }

void ResultRing::set_sources(const std::vector<const std::byte*>& sources) {
  if (!ring_.data()) {
    PinnedMemory ring(device_, slot_bytes_ * kSlots);
    table_ = DeviceMemory(device_, static_cast<int64_t>((3 + 3 * bytes_.size()) * sizeof(uint64_t)));
    counter_ = DeviceMemory(device_, sizeof(uint64_t));
    std::memset(ring.data(), 0, static_cast<size_t>(slot_bytes_ * kSlots));
    device_->check(
        device_->api().cuMemsetD8Async(address(counter_.data()), 0, sizeof(uint64_t), device_->stream()),
        "clearing a counter");
    ring_ = std::move(ring);
  }
  std::vector<uint64_t> table{bytes_.size(), static_cast<uint64_t>(slot_bytes_), kSlots};
  for (size_t k = 0; k < bytes_.size(); k++)
    table.insert(table.end(), {reinterpret_cast<uintptr_t>(sources[k]), static_cast<uint64_t>(bytes_[k]),
                               static_cast<uint64_t>(offsets_[k])});
  device_->upload(table_.data(), reinterpret_cast<const std::byte*>(table.data()), table_.bytes());
}

void ResultRing::enqueue() {
  std::byte *table = table_.data(), *counter = counter_.data(), *ring = ring_.data();
  void* arguments[] = {&table, &counter, &ring};
  device_->check(device_->api().cuLaunchKernel(collect_, 1, 1, 1, kThreads, 1, 1, 0, device_->stream(),
                                               arguments, nullptr),
                 "launching the kernel that collects results");
}

std::byte* ResultRing::slot(uint64_t step) const {
  return ring_.data() + static_cast<int64_t>(step % kSlots) * slot_bytes_;
}

const std::byte* ResultRing::result(uint64_t step, size_t k) const { return slot(step) + offsets_[k]; }

void ResultRing::wait(uint64_t step) {
  // The device writes this number through the bus; it is 8-byte aligned, so it is read whole.
  std::atomic_ref<uint64_t> number(*reinterpret_cast<uint64_t*>(slot(step)));
  for (bool idle = false;;) {
    for (int i = 0; i < kSpins; i++)
      if (number.load(std::memory_order_acquire) == step) return;
    check(!idle, "the device finished step ", step, " without its results");
    int state = device_->api().cuStreamQuery(device_->stream());
    if (state != 0 && state != kNotReady) device_->fail(state, "waiting for a step");
    idle = state == 0;
    std::this_thread::yield();
  }
}

}  // namespace mezzo::codegen::cuda
