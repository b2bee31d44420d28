#include "ir/ops/index_arguments.h"

#include "ir/build.h"
#include "ir/indexing.h"

namespace mezzo::ir {
namespace {

void check_constant(const Tensor& indices, const Dims& extents) {
  const auto q = static_cast<int64_t>(extents.size());
  for (int64_t i = 0; i < indices.count(); i++) {
    const int64_t index = indices.get_int(i), extent = extents[static_cast<size_t>(i % q)];
    require(index >= -extent && index < extent, "index ", index, " is out of range of extent ", extent);
  }
}

// Coordinate k of all tuples, in i64, counted from the beginning.
Value coordinate(Value tuples, size_t k, int64_t extent) {
  const int64_t last = tuples.rank() - 1;
  const auto at = static_cast<int64_t>(k);
  Value c = slice(tuples, {at}, {at + 1}, {last}, {1});
  Dims dims = tuples.dims();
  dims.pop_back();
  c = cast(reshape(c, dims), DType::i64);
  return where(less(c, constant_like(c, 0)), c + static_cast<double>(extent), c);
}

Value inside(Value c, int64_t extent) {
  return logical_and(greater_equal(c, constant_like(c, 0)),
                     less(c, constant_like(c, static_cast<double>(extent))));
}

}  // namespace

std::vector<Type> with_count_of_faults(const Node& n, Type result, size_t indices, const Dims& extents) {
  check_indices(n.in_type(indices));
  element_count(result.dims);
  TensorPtr known = constant_of(n.in(indices));
  if (known) {
    check_constant(*known, extents);
    return {result};
  }
  for (int64_t extent : extents)
    require(extent > 0 || n.in_type(indices).count() == 0, "indices into an axis of extent 0");
  return {result, {DType::i64, {}}};
}

Values with_faults(const Node& n, Value result, const std::function<Value()>& count) {
  if (n.output_count() == 1) return {result};
  return {result, count()};
}

Value linear_index(Value tuples, const Dims& extents) {
  Value sum, ok;
  const Dims strides = strides_of(extents);
  for (size_t k = 0; k < extents.size(); k++) {
    Value c = coordinate(tuples, k, extents[k]);
    Value good = inside(c, extents[k]);
    c = c * static_cast<double>(strides[k]);
    sum = sum ? sum + c : c;
    ok = ok ? logical_and(ok, good) : good;
  }
  return where(ok, sum, constant_like(sum, static_cast<double>(element_count(extents))));
}

Value tuples_out_of_range(Value tuples, const Dims& extents) {
  Value sum;
  for (size_t k = 0; k < extents.size(); k++) {
    Value bad = logical_not(inside(coordinate(tuples, k, extents[k]), extents[k]));
    Value count = reduce_sum(cast(bad, DType::i64), {}, false);
    sum = sum ? sum + count : count;
  }
  return sum;
}

void require_part(const Dims& whole, const Dims& part, size_t axis) {
  require(whole.size() == part.size(), "indices ", to_string(part), " and data ", to_string(whole),
          " differ in rank");
  for (size_t i = 0; i < whole.size(); i++)
    require(i == axis || part[i] <= whole[i], "indices ", to_string(part), " are longer than data ",
            to_string(whole), " on axis ", i);
}

Value part_of(Value v, const Dims& part, size_t axis) {
  Ints starts, ends, axes, steps;
  for (size_t i = 0; i < part.size(); i++) {
    if (i == axis || part[i] == v.dims()[i]) continue;
    starts.push_back(0);
    ends.push_back(part[i]);
    axes.push_back(static_cast<int64_t>(i));
    steps.push_back(1);
  }
  return axes.empty() ? v : slice(v, starts, ends, axes, steps);
}

Value whole_of(Value v, const Dims& dims) {
  Ints ends;
  for (size_t i = 0; i < dims.size(); i++) ends.push_back(dims[i] - v.dims()[i]);
  return pad(v, Ints(dims.size()), ends);
}

Value with_part(Value v, Value part) {
  if (v.dims() == part.dims()) return part;
  Value yes = expand(v.node->graph().constant(1, DType::boolean), part.dims());
  return where(whole_of(yes, v.dims()), whole_of(part, v.dims()), v);
}

}  // namespace mezzo::ir
