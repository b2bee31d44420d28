// scatter.cpp: ONNX ScatterElements and ScatterND. Behind ONNX's output stands the number of indices that
// name nothing, as in gather.cpp; such updates are dropped.
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

}  // namespace
}  // namespace mezzo::ir
