// det.cpp: ONNX Det: determinants of the matrices in the last two axes, by elimination with partial pivoting,
// one step per column. Pivots are chosen by masks, so that nothing depends on data but values.
#include "ir/build.h"
#include "ir/op.h"
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

constexpr int64_t kMaxOrder = 64;  // each column becomes nodes of its own

std::vector<Type> infer(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype) && x.rank() >= 2 && x.dims[x.dims.size() - 1] == x.dims[x.dims.size() - 2],
          "input ", to_string(x), " must be square matrices of floats");
  require(x.dims.back() <= kMaxOrder, "a determinant of order ", x.dims.back(), "; at most ", kMaxOrder);
  return {{x.dtype, {x.dims.begin(), x.dims.end() - 2}}};
}

Values expand_det(Graph& to, const Node& n, const Values& in) {
  const Dims& dims = in[0].dims();
  const int64_t order = dims.back(), batch = element_count({dims.begin(), dims.end() - 2});
  Value rest = reshape(in[0], {batch, order, order});
  Value det = expand(to.constant(1, in[0].dtype()), {batch, 1, 1});
  for (int64_t left = order; left > 0; left--) {
    Value column = slice(rest, {0}, {1}, {2}, {1});  // [batch, left, 1]
    Value size = abs(column);
    Value place = first_position(size, reduce_max(size, {1}), {1});
    Value at = iota(to, {1, left, 1}, 1, place.dtype());
    Value chosen = equal(at, place), zero = constant_like(rest, 0);
    Value row = reduce_sum(where(chosen, rest, zero), {1});  // the pivot's, [batch, 1, left]
    Value pivot = slice(row, {0}, {1}, {2}, {1});
    // Moving row `place` to the top and the others down changes the sign `place` times.
    Value even = equal(place, place / 2.0 * 2.0);
    det = det * where(even, pivot, -pivot);
    if (left == 1) break;
    // The others in order: row i of what remains is row i, or i + 1 from the pivot on.
    Value above = slice(rest, {0}, {left - 1}, {1}, {1}), below = slice(rest, {1}, {left}, {1}, {1});
    Value others = where(less(iota(to, {1, left - 1, 1}, 1, place.dtype()), place), above, below);
    Value safe = where(equal(pivot, zero), constant_like(pivot, 1), pivot);
    Value factor = slice(others, {0}, {1}, {2}, {1}) / safe;
    rest = slice(others - factor * row, {1}, {left}, {2}, {1});
  }
  return {reshape(det, n.type().dims)};
}

const OpDef det = {
    .name = "Det",
    .precision = Precision::unbounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_det,
};
MEZZO_REGISTER_OP(det);

}  // namespace
}  // namespace mezzo::ir
