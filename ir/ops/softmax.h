// softmax.h: the parts of a stable softmax, shared by Softmax, LogSoftmax and the cross entropy.
#pragma once
#include "ir/build.h"

namespace mezzo::ir {

// Over one axis, kept with extent 1 in `peak` and `sum`. A row of -inf only ("fully masked") has peak = the
// lowest finite number and exponentials 0, so that nothing becomes NaN; NaN and +inf in a row stay visible.
struct SoftmaxParts {
  Value peak;          // max(x)
  Value shifted;       // x - peak, <= 0
  Value exponentials;  // exp(shifted)
  Value sum;  // of the exponentials; >= 1 unless the row is fully masked: then a tiny number instead of 0
};
SoftmaxParts softmax_parts(Value x, int64_t axis);

}  // namespace mezzo::ir
