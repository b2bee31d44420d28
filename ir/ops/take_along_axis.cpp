// take_along_axis.cpp: the primitive behind every gather.
#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(0).rank()));
}

std::vector<Type> infer_take(const Node& n) {
  const Type &data = n.in_type(0), &indices = n.in_type(1);
  check_indices(indices);
  require(data.rank() == indices.rank(), "indices ", to_string(indices.dims), " and data ",
          to_string(data.dims), " differ in rank");
  const size_t axis = axis_of(n);
  Dims dims = data.dims;
  for (size_t i = 0; i < dims.size(); i++) {
    const int64_t other = indices.dims[i];
    require(i == axis || other == dims[i] || other == 1 || dims[i] == 1, "indices ", to_string(indices.dims),
            " do not fit data ", to_string(data.dims));
    if (i == axis || dims[i] == 1) dims[i] = other;
  }
  require(data.dims[axis] > 0 || element_count(dims) == 0, "indices into an axis of extent 0");
  return {{data.dtype, dims}};
}

// `at` where the operand has extents of 1.
Exprs within(const Exprs& at, const Dims& dims) {
  Exprs out;
  for (size_t i = 0; i < dims.size(); i++) out.push_back(dims[i] == 1 ? Expr(0) : at[i]);
  return out;
}

const OpDef take_op = {
    .name = "TakeAlongAxis",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"axis", int64_t{0}, AttrSpec::required}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer = infer_take,
    .index = [](const Node& n, const Exprs& at) -> IndexMap {
      Access access{0, within(at, n.in_type(0).dims)};
      access.lookups.push_back({axis_of(n), 1, within(at, n.in_type(1).dims)});
      return {{access}};
    },
    .grad = [](Grad& g) -> Values {
      const int64_t axis = static_cast<int64_t>(axis_of(g.node));
      Value sum =
          scatter_along_axis({}, g.in[1], g.dy[0], axis, g.node.in_type(0).dims[axis_of(g.node)], "add");
      return {sum_to(sum, g.node.in_type(0).dims)};
    },
};
MEZZO_REGISTER_OP(take_op);

}  // namespace

void check_indices(const Type& indices) {
  require(indices.dtype == DType::i64 || indices.dtype == DType::i32, "indices are ", name(indices.dtype),
          ", expected i64 or i32");
}

Value take_along_axis(Value data, Value indices, int64_t axis) {
  return apply("TakeAlongAxis", {data, indices}, {{"axis", axis}});
}

Value out_of_range(Value indices, int64_t extent) {
  Value ok = logical_and(greater_equal(indices, constant_like(indices, -static_cast<double>(extent))),
                         less(indices, constant_like(indices, static_cast<double>(extent))));
  return reduce_sum(cast(logical_not(ok), DType::i64), {}, false);
}

}  // namespace mezzo::ir
