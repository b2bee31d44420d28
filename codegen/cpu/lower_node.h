// lower_node.h: which launch runs a node.
#pragma once
#include "codegen/cpu/launch.h"

namespace mezzo::codegen::cpu {

// Collects the nodes of one program, so that all kernels are compiled together.
class NodeLowering {
 public:
  explicit NodeLowering(const CpuOptions& options);
  ~NodeLowering();
  // The nodes must outlive the launches.
  std::unique_ptr<Launch> lower(const ir::Node& node);
  // Compiles what lower() collected. No launch may run before.
  void finish();

 private:
  CpuOptions options_;
  Threads threads_;
  int kernels_ = 0;
};

}  // namespace mezzo::codegen::cpu
