// scatter.cpp: ONNX ScatterElements, ScatterND and TensorScatter. Behind ONNX's output stands the number of
// indices that name nothing, as in gather.cpp; such updates are dropped.
#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"
#include "ir/ops/index_arguments.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kData, kIndices, kUpdates };
enum Output : size_t { kY, kInvalid };

void check_types(const Node& n) {
  require(n.in_type(kData).dtype == n.in_type(kUpdates).dtype, "data is ", name(n.in_type(kData).dtype),
          ", updates are ", name(n.in_type(kUpdates).dtype));
}

OpDef scatter_op(std::string_view name, std::vector<AttrSpec> attrs, std::vector<Type> (*infer)(const Node&),
                 Values (*expand)(Graph&, const Node&, const Values&), Values (*grad)(Grad&)) {
  attrs.push_back({"reduction", "none"});
  return {.name = name,
          .min_inputs = 3,
          .max_inputs = 3,
          .attrs = std::move(attrs),
          .precision = Precision::widest,
          .meaning = Meaning::expand,
          .infer = infer,
          .expand = expand,
          .grad = grad,
          .no_grad_inputs = {kIndices},
          .fault_output = kInvalid};
}

namespace elements {

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(kData).rank()));
}

const OpDef op = scatter_op(
    "ScatterElements", {{"axis", 0}},
    [](const Node& n) -> std::vector<Type> {
      check_types(n);
      const Type& data = n.in_type(kData);
      const size_t axis = axis_of(n);
      require_part(data.dims, n.in_type(kIndices).dims, axis);
      require(n.in_type(kUpdates).dims == n.in_type(kIndices).dims, "updates ",
              to_string(n.in_type(kUpdates).dims), " and indices ", to_string(n.in_type(kIndices).dims),
              " differ");
      return with_count_of_faults(n, data, kIndices, {data.dims[axis]});
    },
    [](Graph&, const Node& n, const Values& in) -> Values {
      const size_t axis = axis_of(n);
      const int64_t extent = n.type().dims[axis];
      Value y = scatter_along_axis(part_of(in[kData], in[kIndices].dims(), axis), in[kIndices], in[kUpdates],
                                   static_cast<int64_t>(axis), extent, n.s("reduction"));
      return with_faults(n, with_part(in[kData], y), [&] { return out_of_range(in[kIndices], extent); });
    },
    [](Grad& g) -> Values {
      const size_t axis = axis_of(g.node);
      const Dims& dims = g.in[kIndices].dims();
      auto part = [&](Value v) { return part_of(v, dims, axis); };
      ScatterGradient d = scatter_gradient(part(g.in[kData]), g.in[kIndices], g.in[kUpdates], part(g.out[kY]),
                                           part(g.dy[kY]), static_cast<int64_t>(axis), g.node.s("reduction"));
      return {with_part(g.dy[kY], d.data), {}, d.updates};
    });
MEZZO_REGISTER_OP(op);

}  // namespace elements

namespace nd {

// data [D1..Dq, rest...], indices [n..., q], updates [n..., rest...].
struct Parts {
  Dims named;  // D1..Dq
  int64_t count, rest;
};
Parts parts(const Node& n) {
  const Dims &data = n.in_type(kData).dims, &indices = n.in_type(kIndices).dims;
  require(!indices.empty() && indices.back() >= 1 && indices.back() <= static_cast<int64_t>(data.size()),
          "indices ", to_string(indices), " do not fit data ", to_string(data));
  const auto rest = data.begin() + indices.back();
  Dims expected(indices.begin(), indices.end() - 1);
  expected.insert(expected.end(), rest, data.end());
  require(n.in_type(kUpdates).dims == expected, "updates ", to_string(n.in_type(kUpdates).dims),
          ", expected ", to_string(expected));
  return {{data.begin(), rest},
          element_count({indices.begin(), indices.end() - 1}),
          element_count({rest, data.end()})};
}

struct Operands {
  Value data, indices, updates;
};
Operands operands(const Parts& p, const Values& in) {
  return {reshape(in[kData], {element_count(p.named), p.rest}),
          reshape(linear_index(in[kIndices], p.named), {p.count, 1}),
          reshape(in[kUpdates], {p.count, p.rest})};
}

const OpDef op = scatter_op(
    "ScatterND", {},
    [](const Node& n) -> std::vector<Type> {
      check_types(n);
      return with_count_of_faults(n, n.in_type(kData), kIndices, parts(n).named);
    },
    [](Graph&, const Node& n, const Values& in) -> Values {
      const Parts p = parts(n);
      Operands o = operands(p, in);
      Value y = scatter_along_axis(o.data, o.indices, o.updates, 0, element_count(p.named), n.s("reduction"));
      return with_faults(n, reshape(y, n.type().dims),
                         [&] { return tuples_out_of_range(in[kIndices], p.named); });
    },
    [](Grad& g) -> Values {
      const Parts p = parts(g.node);
      Operands o = operands(p, g.in);
      ScatterGradient d = scatter_gradient(o.data, o.indices, o.updates, reshape(g.out[kY], o.data.dims()),
                                           reshape(g.dy[kY], o.data.dims()), 0, g.node.s("reduction"));
      return {
          reshape(d.data, g.node.in_type(kData).dims), {}, reshape(d.updates, g.node.in_type(kUpdates).dims)};
    });
MEZZO_REGISTER_OP(op);

}  // namespace nd

