// simulated_program.h: planned graphs as programs whose kernels run on the simulated GPU.
#pragma once
#include "codegen/cuda/kernel_texts.h"
#include "codegen/program.h"
#include "tests/cuda_sim/sim.h"

namespace mezzo::cuda_sim {

// Kernels that are compiled together when the first of them runs.
class SimulatedKernels {
 public:
  // The kernel of a node. Throws Unsupported.
  codegen::cuda::KernelSource add(const ir::Node& node);
  const Module& module();
  size_t count() const { return texts_.all().size(); }

 private:
  codegen::cuda::KernelTexts texts_;
  std::shared_ptr<const Module> module_;
};

// A program over memory of the host: every launch runs on copies of its operands, in buffers of their own
// with red zones, under three schedules (node_run.h). A run throws Fault for what a kernel does wrong,
// compilation Unsupported.
std::unique_ptr<codegen::Program> simulated_program(const ir::Graph& planned, SimulatedKernels& kernels);

}  // namespace mezzo::cuda_sim
