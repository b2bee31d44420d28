// library_products.h: Dot, DotEpilogue, Convolution and its gradients, attention and its gradient as calls of
// cuBLASLt and cuDNN, with the small kernels around them that the libraries do not offer.
#pragma once
#include "codegen/chain.h"
#include "codegen/cuda/convolution.h"
#include "codegen/cuda/dnn_attention.h"
#include "codegen/cuda/kernel_set.h"
#include "codegen/cuda/matmul.h"

namespace mezzo::codegen::cuda {

class LibraryProducts {
 public:
  LibraryProducts(KernelSet& kernels, std::string cache_dir)
      : kernels_(kernels), cache_dir_(std::move(cache_dir)) {}
  // Null where the library is absent or does not do this node: own kernels do.
  std::unique_ptr<Launch> add(const ir::Node& node, ProductKind kind);
  // Of a DotEpilogue.
  std::unique_ptr<Launch> add_epilogue(const ir::Node& node);
  // Of attention or its gradient.
  std::unique_ptr<Launch> attention(const ir::Node& node);

 private:
  std::unique_ptr<Launch> matmul(const ir::Node& dot);
  DnnLibrary& dnn();
  // Null without the library, and where it has no algorithm.
  std::unique_ptr<Launch> call(const MatmulPlan& plan);
  std::unique_ptr<Launch> convolution(const ir::Node& node, ProductKind kind);
  std::unique_ptr<Launch> kernel(const ir::Graph& one_kernel);

  KernelSet& kernels_;
  std::string cache_dir_;
  std::optional<Matmuls> matmuls_;
  std::optional<DnnLibrary> dnn_;
};

}  // namespace mezzo::codegen::cuda
