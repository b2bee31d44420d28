#include "simulated_program.h"

#include <cstring>

#include "codegen/chain.h"
#include "codegen/host_program.h"
#include "codegen/time_loop.h"
#include "ir/dot_epilogue.h"
#include "node_run.h"

namespace mezzo::cuda_sim {
namespace {

using codegen::Launch;
using codegen::Lowering;
using codegen::cuda::KernelSource;
using ir::Tensor;

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

class SimulatedLaunch : public Launch {
 public:
  SimulatedLaunch(const ir::Node& node, SimulatedKernels& kernels)
      : node_(node), kernels_(kernels), source_(kernels.add(node)) {}

  void run(std::byte* const* arguments, std::byte*) override {
    std::vector<Tensor> held(node_.input_count());
    std::vector<const Tensor*> inputs;
    for (size_t i = 0; i < held.size(); i++) {
      inputs.push_back(node_.has(i) ? &held[i] : nullptr);
      if (!node_.has(i)) continue;
      held[i] = Tensor(node_.in_type(i));
      copy_bytes(held[i].data(), arguments[i], held[i].bytes());
    }
    const std::vector<Tensor> results = run_node(kernels_.module(), source_, node_, inputs);
    for (size_t k = 0; k < results.size(); k++)
      if (std::byte* to = arguments[held.size() + k]) copy_bytes(to, results[k].data(), results[k].bytes());
  }

 private:
  const ir::Node& node_;
  SimulatedKernels& kernels_;
  KernelSource source_;
};

class Copy : public Launch {
 public:
  explicit Copy(int64_t bytes) : bytes_(bytes) {}
  void run(std::byte* const* arguments, std::byte*) override {
    copy_bytes(arguments[1], arguments[0], bytes_);
  }

 private:
  int64_t bytes_;
};

class SimulatedLowering : public Lowering {
 public:
  explicit SimulatedLowering(SimulatedKernels& kernels) : kernels_(kernels) {}
  std::unique_ptr<Launch> lower(const ir::Node& node) override {
    if (ir::is_time_loop(node))
      return codegen::lower_time_loop(node, std::make_unique<SimulatedLowering>(kernels_), "loop");
    if (ir::is_dot_epilogue(node)) return codegen::lower_dot_epilogue(node, *this);
    auto launch = std::make_unique<SimulatedLaunch>(node, kernels_);
    launch->info =
        codegen::describe(node, ir::is_kernel(node) ? "k" : std::string(node.op().name), "simulated");
    return launch;
  }
  std::unique_ptr<Launch> copy(const ir::Type& type, std::string name) override {
    auto launch = std::make_unique<Copy>(type.bytes());
    launch->info.name = std::move(name);
    return launch;
  }
  void finish() override {}

 private:
  SimulatedKernels& kernels_;
};

}  // namespace

KernelSource SimulatedKernels::add(const ir::Node& node) {
  return texts_.add([&](int number) { return codegen::cuda::emit_node(node, number); });
}

const Module& SimulatedKernels::module() {
  if (!module_) module_ = Module::load(texts_.all());
  return *module_;
}

std::unique_ptr<codegen::Program> simulated_program(const ir::Graph& planned, SimulatedKernels& kernels) {
  return codegen::host_program(ir::clone(planned), std::make_unique<SimulatedLowering>(kernels));
}

}  // namespace mezzo::cuda_sim
