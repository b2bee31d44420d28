// gather.cpp: ONNX Gather, GatherElements and GatherND. Behind ONNX's output stands the number of indices
// that name nothing, unless the indices are constants: these are checked when the node is made. Gradients are
// sums by index, in f32, in the order of the indices.
#include <algorithm>

#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"
#include "ir/ops/index_arguments.h"

namespace mezzo::ir {
namespace {

enum Output : size_t { kY, kInvalid };

int64_t product(const Dims& dims, size_t begin, size_t end) {
  int64_t n = 1;
  for (size_t i = begin; i < end; i++) n *= dims[i];
  return n;
}

// Constant indices first, first + step, ...: what a Slice reads. (Exporters select rows with such.)
struct Progression {
  int64_t first, step, count;
};
std::optional<Progression> progression(Value indices, int64_t extent) {
  TensorPtr t = constant_of(indices);
  if (!t || t->count() == 0) return std::nullopt;
  auto at = [&](int64_t i) { return t->get_int(i) < 0 ? t->get_int(i) + extent : t->get_int(i); };
  Progression p{at(0), t->count() > 1 ? at(1) - at(0) : 1, t->count()};
  if (p.step == 0) return std::nullopt;
  for (int64_t i = 2; i < p.count; i++)
    if (at(i) - at(i - 1) != p.step) return std::nullopt;
  return p;
}

namespace gather {

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(0).rank()));
}

std::vector<Type> infer(const Node& n) {
  const Type& data = n.in_type(0);
  const size_t axis = axis_of(n);
  Dims dims(data.dims.begin(), data.dims.begin() + static_cast<int64_t>(axis));
  dims.insert(dims.end(), n.in_type(1).dims.begin(), n.in_type(1).dims.end());
  dims.insert(dims.end(), data.dims.begin() + static_cast<int64_t>(axis) + 1, data.dims.end());
  return with_count_of_faults(n, {data.dtype, dims}, 1, {data.dims[axis]});
}

// data as [outer, extent, inner] and the indices as [1, count, 1].
struct Parts {
  Dims data, indices;
};
Parts parts(const Node& n) {
  const Dims& dims = n.in_type(0).dims;
  const size_t axis = axis_of(n);
  Parts p{{dims[axis], product(dims, axis + 1, dims.size())}, {n.in_type(1).count(), 1}};
  if (const int64_t outer = product(dims, 0, axis); outer != 1) {
    p.data.insert(p.data.begin(), outer);
    p.indices.insert(p.indices.begin(), 1);
  }
  return p;
}

Values expand(Graph&, const Node& n, const Values& in) {
  const auto axis = static_cast<int64_t>(axis_of(n));
  const int64_t extent = in[0].dims()[axis_of(n)];
  if (auto p = progression(in[1], extent)) {
    int64_t end = p->first + p->step * p->count;
    if (end < 0) end = -extent - 1;  // before the beginning
    return {reshape(slice(in[0], {p->first}, {end}, {axis}, {p->step}), n.type().dims)};
  }
  const Parts p = parts(n);
  Value y = take_along_axis(reshape(in[0], p.data), reshape(in[1], p.indices),
                            static_cast<int64_t>(p.data.size()) - 2);
  return with_faults(n, reshape(y, n.type().dims), [&] { return out_of_range(in[1], extent); });
}

Values grad(Grad& g) {
  const Dims& dims = g.node.in_type(0).dims;
  const size_t axis = axis_of(g.node);
  if (auto p = progression(g.in[1], dims[axis])) {
    Dims sliced = dims;
    sliced[axis] = p->count;
    return {unslice(reshape(g.dy[kY], sliced), dims, {p->first}, {static_cast<int64_t>(axis)}, {p->step})};
  }
  const Parts p = parts(g.node);
  Dims updates = p.data;
  const size_t at = updates.size() - 2;
  updates[at] = p.indices[at];
  Value sum = scatter_along_axis({}, reshape(g.in[1], p.indices), reshape(g.dy[kY], updates),
                                 static_cast<int64_t>(at), dims[axis], "add");
  return {reshape(sum, dims)};
}

const OpDef op = {
    .name = "Gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"axis", 0}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand,
    .grad = grad,
    .no_grad_inputs = {1},
    .fault_output = kInvalid,
};
MEZZO_REGISTER_OP(op);

}  // namespace gather

