// standardize.h: what the normalizations share: a tensor shifted to mean 0 and scaled to variance 1 over some
// axes, and the gradient of that.
#pragma once
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {

// 1 / sqrt(mean square + epsilon) over `axes`, kept; with `centred`, of what is left when the mean is taken
// off.
struct Standardized {
  Value mean;     // absent when not centred
  Value inverse;  // 1 / sqrt(variance + epsilon), or of the mean square
  Value hat;      // the standardized tensor
};
// In two passes, mean first: E[x^2] - E[x]^2 cancels.
Standardized standardize(Value x, const Ints& axes, double epsilon, bool centred);
// The same from statistics that are known.
Standardized standardize_again(Value x, Value mean, Value inverse);

// The gradient of x from that of `hat`: inverse * (d - mean(d) - hat * mean(d * hat)), without the first mean
// when nothing was centred.
Value standardize_gradient(const Standardized& s, Value dhat, const Ints& axes);
// What the gradients of the statistics themselves add to that of x (either may be absent; so may the result).
Value statistics_gradient(const Standardized& s, Value dmean, Value dinverse, const Ints& axes);

// a + b where either may be absent.
Value add_present(Value a, Value b);
// The axes from `axis` (possibly negative) to the last one.
Ints axes_from(int64_t axis, int64_t rank);
// `dims` with extent 1 at `axes`.
Dims kept(Dims dims, const Ints& axes);

// Shape rules. Throw Error unless x is a float; unless `v` (input `i` of n) has x's arithmetic and broadcasts
// to `dims`.
const Type& float_input(const Node& n);
void require_broadcast(const Node& n, size_t i, const Dims& dims);
// Statistics in f32 (f64 for f64) are the only ones there are.
void require_stash_type(const Node& n);

}  // namespace mezzo::ir
