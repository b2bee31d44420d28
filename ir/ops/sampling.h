// sampling.h: reading between the elements of an image at coordinates in data.
#pragma once
#include "ir/build.h"

namespace mezzo::ir {

// images [B, C, D...] as [B, C, count]; `at`: per spatial axis a whole number in floats, [B, 1, P]. -> [B, C,
// P]; 0 where a coordinate lies outside.
Value sample_at(Value images, const Dims& space, const Values& at);

// The same at coordinates that may lie between elements, by linear interpolation over 2^axes neighbours.
Value sample_linear(Value images, const Dims& space, const Values& at);

}  // namespace mezzo::ir
