// lower_node.h: which launch runs a node.
#pragma once
#include "codegen/cpu/kernel.h"

namespace mezzo::codegen::cpu {

// Collects the nodes of one program, so that all kernels are compiled together. Must outlive the launches.
class NodeLowering : public Lowering {
 public:
  explicit NodeLowering(const CpuOptions& options);
  // The nodes must outlive the launches.
  std::unique_ptr<Launch> lower(const ir::Node& node) override;
  std::unique_ptr<Launch> copy(const ir::Type& type, std::string name) override;
  // Compiles what lower() collected.
  void finish() override;

 private:
  CpuOptions options_;
  Threads threads_;
  KernelSet kernel_set_;
  int kernels_ = 0, loops_ = 0;
};

}  // namespace mezzo::codegen::cpu
