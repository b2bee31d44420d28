// scalar_activation.cpp: activation functions as formulas. Derivatives at kinks: relu'(0) = 0; Clip passes
// the gradient on its closed interval; PRelu and LeakyRelu have slope 1 at 0.
#include <numbers>

#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {
namespace {

Value zero_like(Value v) { return constant_like(v, 0); }
Value expm1(Value v) { return apply("Expm1", {v}); }

// max(0, x) with the constant first gives x where x is NaN, at the price of one instruction.
const OpDef relu = formula(
    "Relu", 1, 1, {}, Precision::pass, infer_numbers,
    [](Graph&, const Node&, const Values& in) -> Values {
      return {apply("Maximum", {zero_like(in[0]), in[0]})};
    },
    [](Grad& g) -> Values {
      return {where(greater(g.out[0], zero_like(g.out[0])), g.dy[0], zero_like(g.dy[0]))};
    });

const OpDef leaky_relu = formula(
    "LeakyRelu", 1, 1, {{"alpha", 0.01}}, Precision::pass, infer_floats,
    [](Graph&, const Node& n, const Values& in) -> Values {
      Value x = cast(in[0], compute_type(in[0].dtype()));  // alpha may not be a 16-bit number
      return {cast(where(less(x, zero_like(x)), x * n.f("alpha"), x), in[0].dtype())};
    },
    [](Grad& g) -> Values {
      return {where(less(g.in[0], zero_like(g.in[0])), g.dy[0] * g.node.f("alpha"), g.dy[0])};
    });

const OpDef prelu = formula(
    "PRelu", 2, 2, {}, Precision::widest,
    [](const Node& n) {
      require(broadcast_inputs(n)[0].dims == n.in_type(0).dims, "the slope does not broadcast to the input");
      return infer_numbers(n);
    },
    [](Graph&, const Node&, const Values& in) -> Values {
      return {where(less(in[0], zero_like(in[0])), in[0] * in[1], in[0])};
    },
    [](Grad& g) -> Values {
      Value negative = less(g.in[0], zero_like(g.in[0]));
      return {where(negative, g.dy[0] * g.in[1], g.dy[0]),
              where(negative, g.dy[0] * g.in[0], zero_like(g.dy[0]))};
    });

// NaN passes. Where the bounds cross, the upper one wins.
const OpDef clip = {
    .name = "Clip",
    .min_inputs = 1,
    .max_inputs = 3,
    .precision = Precision::widest,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      for (size_t i : {size_t{1}, size_t{2}})
        require(!n.has(i) || n.in_type(i).count() == 1, "bound ", i, " must be one number");
      return {{infer_numbers(n)[0].dtype, n.in_type(0).dims}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Value x = in[0];
      if (n.has(1)) x = apply("Maximum", {reshape(in[1], {}), x});
      if (n.has(2)) x = apply("Minimum", {reshape(in[2], {}), x});
      return {x};
    },
    .grad = [](Grad& g) -> Values {
      Value x = g.in[0], dx = g.dy[0];
      if (g.node.has(1)) dx = where(less(x, reshape(g.in[1], {})), zero_like(dx), dx);
      if (g.node.has(2)) dx = where(less(reshape(g.in[2], {}), x), zero_like(dx), dx);
      return {dx};
    },
    .no_grad_inputs = {1, 2},
};

Value hard_sigmoid_of(Value x, double alpha, double beta) {
  Value line = x * alpha + beta;
  return apply("Minimum", {constant_like(x, 1), apply("Maximum", {zero_like(x), line})});
}
const OpDef hard_sigmoid = formula(
    "HardSigmoid", 1, 1, {{"alpha", 0.2}, {"beta", 0.5}}, Precision::bounded, infer_floats,
    [](Graph&, const Node& n, const Values& in) -> Values {
      return {hard_sigmoid_of(in[0], n.f("alpha"), n.f("beta"))};
    },
    [](Grad& g) -> Values {
      Value y = g.out[0], zero = zero_like(y);
      Value inside = logical_and(less(zero, y), less(y, constant_like(y, 1)));
      return {where(inside, g.dy[0] * g.node.f("alpha"), zero)};
    });
// x * hard_sigmoid(x / 6 + 1/2).
const OpDef hard_swish = formula(
    "HardSwish", 1, 1, {}, Precision::bounded, infer_floats,
    [](Graph&, const Node&, const Values& in) -> Values {
      return {in[0] * hard_sigmoid_of(in[0], 1.0 / 6, 0.5)};
    },
    [](Grad& g) -> Values {
      Value x = g.in[0], dy = g.dy[0];
      Value slope = where(less(x, constant_like(x, 3)), x * (1.0 / 3) + 0.5, constant_like(x, 1));
      return {where(less(constant_like(x, -3), x), dy * slope, zero_like(dy))};
    });

const OpDef elu = formula(
    "Elu", 1, 1, {{"alpha", 1.0}}, Precision::bounded, infer_floats,
    [](Graph&, const Node& n, const Values& in) -> Values {
      return {where(less(in[0], zero_like(in[0])), expm1(in[0]) * n.f("alpha"), in[0])};
    },
    [](Grad& g) -> Values {
      Value slope = exp(g.in[0]) * g.node.f("alpha");
      return {where(less(g.in[0], zero_like(g.in[0])), g.dy[0] * slope, g.dy[0])};
    });
const OpDef celu = formula(
    "Celu", 1, 1, {{"alpha", 1.0}}, Precision::bounded, infer_floats,
    [](Graph&, const Node& n, const Values& in) -> Values {
      double alpha = n.f("alpha");
      return {where(less(in[0], zero_like(in[0])), expm1(in[0] / alpha) * alpha, in[0])};
    },
    [](Grad& g) -> Values {
      Value slope = exp(g.in[0] / g.node.f("alpha"));
      return {where(less(g.in[0], zero_like(g.in[0])), g.dy[0] * slope, g.dy[0])};
    });
const OpDef selu = formula(
    "Selu", 1, 1, {{"alpha", 1.67326319217681884765625}, {"gamma", 1.05070102214813232421875}},
    Precision::bounded, infer_floats,
    [](Graph&, const Node& n, const Values& in) -> Values {
      Value x = in[0];
      return {where(less(x, zero_like(x)), expm1(x) * (n.f("alpha") * n.f("gamma")), x * n.f("gamma"))};
    },
    [](Grad& g) -> Values {
      const Node& n = g.node;
      Value slope = exp(g.in[0]) * (n.f("alpha") * n.f("gamma"));
      return {where(less(g.in[0], zero_like(g.in[0])), g.dy[0] * slope, g.dy[0] * n.f("gamma"))};
    });

const OpDef softsign = formula(
    "Softsign", 1, 1, {}, Precision::bounded, infer_floats,
    [](Graph&, const Node&, const Values& in) -> Values { return {in[0] / (abs(in[0]) + 1)}; },
    [](Grad& g) -> Values {
      Value d = abs(g.in[0]) + 1;
      return {g.dy[0] / (d * d)};
    });
const OpDef thresholded_relu = formula(
    "ThresholdedRelu", 1, 1, {{"alpha", 1.0}}, Precision::bounded, infer_floats,
    [](Graph&, const Node& n, const Values& in) -> Values {
      return {where(less(constant_like(in[0], n.f("alpha")), in[0]), in[0], zero_like(in[0]))};
    },
    [](Grad& g) -> Values {
      return {where(less(constant_like(g.in[0], g.node.f("alpha")), g.in[0]), g.dy[0], zero_like(g.dy[0]))};
    });
const OpDef shrink = formula(
    "Shrink", 1, 1, {{"bias", 0.0}, {"lambd", 0.5}}, Precision::bounded, infer_numbers,
    [](Graph&, const Node& n, const Values& in) -> Values {
      Value x = in[0];
      Value up = where(less(constant_like(x, n.f("lambd")), x), x - n.f("bias"), zero_like(x));
      return {where(less(x, constant_like(x, -n.f("lambd"))), x + n.f("bias"), up)};
    },
    [](Grad& g) -> Values {
      Value far = less(constant_like(g.in[0], g.node.f("lambd")), abs(g.in[0]));
      return {where(far, g.dy[0], zero_like(g.dy[0]))};
    });

MEZZO_REGISTER_OP(relu);
MEZZO_REGISTER_OP(leaky_relu);
MEZZO_REGISTER_OP(prelu);
MEZZO_REGISTER_OP(clip);
MEZZO_REGISTER_OP(hard_sigmoid);
MEZZO_REGISTER_OP(hard_swish);
MEZZO_REGISTER_OP(elu);
MEZZO_REGISTER_OP(celu);
MEZZO_REGISTER_OP(selu);
MEZZO_REGISTER_OP(softsign);
MEZZO_REGISTER_OP(thresholded_relu);
MEZZO_REGISTER_OP(shrink);

}  // namespace
}  // namespace mezzo::ir
