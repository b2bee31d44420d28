// indexing.h: formulas on Values for movement that follows indices in data, as build.h has them for the rest.
#pragma once
#include <string>

#include "ir/graph.h"

namespace mezzo::ir {

// Indices are i64 or i32. One below 0 counts from the end.

// out[.., i, ..] = data[.., indices[.., i, ..], ..] along `axis`. The ranks agree; on the other axes extents
// agree or are 1. An index that names nothing takes the nearer end; out_of_range counts those.
Value take_along_axis(Value data, Value indices, int64_t axis);

// `data` (absent: 0, with `extent` elements along `axis`) in which, for every element of `updates` in
// row-major order, the element that the index at the same place names (along `axis`) is replaced by the
// update (reduction "none") or combined with it ("add", "mul", "min", "max"). An index that names nothing
// changes nothing. Indices have the extents of `updates` or 1. The order is fixed, so results are
// reproducible; add and mul want f32 or f64 (or integers).
Value scatter_along_axis(Value data, Value indices, Value updates, int64_t axis, int64_t extent,
                         const std::string& reduction);

// Its gradients by updates and data (absent without data), of results `y` with gradient `dy`. Of several
// replacements of one element only the last one counts; equal extrema share; a product is safe at zeros.
struct ScatterGradient {
  Value updates, data;
};
ScatterGradient scatter_gradient(Value data, Value indices, Value updates, Value y, Value dy, int64_t axis,
                                 const std::string& reduction);

// How many indices name nothing in an axis of `extent`, as an i64 of rank 0.
Value out_of_range(Value indices, int64_t extent);

// Throws Error for types that are no indices.
void check_indices(const Type& indices);

// The primitive that scatter_along_axis builds: inputs updates, indices, data.
bool is_scatter(const Node&);
// A scatter as rows of `extent`, each of `inner` neighbours; index strides in elements (0: broadcast).
struct ScatterSizes {
  int64_t outer, count, inner, extent;  // `count` updates along the axis
  int64_t index_outer, index_count, index_inner;
};
ScatterSizes scatter_sizes(const Node& scatter);

// s[i] = factor[i] * s[i-1] + addend[i] along `axis`, from the end with `reverse`; two roundings a step. An
// absent factor is 1, and s starts from 0; an absent addend is 0, and s starts from 1. Not in 16-bit floats.
Value recurrence(Value factor, Value addend, int64_t axis, bool reverse);

// Tensors as rows along one axis: [outer, extent, inner].
struct RowSizes {
  int64_t outer, extent, inner;
};
RowSizes row_sizes(const Dims& dims, size_t axis);

bool is_recurrence(const Node&);  // inputs factor, addend
struct RecurrenceSizes {
  RowSizes rows;
  bool reverse;
};
RecurrenceSizes recurrence_sizes(const Node& recurrence);

bool is_top_k(const Node&);

}  // namespace mezzo::ir
