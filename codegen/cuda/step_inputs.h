// step_inputs.h: how the inputs of a step get to the device.
#pragma once
#include "codegen/cuda/device.h"
#include "ir/graph.h"

namespace mezzo::codegen::cuda {

// The host's arrays are copied into pinned memory, of which there are two pieces, and from there as one piece
// to the device. What is staged goes there on a stream of its own, into a second buffer, while a step may
// still read the first.
class StepInputs {
 public:
  StepInputs(std::shared_ptr<CudaDevice> device, const ir::Graph& graph);
  ~StepInputs();
  // All or nothing.
  void allocate();
  // Where the step finds them.
  std::vector<const std::byte*> addresses() const;
  // For the step that is handed to the device next.
  void send(const std::vector<const std::byte*>& from);
  // For the step after those that were handed to the device. False where there is no memory to stage them.
  bool stage(const std::vector<const std::byte*>& from);
  // Instead of send(): what was staged last.
  void take();

 private:
  struct Ahead;
  std::byte* gather(const std::vector<const std::byte*>& from);

  std::shared_ptr<CudaDevice> device_;
  std::vector<int64_t> bytes_, offsets_;
  int64_t total_ = 0;
  DeviceMemory memory_;
  PinnedMemory pinned_[2];
  int turn_ = 0;
  std::unique_ptr<Ahead> ahead_;
};

}  // namespace mezzo::codegen::cuda