namespace elements {

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(0).rank()));
}

std::vector<Type> infer(const Node& n) {
  const Type &data = n.in_type(0), &indices = n.in_type(1);
  const size_t axis = axis_of(n);
  require_part(data.dims, indices.dims, axis);
  return with_count_of_faults(n, {data.dtype, indices.dims}, 1, {data.dims[axis]});
}

const OpDef op = {
    .name = "GatherElements",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"axis", 0}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const size_t axis = axis_of(n);
      Value part = part_of(in[0], in[1].dims(), axis);
      Value y = take_along_axis(part, in[1], static_cast<int64_t>(axis));
      return with_faults(n, y, [&] { return out_of_range(in[1], part.dims()[axis]); });
    },
    .grad = [](Grad& g) -> Values {
      const Dims& dims = g.node.in_type(0).dims;
      const size_t axis = axis_of(g.node);
      Value sum = scatter_along_axis({}, g.in[1], g.dy[kY], static_cast<int64_t>(axis), dims[axis], "add");
      return {whole_of(sum, dims)};
    },
    .no_grad_inputs = {1},
    .fault_output = kInvalid,
};
MEZZO_REGISTER_OP(op);

}  // namespace elements

namespace nd {

// data [batch..., D1..Dq, rest...] and indices [batch..., n..., q].
struct Parts {
  size_t batches, q;
  Dims named;  // D1..Dq
  int64_t batch, count, rest;
};
Parts parts(const Node& n) {
  const Dims &data = n.in_type(0).dims, &indices = n.in_type(1).dims;
  const int64_t batches = n.i("batch_dims");
  require(!indices.empty(), "indices without dims");
  require(batches >= 0 && batches < static_cast<int64_t>(std::min(data.size(), indices.size())),
          "batch_dims ", batches, " does not fit data ", to_string(data), " and indices ",
          to_string(indices));
  Parts p{static_cast<size_t>(batches), static_cast<size_t>(indices.back()), {}, 1, 1, 1};
  require(indices.back() >= 1 && p.batches + p.q <= data.size(), "indices of ", indices.back(),
          " coordinates do not fit data ", to_string(data));
  for (size_t i = 0; i < p.batches; i++)
    require(data[i] == indices[i], "batch axis ", i, " is ", data[i], " in data and ", indices[i],
            " in indices");
  p.named.assign(data.begin() + batches, data.begin() + batches + static_cast<int64_t>(p.q));
  p.batch = product(data, 0, p.batches);
  p.count = product(indices, p.batches, indices.size() - 1);
  p.rest = product(data, p.batches + p.q, data.size());
  return p;
}

// The tuples as places in [D1 * ... * Dq], batch by batch.
Value places(const Value& tuples, const Parts& p) {
  return reshape(linear_index(tuples, p.named), {p.batch, p.count, 1});
}

std::vector<Type> infer(const Node& n) {
  const Dims &data = n.in_type(0).dims, &indices = n.in_type(1).dims;
  const Parts p = parts(n);
  Dims dims(indices.begin(), indices.end() - 1);
  dims.insert(dims.end(), data.begin() + static_cast<int64_t>(p.batches + p.q), data.end());
  return with_count_of_faults(n, {n.in_type(0).dtype, dims}, 1, p.named);
}

const OpDef op = {
    .name = "GatherND",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"batch_dims", 0}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Parts p = parts(n);
      Value data = reshape(in[0], {p.batch, element_count(p.named), p.rest});
      Value y = reshape(take_along_axis(data, places(in[1], p), 1), n.type().dims);
      return with_faults(n, y, [&] { return tuples_out_of_range(in[1], p.named); });
    },
    .grad = [](Grad& g) -> Values {
      const Parts p = parts(g.node);
      Value dy = reshape(g.dy[kY], {p.batch, p.count, p.rest});
      Value sum = scatter_along_axis({}, places(g.in[1], p), dy, 1, element_count(p.named), "add");
      return {reshape(sum, g.node.in_type(0).dims)};
    },
    .no_grad_inputs = {1},
    .fault_output = kInvalid,
};
MEZZO_REGISTER_OP(op);

}  // namespace nd

}  // namespace
}  // namespace mezzo::ir
