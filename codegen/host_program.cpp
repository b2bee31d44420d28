#include "codegen/host_program.h"

#include <chrono>
#include <cstring>

#include "codegen/launch_list.h"

namespace mezzo::codegen {
namespace {

class HostProgram : public Program {
 public:
  HostProgram(ir::Graph planned, std::unique_ptr<Lowering> lowering)
      : graph_(std::move(planned)), lowering_(std::move(lowering)), list_(graph_, *lowering_) {}

  void start(const Bindings& bindings) override {
    list_.bind(bindings);
    list_.start();
    for (size_t i = 0; i < list_.size(); i++) list_.launch(i);
  }
  void finish(const Bindings& bindings) override { copy_outputs(bindings); }

  void run_timed(const Bindings& bindings, std::vector<int64_t>& nanoseconds) override {
    nanoseconds.resize(list_.size());
    list_.bind(bindings);
    list_.start();
    for (size_t i = 0; i < list_.size(); i++) {
      auto start = std::chrono::steady_clock::now();
      list_.launch(i);
      nanoseconds[i] += (std::chrono::steady_clock::now() - start).count();
    }
    copy_outputs(bindings);
  }

  int64_t arena_bytes() const override { return list_.arena_bytes(); }
  const std::vector<LaunchInfo>& launches() const override { return list_.infos(); }

 private:
  void copy_outputs(const Bindings& bindings) {
    for (size_t k = 0; k < list_.output_count() && k < bindings.outputs.size(); k++)
      if (auto bytes = static_cast<size_t>(list_.output_type(k).bytes()); bindings.outputs[k] && bytes > 0)
        std::memcpy(bindings.outputs[k], list_.output(k), bytes);
  }

  ir::Graph graph_;  // launches may refer to its nodes
  std::unique_ptr<Lowering> lowering_;
  LaunchList list_;
};

}  // namespace

std::unique_ptr<Program> host_program(ir::Graph planned, std::unique_ptr<Lowering> lowering) {
  return std::make_unique<HostProgram>(std::move(planned), std::move(lowering));
}

}  // namespace mezzo::codegen
