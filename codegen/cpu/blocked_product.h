// blocked_product.h: a matrix product over blocks that stay in the caches, after Goto and van de Geijn,
// Anatomy of High-Performance Matrix Multiplication (2008).
#pragma once
#include "codegen/cpu/launch.h"
#include "codegen/cpu/lines.h"

namespace mezzo::codegen::cpu {

// Where the rows of a result begin, in elements.
class ResultRows {
 public:
  virtual ~ResultRows() = default;
  virtual int64_t at(int64_t row) const = 0;
};

// y [rows, columns] = a [rows, depth] b [depth, columns] (+ bias), sums in f32, over the depth in order;
// where y has 16 bits, one rounding at the end.
struct BlockedProduct {
  int64_t rows, columns, depth;
  const Lines *a, *b;
  ir::DType type;                      // of y
  const ResultRows* places = nullptr;  // null: side by side

  // Bytes that one thread needs while it computes its part; and f32 sums of the whole result, where y cannot
  // hold them.
  int64_t block_bytes() const;
  int64_t sum_bytes() const;
};

struct ProductOperands {
  const std::byte *a, *b;
  const float* bias;  // one per column, or null
  std::byte* y;
};

// The range of rows and columns of one thread; the result does not depend on how they are divided.
struct ProductPart {
  int64_t row, row_end, column, column_end;
};
std::vector<ProductPart> divide(const BlockedProduct& p, int64_t parts);
void multiply_part(const BlockedProduct& p, const ProductOperands& operands, const ProductPart& part,
                   std::byte* blocks, float* sums);

}  // namespace mezzo::codegen::cpu
