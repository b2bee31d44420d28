// device_run.h: a program on the device with inputs, states and outputs of its own.
#pragma once
#include <functional>
#include <map>

#include "codegen/alignment.h"
#include "codegen/program.h"
#include "fake_device.h"
#include "ir/op.h"
#include "ir/tensor.h"

namespace mezzo::testing_cuda {

// Multiples of 1/8: sums of their products are exact in f32.
inline double exact_number(int64_t i) { return static_cast<double>((i * 7 + 3) % 17 - 8) / 8; }

// Gives results of nodes their places, one behind the other.
inline void place_results(ir::Graph& g) {
  int64_t at = 0;
  for (const auto& n : g.nodes()) {
    if (ir::is_input(*n)) continue;
    for (const ir::Type& t : n->types()) {
      n->offsets.push_back(at);
      at += codegen::device_aligned(t.bytes());
    }
  }
  g.arena_bytes = at;
}

class DeviceRun {
 public:
  // `fill` gives element i of an input or state, one after the other.
  DeviceRun(const ir::Graph& g, codegen::Program& program,
            const std::shared_ptr<codegen::cuda::CudaDevice>& device,
            const std::function<double(int64_t)>& fill = exact_number)
      : program_(program), device_(device), arena_(device, program.arena_bytes() + 64) {
    bindings_.arena = arena_.data();
    for (const auto& n : g.nodes()) {
      if (!ir::is_input(*n) && !ir::is_state(*n)) continue;
      ir::Tensor t(n->type());
      for (int64_t i = 0; i < t.count(); i++) t.set(i, fill(i));
      const std::byte* data = feeds.insert_or_assign(n->s("name"), std::move(t)).first->second.data();
      if (ir::is_input(*n)) {
        bindings_.inputs.push_back(data);
        continue;
      }
      types_.push_back(n->type());
      device->upload(states_.emplace_back(device, n->type().bytes()).data(), data, n->type().bytes());
      bindings_.states.push_back(states_.back().data());
    }
    for (const ir::Output& o : g.outputs) outputs.emplace_back(o.value.type());
    for (ir::Tensor& t : outputs) bindings_.outputs.push_back(t.data());
  }

  void run(int times = 1) {
    for (int k = 0; k < times; k++) program_.run(bindings_);
  }
  std::vector<ir::Tensor> states() const {
    std::vector<ir::Tensor> out;
    for (size_t k = 0; k < states_.size(); k++) {
      out.emplace_back(types_[k]);
      device_->download(out[k].data(), states_[k].data(), out[k].bytes());
    }
    return out;
  }

  std::map<std::string, ir::Tensor> feeds;  // of inputs and states, as they began
  std::vector<ir::Tensor> outputs;

 private:
  codegen::Program& program_;
  std::shared_ptr<codegen::cuda::CudaDevice> device_;
  codegen::DeviceMemory arena_;
  codegen::Bindings bindings_;
  std::vector<ir::Type> types_;
  std::vector<codegen::DeviceMemory> states_;
};

}  // namespace mezzo::testing_cuda
