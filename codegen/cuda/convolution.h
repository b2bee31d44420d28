// convolution.h: convolutions and their gradients through cuDNN's graph API.
#pragma once
#include <optional>

#include "codegen/cuda/dnn_plan.h"
#include "codegen/launch.h"
#include "codegen/product_sizes.h"

namespace mezzo::codegen::cuda {

// One convolution in the library's terms, without the library: dims in the order N, C, spatial; layouts are
// strides.
struct ConvolutionPlan {
  struct Tensor {
    int type = 0;
    std::vector<int64_t> dims, strides;
  };
  ProductKind kind;
  Tensor x, w, y;  // for gradients, the one that is computed is their gradient
  std::vector<int64_t> strides, dilations, pads_begin, pads_end;
  int compute = 0;
  bool filter_last = false;  // w is stored with its channels last (the node's is not)

  const Tensor& result() const {
    return kind == ProductKind::convolution ? y : kind == ProductKind::input_grad ? x : w;
  }
  std::string text() const;
};
// `result`: the type the library writes. Nothing for what it does not offer (integers).
std::optional<ConvolutionPlan> plan_convolution(const ir::Node& node, ProductKind kind, ir::DType result);

// What the library is asked.
DnnGraph convolution_graph(const CudnnApi& api, const DnnTarget& target, const ConvolutionPlan& plan);

// A launch whose arguments are the operands in the node's order, then the result. Null where the library
// refuses. The library must outlive it.
std::unique_ptr<Launch> dnn_convolution(DnnLibrary& library, const ConvolutionPlan& plan);

}  // namespace mezzo::codegen::cuda
