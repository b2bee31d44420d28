// convolution.h: convolutions and their gradients through cuDNN's graph API.
#pragma once
#include <optional>

#include "codegen/cuda/device.h"
#include "codegen/cuda/dnn_descriptor.h"
#include "codegen/launch.h"
#include "codegen/object_cache.h"
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

// For whom plans are made: a device with its handle, or a description of one that is not here.
struct DnnTarget {
  DnnHandle handle = nullptr;
  const Descriptor* properties = nullptr;
};

// What the library proposes and builds for a plan, best first. Excluded is what is not reproducible, reads
// operands as narrower numbers or sums in 16 bits. Throws DnnRefusal where nothing is left.
struct BuiltConvolution {
  Descriptor plan;
  int64_t workspace = 0;
  int proposed = 0, tried = 0;  // engine configurations
};
BuiltConvolution build_convolution(const CudnnApi& api, const DnnTarget& target, const ConvolutionPlan& plan);

class Convolutions {
 public:
  // Throws Error(unsupported) where the library does not start on the device.
  Convolutions(const CudnnApi& api, std::shared_ptr<CudaDevice> device, const std::string& cache_dir);
  ~Convolutions();
  Convolutions(const Convolutions&) = delete;
  Convolutions& operator=(const Convolutions&) = delete;

  // A launch whose arguments are the operands in the node's order, then the result. Null where the library
  // refuses.
  std::unique_ptr<Launch> add(const ConvolutionPlan& plan);

 private:
  friend class ConvolutionLaunch;
  Descriptor restore_or_build(const ConvolutionPlan& plan);
  const CudnnApi& api_;
  std::shared_ptr<CudaDevice> device_;
  ObjectCache cache_;
  DnnHandle handle_ = nullptr;
};

}  // namespace mezzo::codegen::cuda
