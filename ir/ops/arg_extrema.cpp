// arg_extrema.cpp: ONNX ArgMax and ArgMin, and what is 1 at one place of an axis: Hardmax and OneHot.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

size_t axis_of(const Node& n, int64_t rank) { return static_cast<size_t>(normalize_axis(n.i("axis"), rank)); }

// The coordinate along the axis of a tensor of this rank, as i32.
Value line(Graph& graph, int64_t rank, size_t axis, int64_t extent) {
  Dims dims(static_cast<size_t>(rank), 1);
  dims[axis] = extent;
  return iota(graph, dims, static_cast<int64_t>(axis), DType::i32);
}

// Where the extremum of the axis is, as i32: the first or the last place; NaN counts as the extremum.
Value place(Value x, size_t axis, bool greatest, bool last) {
  const Ints axes{static_cast<int64_t>(axis)};
  Value extremum = greatest ? reduce_max(x, axes) : reduce_min(x, axes);
  Value hit = equal(x, extremum);
  if (is_float(x.dtype())) hit = logical_or(hit, apply("IsNaN", {x}));
  const int64_t extent = x.dims()[axis];
  Value at = line(x.node->graph(), x.rank(), axis, extent);
  if (last) return reduce_max(where(hit, at, constant_like(at, -1)), axes);
  return reduce_min(where(hit, at, constant_like(at, static_cast<double>(extent))), axes);
}

std::vector<Type> infer_place(const Node& n) {
  Type out{DType::i64, n.in_type(0).dims};
  const size_t axis = axis_of(n, out.rank());
  require(out.dims[axis] > 0, "no extremum along an axis of extent 0");
  out.dims[axis] = 1;
  if (n.i("keepdims") == 0) out.dims.erase(out.dims.begin() + static_cast<int64_t>(axis));
  return {out};
}

template <bool greatest>
Values expand_place(Graph&, const Node& n, const Values& in) {
  Value at = place(in[0], axis_of(n, in[0].rank()), greatest, n.i("select_last_index") != 0);
  return {reshape(cast(at, DType::i64), n.type().dims)};
}

OpDef place_op(std::string_view name, Values (*expand)(Graph&, const Node&, const Values&)) {
  return {.name = name,
          .attrs = {{"axis", 0}, {"keepdims", 1}, {"select_last_index", 0}},
          .precision = Precision::pass,
          .meaning = Meaning::expand,
          .infer = infer_place,
          .expand = expand,
          .grad = zero_gradient};
}

const OpDef arg_max = place_op("ArgMax", expand_place<true>);
const OpDef arg_min = place_op("ArgMin", expand_place<false>);
MEZZO_REGISTER_OP(arg_max);
MEZZO_REGISTER_OP(arg_min);

const OpDef hardmax = {
    .name = "Hardmax",
    .attrs = {{"axis", -1}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      axis_of(n, n.in_type(0).rank());
      return {n.in_type(0)};
    },
    .expand = [](Graph& to, const Node& n, const Values& in) -> Values {
      const size_t axis = axis_of(n, in[0].rank());
      Value at = line(to, in[0].rank(), axis, in[0].dims()[axis]);
      Value hit = equal(at, place(in[0], axis, true, false));
      return {where(hit, constant_like(in[0], 1), constant_like(in[0], 0))};
    },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(hardmax);

// Inputs: indices (any number; floats are truncated), values [off, on]. An index in [-depth, depth) is on at
// its place, counted from the end below 0; another one is on nowhere.
const OpDef one_hot = {
    .name = "OneHot",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"depth", int64_t{0}, AttrSpec::required}, {"axis", -1}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      require(n.in_type(1).dims == Dims{2}, "values are ", to_string(n.in_type(1)), ", expected [off, on]");
      require(n.i("depth") >= 0, "depth ", n.i("depth"), " is negative");
      Dims dims = n.in_type(0).dims;
      dims.insert(dims.begin() + normalize_axis(n.i("axis"), static_cast<int64_t>(dims.size()) + 1),
                  n.i("depth"));
      element_count(dims);
      return {{n.in_type(1).dtype, dims}};
    },
    .expand = [](Graph& to, const Node& n, const Values& in) -> Values {
      const size_t axis = axis_of(n, n.type().rank());
      const int64_t depth = n.i("depth");
      Dims dims = n.type().dims;
      dims[axis] = 1;
      Value index = reshape(cast(in[0], DType::i64), dims), zero = constant_like(index, 0);
      index = where(less(index, zero), index + static_cast<double>(depth), index);
      Value hit = equal(cast(line(to, n.type().rank(), axis, depth), DType::i64), index);
      auto value = [&](int64_t k) { return reshape(slice(in[1], {k}, {k + 1}, {0}, {1}), {}); };
      return {expand(where(hit, value(1), value(0)), n.type().dims)};
    },
    .no_grad_inputs = {0},
    .constant_inputs = {{1, "depth"}},
};
MEZZO_REGISTER_OP(one_hot);

}  // namespace
}  // namespace mezzo::ir
