// index_arguments.h: what gathers and scatters have in common: checks of indices, tuples of them as one
// index, and operands of which the indices cover only a part.
#pragma once
#include <functional>

#include "ir/op.h"

namespace mezzo::ir {

// {result} when input `indices` is a constant, whose values are then checked; else {result, i64[]}: how many
// name nothing. `extents`: of the axis; or of several, where the last axis of the indices holds tuples.
std::vector<Type> with_count_of_faults(const Node& n, Type result, size_t indices, const Dims& extents);
// The outputs that such a node has.
Values with_faults(const Node& n, Value result, const std::function<Value()>& count);

// [..., q] tuples -> [...]: the row-major index into `extents`; beyond all of them where a coordinate names
// nothing.
Value linear_index(Value tuples, const Dims& extents);
// How many coordinates of the tuples name nothing.
Value tuples_out_of_range(Value tuples, const Dims& extents);

// Throws Error unless `part` is as long as `whole` or shorter on all axes but `axis`.
void require_part(const Dims& whole, const Dims& part, size_t axis);
// The beginning of `v` that has the extents of `part` on all axes but `axis`; and the tensor of `dims` that
// begins with v and is 0 behind it.
Value part_of(Value v, const Dims& part, size_t axis);
Value whole_of(Value v, const Dims& dims);
// `v` with its beginning replaced by `part`.
Value with_part(Value v, Value part);

}  // namespace mezzo::ir
