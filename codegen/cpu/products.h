// products.h: launches for matrix products and convolutions.
#pragma once
#include <optional>

#include "codegen/cpu/launch.h"

namespace mezzo::codegen::cpu {

// What a product node asks for, in the terms of Convolution (ir/ops/convolution.cpp) or Dot.
enum class ProductKind : uint8_t { dot, convolution, input_grad, weight_grad };
std::optional<ProductKind> product_kind(const ir::Node& node);

// How many multiply-adds, times two.
int64_t product_flops(const ir::Node& node, ProductKind kind);

// The best launch for a product node; null where none fits (integers).
std::unique_ptr<Launch> lower_product(const ir::Node& node, ProductKind kind, std::string name,
                                      Threads threads);

// Through oneDNN, with both operands of type `operands` and the result of type `result`; null where the
// library refuses or is not built in.
std::unique_ptr<Launch> onednn_product(const ir::Node& node, ProductKind kind, ir::DType operands,
                                       ir::DType result, Threads threads);
// Own loops on f32 or f64.
std::unique_ptr<Launch> own_product(const ir::Node& node, ProductKind kind, ir::DType type, Threads threads);

// A matrix in memory: `stride` elements from one stored line to the next; `transposed`: lines are its
// columns.
struct Matrix {
  const float* data;
  int64_t stride;
  bool transposed = false;
};
// c [m, n] = a [m, k] b [k, n] (+ c when `add`), by the calling thread; for tiles of something larger.
void multiply_tile(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, bool add, float* c, int64_t c_stride);
// Through oneDNN; false where it is not built in.
bool onednn_multiply_tile(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, bool add, float* c,
                          int64_t c_stride);

// 16-bit floats [begin, end) to f32 and back, rounded to nearest even.
void widen(ir::DType from, const std::byte* in, float* out, int64_t begin, int64_t end);
void narrow(ir::DType to, const float* in, std::byte* out, int64_t begin, int64_t end);

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

}  // namespace mezzo::codegen::cpu
