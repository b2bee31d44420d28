// resample.h: linear maps along one axis whose rows have few neighbouring taps: what resizing does, axis by
// axis.
#pragma once
#include "ir/build.h"

namespace mezzo::ir {

// out[o] = sum over t < width of weights[o * width + t] * in[first[o] + t], where an index outside the axis
// means the nearer end.
struct Taps {
  int64_t width = 1;
  std::vector<int64_t> first;
  std::vector<double> weights;
};

// Applies `taps` along `axis`. With `copies` every output is one element (width 1, weight 1), and elements
// are only moved, so that nothing is multiplied by 0.
Value resample(Value x, int64_t axis, const Taps& taps, bool copies);

}  // namespace mezzo::ir
