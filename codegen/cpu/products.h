// products.h: launches for matrix products and convolutions.
#pragma once
#include "codegen/cpu/launch.h"
#include "codegen/product_sizes.h"

namespace mezzo::codegen::cpu {

// The best launch for a product node; null where none fits (integers).
std::unique_ptr<Launch> lower_product(const ir::Node& node, ProductKind kind, std::string name,
                                      Threads threads);

// Through oneDNN, with both operands of type `operands` and the result of type `result`; null where the
// library refuses or is not built in.
std::unique_ptr<Launch> onednn_product(const ir::Node& node, ProductKind kind, ir::DType operands,
                                       ir::DType result, Threads threads);
// Tile by tile in registers (tile_kernel.h), 16-bit operands widened on the way: matrix products, and
// convolutions that are channels-last and have one group. Null for others and where the processor lacks the
// instructions.
std::unique_ptr<Launch> tiled_product(const ir::Node& node, ProductKind kind, Threads threads);
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

}  // namespace mezzo::codegen::cpu
