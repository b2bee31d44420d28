#include "ir/ops/sampling.h"

#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::ir {

Value sample_at(Value images, const Dims& space, const Values& at) {
  Value place, inside;
  for (size_t a = 0; a < space.size(); a++) {
    Value zero = constant_like(at[a], 0), last = constant_like(at[a], static_cast<double>(space[a] - 1));
    Value within = logical_and(less_equal(zero, at[a]), less_equal(at[a], last));
    Value i = cast(where(within, at[a], zero), DType::i64);
    place = place ? place * static_cast<double>(space[a]) + i : i;
    inside = inside ? logical_and(inside, within) : within;
  }
  Value found = take_along_axis(images, place, 2);
  return where(inside, found, constant_like(found, 0));
}

Value sample_linear(Value images, const Dims& space, const Values& at) {
  Values low, part;
  for (const Value& v : at) {
    low.push_back(floor(v));
    part.push_back(v - low.back());
  }
  Value sum;
  for (size_t corner = 0; corner < size_t{1} << space.size(); corner++) {
    Values place;
    Value weight;
    for (size_t a = 0; a < space.size(); a++) {
      const bool upper = corner >> a & 1;
      place.push_back(upper ? low[a] + 1.0 : low[a]);
      Value w = upper ? part[a] : 1.0 - part[a];
      weight = weight ? weight * w : w;
    }
    Value term = sample_at(images, space, place) * weight;
    sum = sum ? sum + term : term;
  }
  return sum;
}

}  // namespace mezzo::ir
