// lines.h: operands of a blocked product, line by line, as f32.
#pragma once
#include <array>
#include <cstddef>
#include <vector>

#include "codegen/product_sizes.h"

namespace mezzo::codegen::cpu {

// A matrix of rows (or columns) by depth, read along one of the two.
class Lines {
 public:
  // `along_depth`: a line is one row (or column) of the product, its elements follow the depth; otherwise a
  // line is one step of the depth.
  explicit Lines(bool along_depth) : along_depth_(along_depth) {}
  virtual ~Lines() = default;
  bool along_depth() const { return along_depth_; }
  // Elements [first, first + count) of a line of the operand at `data`: where they are, or in `room`.
  virtual const float* read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                            float* room) const = 0;

 private:
  bool along_depth_;
};

// Lines that stand in memory, `step` elements apart.
class MatrixLines : public Lines {
 public:
  MatrixLines(ir::DType type, int64_t step, bool along_depth)
      : Lines(along_depth), type_(type), step_(step) {}
  const float* read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                    float* room) const override;

 private:
  ir::DType type_;
  int64_t step_;
};

// A line per position of a grid over channels-last images, fewer than 2^32: what the taps of a kernel find
// there, channels innermost, 0 outside of the image.
class PatchLines : public Lines {
 public:
  struct Sizes {
    int64_t grid[3];    // positions per image
    int64_t stride[3];  // from one position to the next, in the image
    int64_t extent[3], channels;
    int64_t batch_step, steps[3];  // elements in memory
    // Rows of `run` taps that are neighbours along the last axis, and with their channels in memory: the
    // first one's place relative to the position.
    int64_t run = 1;
    std::vector<std::array<int64_t, 3>> rows;
  };
  // `taps`: all of them, in the order of the line.
  PatchLines(ir::DType type, Sizes sizes, const std::vector<std::array<int64_t, 3>>& taps, bool along_depth);
  const float* read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                    float* room) const override;

 private:
  ir::DType type_;
  Sizes s_;
};

// The weights (filter, channel, tap) of a convolution as a matrix of (tap, inner) by outer, where inner and
// outer are channel and filter or the other way round; only some of the taps.
class WeightLines : public Lines {
 public:
  // `by_filter`: a line holds one filter's (tap, channel), along the depth; otherwise it holds the channels
  // of one (tap, filter).
  WeightLines(ir::DType type, int64_t filters, int64_t channels, int64_t all_taps, std::vector<int64_t> taps,
              bool by_filter)
      : Lines(by_filter),
        type_(type),
        filters_(filters),
        channels_(channels),
        all_taps_(all_taps),
        taps_(std::move(taps)) {}
  const float* read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                    float* room) const override;

 private:
  ir::DType type_;
  int64_t filters_, channels_, all_taps_;
  std::vector<int64_t> taps_;
};

}  // namespace mezzo::codegen::cpu
