// matmul.cpp: ONNX MatMul = numpy.matmul: matrices in the last two axes, batch axes broadcast; a 1-D operand
// is a row (left) or a column (right) whose axis is absent from the result.
#include <algorithm>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// The operands' shapes as dot() takes them: equal rank, at least 2. A right operand without batch makes one
// tall product of all the left one's rows.
struct Shapes {
  Dims a, b, y;  // reshaped operands and the product of these
  Dims out;      // the node's own output
};

Shapes shapes(Dims a, Dims b) {
  require(!a.empty() && !b.empty(), "operands ", to_string(a), " and ", to_string(b), " must not be scalars");
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  require(a.back() == b[b.size() - 2], "operands ", to_string(a), " and ", to_string(b),
          " do not fit together");
  Dims batch = broadcast(Dims(a.begin(), a.end() - 2), Dims(b.begin(), b.end() - 2));
  Shapes s;
  s.out = batch;
  if (!row) s.out.push_back(a[a.size() - 2]);
  if (!column) s.out.push_back(b.back());
  element_count(s.out);
  if (b.size() == 2) {
    s.a = {element_count(Dims(a.begin(), a.end() - 1)), a.back()};
    s.b = b;
    s.y = {s.a[0], b[1]};
    return s;
  }
  const size_t rank = std::max(a.size(), b.size());
  a.insert(a.begin(), rank - a.size(), 1);
  b.insert(b.begin(), rank - b.size(), 1);
  s.y = batch;
  s.y.push_back(a[rank - 2]);
  s.y.push_back(b[rank - 1]);
  s.a = std::move(a);
  s.b = std::move(b);
  return s;
}

std::vector<Type> infer(const Node& n) {
  const Type &a = n.in_type(0), &b = n.in_type(1);
  require(is_float(a.dtype) && a.dtype == b.dtype, "operands are ", name(a.dtype), " and ", name(b.dtype));
  const DType out = n.has_attr("out") ? n.dtype("out") : a.dtype;
  require(out == a.dtype || out == compute_type(a.dtype), "a product of ", name(a.dtype), " cannot be ",
          name(out));
  return {{out, shapes(a.dims, b.dims).out}};
}

Values expand_matmul(Graph&, const Node& n, const Values& in) {
  const Shapes s = shapes(in[0].dims(), in[1].dims());
  return {reshape(dot(reshape(in[0], s.a), reshape(in[1], s.b), {.out = n.type().dtype}), n.type().dims)};
}

// In the accumulator's type; batch axes that broadcasting added are summed there, before any rounding.
Values grad(Grad& g) {
  const Shapes s = shapes(g.in[0].dims(), g.in[1].dims());
  const DType accumulator = compute_type(g.in[0].dtype());
  Value dy = reshape(cast(g.dy[0], g.in[0].dtype()), s.y);
  Values d(2);
  if (g.needs[0]) {
    Value da = dot(dy, reshape(g.in[1], s.b), {.trans_b = true, .out = accumulator});
    d[0] = reshape(sum_to(da, s.a), g.in[0].dims());
  }
  if (g.needs[1]) {
    Value db = dot(reshape(g.in[0], s.a), dy, {.trans_a = true, .out = accumulator});
    d[1] = reshape(sum_to(db, s.b), g.in[1].dims());
  }
  return d;
}

const OpDef matmul = {
    .name = "MatMul",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"out", DType::f32, AttrSpec::optional}},
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_matmul,
    .grad = grad,
};
MEZZO_REGISTER_OP(matmul);

}  // namespace
}  // namespace mezzo::ir
