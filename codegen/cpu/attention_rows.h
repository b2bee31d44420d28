// attention_rows.h: what the attention kernels do to the rows of a tile of scores, in vectors.
#pragma once
#include <cstdint>

namespace mezzo::codegen::cpu {

// A tile of scores, `columns` to a line; the arithmetic between a product q k and what the softmax sees.
struct ScoreTile {
  int64_t rows, columns;
  float scale, softcap;
  // Key j (from 0 in the tile) is hidden from row i outside of lower + i <= j <= upper + i.
  int64_t lower, upper;
  // Null, or element (0, 0) of the mask with its steps.
  const float* added = nullptr;
  const uint8_t* shown = nullptr;
  int64_t mask_row = 0, mask_column = 0;
};

// One tile of an online softmax: `s` holds products and gets exp(score - top), `top` [rows] the greatest
// score so far, `sum` [rows] the sum of exponentials relative to it, `shrink` [rows] what older sums have to
// be multiplied by.
void softmax_rows(const ScoreTile& t, float* s, float* top, float* sum, float* shrink);

// `s` holds products and gets p = exp(score - log_sum_exp); `d` holds dp and gets the gradient of the
// products, p * (dp - rest) * slope of softcap * scale. `dscores`, if given, gets p * (dp - rest),
// `dscores_row` to a line.
void softmax_gradient_rows(const ScoreTile& t, float* s, float* d, const float* log_sum_exp,
                           const float* rest, float* dscores, int64_t dscores_row);

// A tile of a Dropout of the weights: the place of its first element among all weights, those in a row of them, and what
// decides (ir/philox.h).
struct DropoutTile {
  int64_t rows, columns;
  uint32_t first, row, seed, step, threshold;
  float factor;
};
// What the weights of the tile are multiplied by: 0 or t.factor.
void draw_factors(const DropoutTile& t, float* factors);
// The same for `x`, n elements; a dropped one is 0 whatever it was.
void drop(float* x, const float* factors, int64_t n);

}  // namespace mezzo::codegen::cpu
