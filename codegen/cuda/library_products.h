// library_products.h: Dot, Convolution and its gradients as calls of cuBLASLt and cuDNN, with the small
// kernels around them that the libraries do not offer.
#pragma once
#include "codegen/cuda/convolution.h"
#include "codegen/cuda/kernel_set.h"
#include "codegen/cuda/matmul.h"

namespace mezzo::codegen::cuda {

// Launches one after the other, with buffers between them.
class Chain : public Launch {
 public:
  static constexpr int kAbsent = 1 << 20;
  // Arguments: from 0 those of the chain; -1 - i: buffer i; kAbsent: null.
  void add(std::unique_ptr<Launch> launch, std::vector<int> arguments);
  int buffer(int64_t bytes);  // its name among the arguments
  void run(std::byte* const* arguments, std::byte* scratch) override;

 private:
  struct Stage {
    std::unique_ptr<Launch> launch;
    std::vector<int> arguments;
  };
  std::vector<Stage> stages_;
  std::vector<int64_t> offsets_;
  int64_t buffers_ = 0, largest_ = 0;
  std::vector<std::byte*> values_;
};

class LibraryProducts {
 public:
  LibraryProducts(KernelSet& kernels, std::string cache_dir)
      : kernels_(kernels), cache_dir_(std::move(cache_dir)) {}
  // Null where the library is absent or does not do this node: own kernels do.
  std::unique_ptr<Launch> add(const ir::Node& node, ProductKind kind);

 private:
  std::unique_ptr<Launch> matmul(const ir::Node& dot);
  std::unique_ptr<Launch> convolution(const ir::Node& node, ProductKind kind);
  std::unique_ptr<Launch> kernel(const ir::Graph& one_kernel);

  KernelSet& kernels_;
  std::string cache_dir_;
  std::optional<Matmuls> matmuls_;
  std::optional<Convolutions> convolutions_;
};

}  // namespace mezzo::codegen::cuda
