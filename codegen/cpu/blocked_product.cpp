#include "codegen/cpu/blocked_product.h"

#include <algorithm>
#include <array>

#include "codegen/alignment.h"
#include "codegen/cpu/tile_kernel.h"

namespace mezzo::codegen::cpu {
namespace {

// A panel of b [depth, 16] shares the first-level cache with six rows of a; a block of a [rows, depth] fits
// into the second level, one of b [depth, columns] into the third.
constexpr int64_t kMostDepth = 320, kMostRows = 32 * kTileRows, kMostColumns = 64 * kTileColumns;

// Depths of the blocks: as even as multiples of 8 allow.
int64_t depth_step(int64_t depth) {
  const int64_t blocks = std::max<int64_t>((depth + kMostDepth - 1) / kMostDepth, 1);
  return ir::round_up((depth + blocks - 1) / blocks, 8);
}

struct BlockSizes {
  int64_t rows, columns, depth;
  // What reading may need for a line: of either operand, along either side.
  int64_t line() const { return std::max({rows, columns, depth}); }
};
BlockSizes block_sizes(const BlockedProduct& p) {
  return {std::min(kMostRows, ir::round_up(p.rows, kTileRows)),
          std::min(kMostColumns, ir::round_up(p.columns, kTileColumns)), depth_step(p.depth)};
}

// A block of a, in the order in which the tile kernel reads it.
struct LeftBlock {
  const float* data;
  int64_t row, step, tile;  // from one row, one step of the depth, one tile of rows to the next
};

LeftBlock pack_left(const Lines& a, const std::byte* data, int64_t row, int64_t rows, int64_t k,
                    int64_t depth, float* to, float* room) {
  if (a.along_depth()) {
    for (int64_t i = 0; i < rows; i++) {
      float* line = to + i * depth;
      const float* from = a.read(data, row + i, k, depth, line);
      if (from != line) std::copy_n(from, depth, line);
    }
    std::fill(to + rows * depth, to + ir::round_up(rows, kTileRows) * depth, 0.0f);
    return {to, depth, 1, kTileRows * depth};
  }
  for (int64_t d = 0; d < depth; d++) {
    const float* from = a.read(data, k + d, row, rows, room);
    int64_t i = 0;
    float* line = to + d * kTileRows;
    for (; i + kTileRows <= rows; i += kTileRows, line += kTileRows * depth)
      std::copy_n(from + i, kTileRows, line);
    for (int64_t j = 0; i < rows && j < kTileRows; j++) line[j] = i + j < rows ? from[i + j] : 0;
  }
  return {to, 1, kTileRows, kTileRows * depth};
}

// A block of b as panels [depth, 16].
void pack_right(const Lines& b, const std::byte* data, int64_t column, int64_t columns, int64_t k,
                int64_t depth, float* to, float* room) {
  if (b.along_depth()) {
    for (int64_t j = 0; j < columns; j += kTileColumns, to += kTileColumns * depth) {
      std::array<const float*, kTileColumns> lines;
      for (int64_t l = 0; l < kTileColumns; l++)  // the last line again, where there are too few
        lines[static_cast<size_t>(l)] =
            b.read(data, column + std::min(j + l, columns - 1), k, depth, room + l * depth);
      interleave_16(lines.data(), depth, to);
    }
    return;
  }
  for (int64_t d = 0; d < depth; d++) {
    const float* from = b.read(data, k + d, column, columns, room);
    int64_t j = 0;
    float* line = to + d * kTileColumns;
    for (; j + kTileColumns <= columns; j += kTileColumns, line += kTileColumns * depth)
      std::copy_n(from + j, kTileColumns, line);
    for (int64_t l = 0; j < columns && l < kTileColumns; l++) line[l] = j + l < columns ? from[j + l] : 0;
  }
}

// What becomes of a tile: which sums it goes on from, and where it is stored.
class TileEnd {
 public:
  TileEnd(const BlockedProduct& p, const ProductOperands& o, float* sums, bool first, bool last)
      : p_(p), o_(o), first_(first), last_(last), wide_(p.type == ir::DType::f32) {
    sums_ = wide_ ? reinterpret_cast<float*>(o.y) : sums;
  }
  // `places`: of the rows' results.
  void run(const LeftBlock& a, const float* b, int64_t depth, const int64_t* places, int64_t row,
           int64_t rows, int64_t column, int64_t columns) const {
    const bool whole = rows == kTileRows && columns == kTileColumns;
    if (whole && !p_.places && (wide_ || !last_)) {
      float* to = sums_ + row * p_.columns + column;
      multiply_tile_6x16(a.data, a.row, a.step, b, depth, to, p_.columns, !first_);
      if (last_ && o_.bias)
        for (int64_t i = 0; i < rows; i++) add_16(to + i * p_.columns, o_.bias + column);
      return;
    }
    alignas(32) float tile[kTileRows * kTileColumns];
    multiply_tile_6x16(a.data, a.row, a.step, b, depth, tile, kTileColumns, false);
    auto add = [&](float* line, const float* what) {
      if (columns == kTileColumns) return add_16(line, what);
      for (int64_t j = 0; j < columns; j++) line[j] += what[j];
    };
    for (int64_t i = 0; i < rows; i++) {
      float* line = tile + i * kTileColumns;
      const int64_t place = places[i] + column;
      float* sum = wide_ ? sums_ + place : sums_ + (row + i) * p_.columns + column;
      if (!first_) add(line, sum);
      if (last_ && o_.bias) add(line, o_.bias + column);
      if (wide_ || !last_)
        std::copy_n(line, columns, sum);
      else
        narrow_run(p_.type, line, reinterpret_cast<uint16_t*>(o_.y) + place, columns);
    }
  }

