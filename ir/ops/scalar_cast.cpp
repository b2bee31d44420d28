// scalar_cast.cpp: conversions between element types. A Cast to a narrower float is a rounding; passes may
// drop one only where that changes no bit.
#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {
namespace {

Values grad_cast(Grad& g) {
  if (!is_float(g.in[0].dtype())) return Values(g.node.input_count());
  Values out(g.node.input_count());
  out[0] = cast(g.dy[0], g.in[0].dtype());
  return out;
}

const OpDef cast_op = {
    .name = "Cast",
    .attrs = {{"to", DType::f32, AttrSpec::required}, {"saturate", int64_t{1}}},
    .precision = Precision::fixed,
    .meaning = Meaning::scalar,
    .infer = [](const Node& n) -> std::vector<Type> {
      return {{n.dtype("to"), n.in_type(0).dims}};
    },
    .scalar = {Code::cast},
    .grad = grad_cast,
};
MEZZO_REGISTER_OP(cast_op);

const OpDef cast_like = {
    .name = "CastLike",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"saturate", int64_t{1}}},
    .precision = Precision::widest,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      return {{n.in_type(1).dtype, n.in_type(0).dims}};
    },
    .expand = [](Graph&, const Node&, const Values& in) -> Values { return {cast(in[0], in[1].dtype())}; },
    .grad = grad_cast,
    .no_grad_inputs = {1},
};
MEZZO_REGISTER_OP(cast_like);

}  // namespace

bool is_cast(const Node& n) { return &n.op() == &cast_op; }

}  // namespace mezzo::ir