// TensorScatter writes new entries into a cache of sequences [batch, ..., places, ...]: entry s of sequence b
// goes to place write_indices[b] + s (from 0 without them), in mode circular modulo the number of places.
namespace cache {

enum Input : size_t { kCache, kUpdate, kWriteIndices };

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(kCache).rank()));
}

// The place of every entry, with extents of 1 on the other axes; out of range where there is none.
Value places(const Node& n, Value update, Value first) {
  const size_t axis = axis_of(n);
  Dims dims(update.dims().size(), 1);
  dims[axis] = update.dims()[axis];
  Value place = iota(update.node->graph(), dims, static_cast<int64_t>(axis));
  const auto extent = static_cast<double>(n.in_type(kCache).dims[axis]);
  dims[axis] = 1;
  dims[0] = update.dims()[0];
  if (first) first = reshape(cast(first, DType::i64), dims);
  if (first) place = place + first;
  if (n.s("mode") == "circular") place = apply("Mod", {place, constant_like(place, extent)});
  // Below 0 is no place, although an index there would count from the end.
  if (first) place = where(less(first, constant_like(first, 0)), constant_like(place, extent), place);
  return place;
}

const OpDef op = {
    .name = "TensorScatter",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = {{"axis", -2}, {"mode", "linear"}},
    .precision = Precision::widest,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type &whole = n.in_type(kCache), &update = n.in_type(kUpdate);
      require(whole.dtype == update.dtype, "the cache is ", name(whole.dtype), ", the update ",
              name(update.dtype));
      const size_t axis = axis_of(n);
      require(axis != 0, "axis 0 is the batch");
      Dims expected = whole.dims;
      if (update.rank() == whole.rank()) expected[axis] = update.dims[axis];
      require(update.dims == expected && update.dims[axis] <= whole.dims[axis], "an update ",
              to_string(update.dims), " of a cache ", to_string(whole.dims));
      const std::string& mode = n.s("mode");
      require(mode == "linear" || mode == "circular", "mode '", mode, "' is neither linear nor circular");
      if (n.has(kWriteIndices)) {
        check_indices(n.in_type(kWriteIndices));
        require(n.in_type(kWriteIndices).dims == Dims{whole.dims[0]}, "write_indices are ",
                to_string(n.in_type(kWriteIndices)), ", expected one per sequence");
      }
      return {whole, {DType::i64, {}}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const size_t axis = axis_of(n);
      const int64_t extent = in[kCache].dims()[axis];
      Value place = places(n, in[kUpdate], n.has(kWriteIndices) ? in[kWriteIndices] : Value{});
      Value y =
          scatter_along_axis(in[kCache], place, in[kUpdate], static_cast<int64_t>(axis), extent, "none");
      return {y, out_of_range(place, extent)};
    },
    .grad = [](Grad& g) -> Values {
      Value place = places(g.node, g.in[kUpdate], g.node.has(kWriteIndices) ? g.in[kWriteIndices] : Value{});
      ScatterGradient d = scatter_gradient(g.in[kCache], place, g.in[kUpdate], g.out[kY], g.dy[kY],
                                           static_cast<int64_t>(axis_of(g.node)), "none");
      Values out(g.in.size());
      out[kCache] = d.data;
      out[kUpdate] = d.updates;
      return out;
    },
    .no_grad_inputs = {kWriteIndices},
    .fault_output = kInvalid,
};
MEZZO_REGISTER_OP(op);

}  // namespace cache

}  // namespace
}  // namespace mezzo::ir
