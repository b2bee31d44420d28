// product_sizes.h: matrix products and convolutions as numbers, the same for every backend.
#pragma once
#include <optional>

#include "ir/graph.h"

namespace mezzo::codegen {

// What a product node asks for, in the terms of Convolution (ir/ops/convolution.cpp) or Dot.
enum class ProductKind : uint8_t { dot, convolution, input_grad, weight_grad };
std::optional<ProductKind> product_kind(const ir::Node& node);

// How many multiply-adds, times two.
int64_t product_flops(const ir::Node& node, ProductKind kind);

// The shapes of a convolution's x, weights and y as stored, whichever of them the node computes.
struct ConvolutionDims {
  const ir::Dims &x, &w, &y;
};
ConvolutionDims convolution_dims(const ir::Node& node, ProductKind kind);

// Spatial sizes of a convolution, outermost axis first, padded to three axes.
struct ConvolutionSizes {
  int64_t batch, channels, filters, groups;
  int64_t in[3], out[3], kernel[3], strides[3], dilations[3], pads[3];
  // Element strides: batch, channel, then the three axes.
  int64_t x[5], y[5];
};
ConvolutionSizes convolution_sizes(const ir::Node& node, ProductKind kind);

// Batches of a Dot: offsets into a, b and y of every matrix, in units of whole matrices.
struct DotSizes {
  int64_t m, n, k;
  bool trans_a, trans_b;
  std::vector<int64_t> a, b;  // one entry per batch of the result
};
DotSizes dot_sizes(const ir::Node& node);

}  // namespace mezzo::codegen
