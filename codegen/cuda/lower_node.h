// lower_node.h: which launch runs a node on a CUDA device.
#pragma once
#include <unordered_map>

#include "codegen/cuda/library_products.h"

namespace mezzo::codegen::cuda {

// Collects the nodes of one program. Must outlive the launches.
class NodeLowering : public Lowering {
 public:
  NodeLowering(KernelSet& kernels, std::string cache_dir)
      : kernels_(kernels), products_(kernels, std::move(cache_dir)) {}
  std::unique_ptr<Launch> lower(const ir::Node& node) override;
  std::unique_ptr<Launch> copy(const ir::Type& type, std::string name) override;
  const std::byte* constant(const ir::TensorPtr& c) override;
  // Compiles what lower() collected. Throws Error(unsupported) that names every node nothing runs.
  void finish() override;

 private:
  std::unique_ptr<Launch> generated(const ir::Node& node);

  KernelSet& kernels_;
  LibraryProducts products_;
  std::unordered_map<const ir::Tensor*, DeviceMemory> constants_;  // of steps; the graph keeps the tensors
  int kernel_count_ = 0, loop_count_ = 0;
  std::vector<std::string> refused_;
};

}  // namespace mezzo::codegen::cuda
