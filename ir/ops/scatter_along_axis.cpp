// scatter_along_axis.cpp: the primitive behind every scatter and every gradient of a gather.
#include <algorithm>

#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(0).rank()));
}

std::vector<Type> infer_scatter(const Node& n) {
  const Type &updates = n.in_type(0), &indices = n.in_type(1);
  check_indices(indices);
  require(indices.rank() == updates.rank(), "indices ", to_string(indices.dims), " and updates ",
          to_string(updates.dims), " differ in rank");
  const size_t axis = axis_of(n);
  Type out = updates;
  out.dims[axis] = n.i("extent");
  require(n.i("extent") >= 0, "extent ", n.i("extent"), " is negative");
  element_count(out.dims);
  for (size_t i = 0; i < updates.dims.size(); i++)
    require(indices.dims[i] == updates.dims[i] || (indices.dims[i] == 1 && i != axis), "indices ",
            to_string(indices.dims), " do not fit updates ", to_string(updates.dims));
  const std::string& how = n.s("reduction");
  require(how == "none" || how == "add" || how == "mul" || how == "min" || how == "max", "reduction '", how,
          "' is none of none, add, mul, min, max");
  require(!is_low(updates.dtype) || how == "none", "reduction ", how, " in ", name(updates.dtype));
  if (n.has(2)) require(n.in_type(2) == out, "data ", to_string(n.in_type(2)), ", expected ", to_string(out));
  return {out};
}

template <class T>
T combined(const std::string& how, T old, T update) {
  if (how == "add") return static_cast<T>(old + update);
  if (how == "mul") return static_cast<T>(old * update);
  if (how == "min") return old < update || old != old ? old : update;
  if (how == "max") return old > update || old != old ? old : update;
  return update;
}

void evaluate_scatter(const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& outs) {
  const Tensor &updates = *in[0], &indices = *in[1];
  Tensor& out = outs[0];
  if (in.size() > 2 && in[2])
    out = *in[2];
  else
    out = Tensor::filled(out.type(), 0);
  const ScatterSizes s = scatter_sizes(n);
  const std::string& how = n.s("reduction");
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t k = 0; k < s.count; k++)
      for (int64_t i = 0; i < s.inner; i++) {
        int64_t index = indices.get_int(o * s.index_outer + k * s.index_count + i * s.index_inner);
        if (index < 0) index += s.extent;
        if (index < 0 || index >= s.extent) continue;
        const int64_t from = (o * s.count + k) * s.inner + i, to = (o * s.extent + index) * s.inner + i;
        if (out.dtype() == DType::f64 || (is_float(out.dtype()) && how == "none"))
          out.set(to, combined(how, out.get(to), updates.get(from)));
        else if (is_float(out.dtype()))
          out.set(to, static_cast<double>(combined(how, static_cast<float>(out.get(to)),
                                                   static_cast<float>(updates.get(from)))));
        else if (how == "min" || how == "max")
          out.set_int(to, out.dtype() == DType::u64
                              ? static_cast<int64_t>(combined(how, static_cast<uint64_t>(out.get_int(to)),
                                                              static_cast<uint64_t>(updates.get_int(from))))
                              : combined(how, out.get_int(to), updates.get_int(from)));
        else
          out.set_int(to, static_cast<int64_t>(combined(how, static_cast<uint64_t>(out.get_int(to)),
                                                        static_cast<uint64_t>(updates.get_int(from)))));
      }
}

Values grad_scatter(Grad& g) {
  ScatterGradient d = scatter_gradient(g.node.has(2) ? g.in[2] : Value{}, g.in[1], g.in[0], g.out[0], g.dy[0],
                                       static_cast<int64_t>(axis_of(g.node)), g.node.s("reduction"));
  return g.node.has(2) ? Values{d.updates, {}, d.data} : Values{d.updates, {}};
}

const OpDef scatter_op = {
    .name = "ScatterAlongAxis",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = {{"axis", int64_t{0}, AttrSpec::required},
              {"extent", int64_t{0}, AttrSpec::required},
              {"reduction", "none"}},
    .precision = Precision::widest,
    .meaning = Meaning::kernel,
    .infer = infer_scatter,
    .evaluate = evaluate_scatter,
    .grad = grad_scatter,
};
MEZZO_REGISTER_OP(scatter_op);

}  // namespace

