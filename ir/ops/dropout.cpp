// dropout.cpp: ONNX Dropout. In training each element is kept with probability 1 - ratio and divided by it,
// else 0; outside training the input passes. `mask` tells what was kept. The draw depends on the key state
// (IR input 1, u32[2]: seed and step), on `stream`, which tells the Dropouts of a step apart, and on the
// element's index: never on the backend.
#include "ir/build.h"
#include "ir/op.h"
#include "ir/philox.h"

namespace mezzo::ir {
namespace {

enum Output : size_t { kY, kMask };

bool draws(const Node& n) { return n.i("training_mode") != 0 && n.f("ratio") > 0; }

double factor(const Node& n) { return dropout_factor(n.f("ratio")); }

std::vector<Type> infer(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype), "input is ", name(x.dtype), ", expected a float");
  require(n.f("ratio") >= 0 && n.f("ratio") <= 1, "ratio ", n.f("ratio"), " is not in [0, 1]");
  if (n.has(1))
    require(n.in_type(1) == Type{DType::u32, {2}}, "the random key is ", to_string(n.in_type(1)),
            ", expected u32[2]");
  require(n.has(1) || !draws(n), "training needs a random key");
  return {x, {DType::boolean, x.dims}};
}

Values expand_dropout(Graph& to, const Node& n, const Values& in) {
  Value x = in[0];
  if (!draws(n)) return {x, expand(to.constant(1, DType::boolean), x.dims())};
  Value u = random_uniform(in[1], x.dims(), n.i("stream"));
  Value mask = greater_equal(u, constant_like(u, n.f("ratio")));
  return {where(mask, x * factor(n), constant_like(x, 0)), mask};
}

Values grad(Grad& g) {
  Value dy = g.dy[kY];
  Values d(g.in.size());
  if (dy) d[0] = draws(g.node) ? where(g.out[kMask], dy * factor(g.node), constant_like(dy, 0)) : dy;
  return d;
}

const OpDef dropout = {
    .name = "Dropout",
    .min_inputs = 1,
    .max_inputs = 2,
    .attrs = {{"ratio", 0.5}, {"training_mode", 0}, {"seed", 0, AttrSpec::optional}, {"stream", 0}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_dropout,
    .grad = grad,
    .no_grad_inputs = {1},
    .constant_inputs = {{1, "ratio"}, {2, "training_mode"}},
};
MEZZO_REGISTER_OP(dropout);

}  // namespace
}  // namespace mezzo::ir
