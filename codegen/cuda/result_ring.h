// result_ring.h: the small results of a step (loss, norm, counters), written by the device into pinned memory
// of the host.
#pragma once
#include "codegen/cuda/device.h"
#include "codegen/cuda/kernel_set.h"

namespace mezzo::codegen::cuda {

// A step's last kernel copies the results into the next slot of a ring and then marks the slot with the
// step's number. The host reads a slot as soon as it carries its number: no call of the driver waits for the
// device.
class ResultRing {
 public:
  static constexpr int kSlots = 8;  // steps that may be under way

  // `bytes`: of each result.
  ResultRing(std::shared_ptr<CudaDevice> device, std::vector<int64_t> bytes);
  static void add_kernel(KernelSet& set);
  void resolve(const KernelSet& set);

  // Where the results of the following steps are on the device. Not while a step is under way.
  void set_sources(const std::vector<const std::byte*>& sources);
  void enqueue();  // part of what is captured
  // To be called once per step that was started, after its work was handed to the device; returns its number.
  uint64_t started() { return ++started_; }
  // Result k of that step; waits until it is there. Throws where the device failed instead.
  void wait(uint64_t step);
  const std::byte* result(uint64_t step, size_t k) const;
  int64_t bytes(size_t k) const { return bytes_[k]; }

 private:
  std::byte* slot(uint64_t step) const;

  std::shared_ptr<CudaDevice> device_;
  std::vector<int64_t> bytes_, offsets_;
  int64_t slot_bytes_ = 0;
  DeviceMemory table_, counter_;
  PinnedMemory ring_;
  Function collect_ = nullptr;
  uint64_t started_ = 0;
};

}  // namespace mezzo::codegen::cuda
