// objectives.cpp: training objectives that are no ONNX ops: one number from predictions and targets of one
// shape, the mean over all elements.
//   MeanSquaredError   mean((x - t)^2)
//   MeanAbsoluteError  mean(|x - t|), derivative 0 where x = t
//   BCEWithLogits      mean(max(x, 0) - x t + log(1 + exp(-|x|))): binary cross entropy of sigmoid(x) and t,
//   which never
//                      takes the logarithm of a rounded probability
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

std::vector<Type> infer(const Node& n) {
  const Type &x = n.in_type(0), &t = n.in_type(1);
  require(is_float(x.dtype) && t.dtype == x.dtype, "predictions are ", name(x.dtype), ", targets are ",
          name(t.dtype));
  require(x.dims == t.dims, "predictions ", to_string(x.dims), " and targets ", to_string(t.dims),
          " must have one shape");
  require(x.count() >= 1, "the mean over no elements is not defined");
  return {{x.dtype, {}}};
}

Value mean(Value v) { return reduce_mean(v, {}, false); }

// dloss / n, for an n-element mean.
Value each(const Grad& g) { return g.dy[0] / static_cast<double>(element_count(g.in[0].dims())); }

OpDef objective(std::string_view op, Values (*expand)(Graph&, const Node&, const Values&),
                Values (*grad)(Grad&)) {
  return {.name = op,
          .min_inputs = 2,
          .max_inputs = 2,
          .precision = Precision::full,
          .meaning = Meaning::expand,
          .infer = infer,
          .expand = expand,
          .grad = grad};
}

const OpDef mean_squared_error = objective(
    "MeanSquaredError",
    [](Graph&, const Node&, const Values& in) -> Values {
      Value d = in[0] - in[1];
      return {mean(d * d)};
    },
    [](Grad& g) -> Values {
      Value d = (g.in[0] - g.in[1]) * (each(g) * 2.0);
      return {d, g.needs[1] ? -d : Value{}};
    });
MEZZO_REGISTER_OP(mean_squared_error);

const OpDef mean_absolute_error = objective(
    "MeanAbsoluteError",
    [](Graph&, const Node&, const Values& in) -> Values { return {mean(abs(in[0] - in[1]))}; },
    [](Grad& g) -> Values {
      Value d = sign(g.in[0] - g.in[1]) * each(g);
      return {d, g.needs[1] ? -d : Value{}};
    });
MEZZO_REGISTER_OP(mean_absolute_error);

const OpDef bce_with_logits = objective(
    "BCEWithLogits",
    [](Graph&, const Node&, const Values& in) -> Values {
      Value x = in[0], t = in[1];
      return {mean(maximum(x, constant_like(x, 0)) - x * t + log1p(exp(-abs(x))))};
    },
    [](Grad& g) -> Values {
      Value x = g.in[0], scale = each(g);
      return {(sigmoid(x) - g.in[1]) * scale, g.needs[1] ? -x * scale : Value{}};
    });
MEZZO_REGISTER_OP(bce_with_logits);

}  // namespace
}  // namespace mezzo::ir