 private:
  const BlockedProduct& p_;
  const ProductOperands& o_;
  bool first_, last_, wide_;
  float* sums_;
};

}  // namespace

int64_t BlockedProduct::block_bytes() const {
  const BlockSizes s = block_sizes(*this);
  return host_aligned(4 * (s.rows * s.depth + s.columns * s.depth + kTileColumns * s.line()));
}
int64_t BlockedProduct::sum_bytes() const {
  return type == ir::DType::f32 || depth <= depth_step(depth) ? 0 : host_aligned(4 * rows * columns);
}

std::vector<ProductPart> divide(const BlockedProduct& p, int64_t parts) {
  // Every part brings its rows of a and its columns of b into order itself: the less of both, the better.
  int64_t best_rows = 1;
  double least = 0;
  for (int64_t r = 1; r <= parts; r++) {
    if (parts % r) continue;
    const auto part_rows = static_cast<double>(ir::round_up((p.rows + r - 1) / r, kTileRows)),
               part_columns =
                   static_cast<double>(ir::round_up((p.columns * r + parts - 1) / parts, kTileColumns));
    // A number of either costs about as much as this many multiply-adds.
    const double cost = part_rows * part_columns + 24 * (part_rows + part_columns);
    if (r == 1 || cost < least) least = cost, best_rows = r;
  }
  const int64_t by_columns = parts / best_rows;
  auto cut = [](int64_t extent, int64_t unit, int64_t i, int64_t of) {
    return std::min(extent, (extent + unit - 1) / unit * i / of * unit);
  };
  std::vector<ProductPart> all;
  for (int64_t r = 0; r < best_rows; r++)
    for (int64_t c = 0; c < by_columns; c++) {
      ProductPart part{cut(p.rows, kTileRows, r, best_rows), cut(p.rows, kTileRows, r + 1, best_rows),
                       cut(p.columns, kTileColumns, c, by_columns),
                       cut(p.columns, kTileColumns, c + 1, by_columns)};
      if (part.row < part.row_end && part.column < part.column_end) all.push_back(part);
    }
  return all;
}

void multiply_part(const BlockedProduct& p, const ProductOperands& o, const ProductPart& part,
                   std::byte* blocks, float* sums) {
  const BlockSizes s = block_sizes(p);
  auto* left = reinterpret_cast<float*>(blocks);
  float *right = left + s.rows * s.depth, *room = right + s.columns * s.depth;
  std::array<int64_t, kMostRows> places;
  for (int64_t column = part.column; column < part.column_end; column += kMostColumns) {
    const int64_t columns = std::min(kMostColumns, part.column_end - column);
    for (int64_t k = 0; k < p.depth; k += s.depth) {
      const int64_t depth = std::min(s.depth, p.depth - k);
      const TileEnd end(p, o, sums, k == 0, k + depth == p.depth);
      pack_right(*p.b, o.b, column, columns, k, depth, right, room);
      for (int64_t row = part.row; row < part.row_end; row += kMostRows) {
        const int64_t rows = std::min(kMostRows, part.row_end - row);
        LeftBlock a = pack_left(*p.a, o.a, row, rows, k, depth, left, room);
        const float* first = a.data;
        for (int64_t i = 0; i < rows; i++)
          places[static_cast<size_t>(i)] = p.places ? p.places->at(row + i) : (row + i) * p.columns;
        for (int64_t j = 0; j < columns; j += kTileColumns)
          for (int64_t i = 0; i < rows; i += kTileRows) {
            a.data = first + i / kTileRows * a.tile;
            end.run(a, right + j * depth, depth, places.data() + i, row + i, std::min(kTileRows, rows - i),
                    column + j, std::min(kTileColumns, columns - j));
          }
      }
    }
  }
}

}  // namespace mezzo::codegen::cpu
