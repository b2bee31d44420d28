#include "codegen/cuda/step_inputs.h"

#include <cstring>

#include "codegen/alignment.h"
#include "ir/op.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {

// The second buffer, and what orders the two streams.
struct StepInputs::Ahead {
  explicit Ahead(std::shared_ptr<CudaDevice> on) : device(std::move(on)) {}
  ~Ahead() {
    device->enter();
    if (arrived) device->api().cuEventDestroy_v2(arrived);
    if (taken) device->api().cuEventDestroy_v2(taken);
    if (stream) device->api().cuStreamDestroy_v2(stream);
  }
  void open(int64_t bytes) {
    const DriverApi& api = device->api();
    buffer = DeviceMemory(device, bytes);
    device->check(api.cuStreamCreate(&stream, kStreamNonBlocking), "making a stream");
    device->check(api.cuEventCreate(&arrived, kEventWithoutTime), "making an event");
    device->check(api.cuEventCreate(&taken, kEventWithoutTime), "making an event");
  }

  std::shared_ptr<CudaDevice> device;
  DeviceMemory buffer;
  Stream stream = nullptr;
  Event arrived = nullptr, taken = nullptr;  // in the buffer; out of it again
};

StepInputs::StepInputs(std::shared_ptr<CudaDevice> device, const ir::Graph& graph)
    : device_(std::move(device)) {
  for (const auto& n : graph.nodes()) {
    if (!ir::is_input(*n)) continue;
    bytes_.push_back(n->type().bytes());
    offsets_.push_back(total_);
    total_ += device_aligned(n->type().bytes());
  }
}

StepInputs::~StepInputs() = default;

void StepInputs::allocate() {
  if (memory_ || total_ == 0) return;
  PinnedMemory first(device_, total_), second(device_, total_);
  memory_ = DeviceMemory(device_, total_);
  pinned_[0] = std::move(first);
  pinned_[1] = std::move(second);
}

std::vector<const std::byte*> StepInputs::addresses() const {
  std::vector<const std::byte*> out;
  for (int64_t o : offsets_) out.push_back(memory_.data() + o);
  return out;
}

// A piece of pinned memory is filled again when the step before the last has come back.
std::byte* StepInputs::gather(const std::vector<const std::byte*>& from) {
  std::byte* to = pinned_[turn_ ^= 1].data();
  for (size_t i = 0; i < from.size(); i++)
    if (bytes_[i] > 0) std::memcpy(to + offsets_[i], from[i], static_cast<size_t>(bytes_[i]));
  return to;
}

void StepInputs::send(const std::vector<const std::byte*>& from) {
  if (total_ == 0) return;
  device_->check(device_->api().cuMemcpyHtoDAsync_v2(address(memory_.data()), gather(from),
                                                     static_cast<size_t>(total_), device_->stream()),
                 "copying the inputs");
}

bool StepInputs::stage(const std::vector<const std::byte*>& from) {
  if (total_ == 0) return false;
  const DriverApi& api = device_->api();
  device_->make_current();
  try {
    allocate();
    if (!ahead_) {
      auto ahead = std::make_unique<Ahead>(device_);
      ahead->open(total_);
      ahead_ = std::move(ahead);
    }
  } catch (const Error& e) {
    if (e.code() != ErrorCode::out_of_memory) throw;
    return false;
  }
  Ahead& a = *ahead_;
  // An event that was never recorded holds nobody up.
  device_->check(api.cuStreamWaitEvent(a.stream, a.taken, 0), "ordering two streams");
  device_->check(
      api.cuMemcpyHtoDAsync_v2(address(a.buffer.data()), gather(from), static_cast<size_t>(total_), a.stream),
      "copying the next inputs");
  device_->check(api.cuEventRecord(a.arrived, a.stream), "ordering two streams");
  return true;
}

void StepInputs::take() {
  const DriverApi& api = device_->api();
  check(ahead_ != nullptr, "inputs are taken that nobody staged");
  device_->check(api.cuStreamWaitEvent(device_->stream(), ahead_->arrived, 0), "ordering two streams");
  device_->check(api.cuMemcpyDtoDAsync_v2(address(memory_.data()), address(ahead_->buffer.data()),
                                          static_cast<size_t>(total_), device_->stream()),
                 "taking the inputs");
  device_->check(api.cuEventRecord(ahead_->taken, device_->stream()), "ordering two streams");
}

}  // namespace mezzo::codegen::cuda