ScatterGradient scatter_gradient(Value data, Value index, Value u, Value y, Value dy, int64_t axis,
                                 const std::string& how) {
  const int64_t extent = dy.dims()[static_cast<size_t>(axis)];
  Graph& graph = dy.node->graph();
  auto picked = [&](Value v) { return take_along_axis(v, index, axis); };
  auto scattered = [&](Value into, Value v, const char* reduction) {
    return scatter_along_axis(into, index, v, axis, extent, reduction);
  };
  // What an index that names nothing wrote is lost.
  Value zero = constant_like(dy, 0), one = constant_like(dy, 1);
  Value range = constant_like(index, static_cast<double>(extent));
  Value valid = logical_and(greater_equal(index, -range), less(index, range));
  if (how == "add") return {where(valid, picked(dy), zero), data ? dy : Value{}};
  if (how == "none") {
    Dims line{u.type().count()};
    Value number = reshape(iota(graph, line, 0), u.dims());
    Value last = equal(picked(scattered({}, number, "none")), number);
    Value kept = scattered(expand(one, dy.dims()), expand(zero, u.dims()), "none");
    return {where(logical_and(valid, last), picked(dy), zero), data ? dy * kept : Value{}};
  }
  if (how == "min" || how == "max") {
    Value hit = where(logical_and(valid, equal(u, picked(y))), one, zero);
    Value same = data ? where(equal(data, y), one, zero) : where(equal(y, zero), one, expand(zero, y.dims()));
    Value share = dy / maximum(scattered(same, hit, "add"), one);
    return {hit * picked(share), data ? same * share : Value{}};
  }
  if (!data) return {expand(zero, u.dims()), {}};
  Value u_zero = equal(u, zero), d_zero = equal(data, zero);
  Value zeros = scattered(where(d_zero, one, zero), where(logical_and(valid, u_zero), one, zero), "add");
  Value others = scattered(where(d_zero, one, data), where(u_zero, one, u), "mul");
  auto factor = [&](Value x, Value x_zero, Value count, Value rest) {
    Value none = equal(count, zero), single = equal(count, one);
    return where(x_zero, where(single, rest, zero), where(none, rest / where(x_zero, one, x), zero));
  };
  return {where(valid, picked(dy) * factor(u, u_zero, picked(zeros), picked(others)), zero),
          dy * factor(data, d_zero, zeros, others)};
}

Value scatter_along_axis(Value data, Value indices, Value updates, int64_t axis, int64_t extent,
                         const std::string& reduction) {
  // On either side of the axis the indices follow all axes of the updates or none.
  Dims dims = indices.dims(), full = updates.dims();
  const auto at = static_cast<size_t>(normalize_axis(axis, updates.rank()));
  dims[at] = full[at];
  for (auto [begin, end] : {std::pair(size_t{0}, at), std::pair(at + 1, dims.size())}) {
    bool follows = false;
    for (size_t i = begin; i < end; i++) follows |= dims[i] != 1;
    for (size_t i = begin; i < end && follows; i++) dims[i] = full[i];
  }
  Values inputs{updates, expand(indices, dims)};
  if (data) inputs.push_back(data);
  return apply("ScatterAlongAxis", inputs, {{"axis", axis}, {"extent", extent}, {"reduction", reduction}});
}

bool is_scatter(const Node& n) { return &n.op() == &scatter_op; }

ScatterSizes scatter_sizes(const Node& n) {
  const Dims &updates = n.in_type(0).dims, &indices = n.in_type(1).dims;
  const size_t axis = axis_of(n);
  ScatterSizes s{1, updates[axis], 1, n.i("extent"), 0, 0, 0};
  int64_t inner = 1, outer = 1;
  for (size_t i = 0; i < axis; i++) s.outer *= updates[i], outer *= indices[i];
  for (size_t i = axis + 1; i < updates.size(); i++) s.inner *= updates[i], inner *= indices[i];
  check((inner == 1 || inner == s.inner) && (outer == 1 || outer == s.outer), n.op().name,
        ": indices follow a part of the axes");
  s.index_inner = inner > 1 ? 1 : 0;
  s.index_count = inner;
  s.index_outer = outer > 1 ? inner * updates[axis] : 0;
  return s;
}

}  // namespace mezzo::ir
