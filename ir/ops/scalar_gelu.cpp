// scalar_gelu.cpp: smooth activations: Gelu, Swish and SwiGLU, Softplus, Mish.
#include <numbers>

#include "ir/ops/scalar_rows.h"
#include "ir/pattern.h"

namespace mezzo::ir {
namespace {

constexpr double kSqrtHalf = std::numbers::sqrt2 / 2;
constexpr double kNormalDensity = std::numbers::inv_sqrtpi * kSqrtHalf;  // 1 / sqrt(2 pi)
constexpr double kTanhScale = 2 * 0.797884560802865356;                  // 2 sqrt(2 / pi)
constexpr double kTanhCubic = 0.044715;

bool by_tanh(const Node& n) {
  const std::string& how = n.s("approximate");
  require(how == "none" || how == "tanh", "approximate must be none or tanh, not '", how, "'");
  return how == "tanh";
}

// The probability that a normal number is below x.
Value normal_below(Value x) { return (erf(x * kSqrtHalf) + 1) * 0.5; }
// (1 + tanh u) / 2 = sigmoid(2u): no cancellation where tanh is near -1.
Value tanh_gate(Value x) { return sigmoid(x * (x * x * (kTanhScale * kTanhCubic) + kTanhScale)); }

Values built_gelu(const char* approximate, const Match& m, const NewValue& now) {
  return {apply("Gelu", {now(m.value("x"))}, {{"approximate", std::string(approximate)}})};
}

const std::vector<Decomposition>& gelu_decompositions() {
  static const std::vector<Decomposition> list = {
      {.pattern = R"(
          gelu   = Mul(Mul(x, gate), 0.5) | Mul(Mul(x, 0.5), gate) | Mul(x, Mul(gate, 0.5));
          gate   = Add(Erf(scaled), 1);
          scaled = Div(x, 1.41421356) | Mul(x, 0.70710678);
       )",
       .fits = nullptr,
       .build = [](Graph&, const Match& m, const NewValue& now) { return built_gelu("none", m, now); }},
      {.pattern = R"(
          gelu  = Mul(Mul(x, gate), 0.5) | Mul(Mul(x, 0.5), gate) | Mul(x, Mul(gate, 0.5));
          gate  = Add(Tanh(inner), 1);
          inner = Mul(Add(x, cubic), 0.79788456) | Mul(Mul(x, 0.79788456), Add(Mul(Mul(x, 0.044715), x), 1));
          cubic = Mul(cube, 0.044715) | Mul(Mul(x, 0.044715), square) | Mul(Mul(square, 0.044715), x);
          cube  = Pow(x, 3) | Mul(x, square);
          square = Mul(x, x) | Pow(x, 2);
       )",
       .fits = nullptr,
       .build = [](Graph&, const Match& m, const NewValue& now) { return built_gelu("tanh", m, now); }},
  };
  return list;
}

const std::vector<Decomposition>& swish_decompositions() {
  static const std::vector<Decomposition> list = {
      {.pattern = "swish = Mul(x, Sigmoid(x)) | Mul(x, Sigmoid(Mul(x, #alpha)));",
       .fits = nullptr,
       .build = [](Graph&, const Match& m, const NewValue& now) -> Values {
         Attrs attrs;
         if (m.has_number("alpha")) attrs["alpha"] = m.number("alpha");
         return {apply("Swish", {now(m.value("x"))}, std::move(attrs))};
       }},
  };
  return list;
}

OpDef recognized(OpDef op, const std::vector<Decomposition>& (*decompositions)()) {
  op.decompositions = decompositions;
  return op;
}

const OpDef gelu =
    recognized(formula(
                   "Gelu", 1, 1, {{"approximate", "none"}}, Precision::bounded,
                   [](const Node& n) {
                     by_tanh(n);
                     return infer_floats(n);
                   },
                   [](Graph&, const Node& n, const Values& in) -> Values {
                     return {in[0] * (by_tanh(n) ? tanh_gate(in[0]) : normal_below(in[0]))};
                   },
                   [](Grad& g) -> Values {
                     Value x = g.in[0];
                     if (by_tanh(g.node)) {
                       Value s = tanh_gate(x), slope = x * x * (3 * kTanhScale * kTanhCubic) + kTanhScale;
                       return {g.dy[0] * (s + x * (s * (1.0 - s)) * slope)};
                     }
                     return {g.dy[0] * (normal_below(x) + x * (exp(x * x * -0.5) * kNormalDensity))};
                   }),
               gelu_decompositions);

const OpDef swish = recognized(formula(
                                   "Swish", 1, 1, {{"alpha", 1.0}}, Precision::bounded, infer_floats,
                                   [](Graph&, const Node& n, const Values& in) -> Values {
                                     double alpha = n.f("alpha");
                                     return {in[0] * sigmoid(alpha == 1 ? in[0] : in[0] * alpha)};
                                   },
                                   [](Grad& g) -> Values {
                                     double alpha = g.node.f("alpha");
                                     Value x = alpha == 1 ? g.in[0] : g.in[0] * alpha;
                                     Value s = sigmoid(x);
                                     return {g.dy[0] * (s + x * (s * (1.0 - s)))};
                                   }),
                               swish_decompositions);

// Swish(a) * b
const OpDef swiglu = formula(
    "SwiGLU", 2, 2, {{"alpha", 1.0}}, Precision::widest,
    [](const Node& n) {
      require(n.in_type(0).dims == n.in_type(1).dims, "inputs ", to_string(n.in_type(0).dims), " and ",
              to_string(n.in_type(1).dims), " must have one shape");
      return infer_floats(n);
    },
    [](Graph&, const Node& n, const Values& in) -> Values {
      double alpha = n.f("alpha");
      return {in[0] * sigmoid(alpha == 1 ? in[0] : in[0] * alpha) * in[1]};
    },
    [](Grad& g) -> Values {
      double alpha = g.node.f("alpha");
      Value a = g.in[0], x = alpha == 1 ? a : a * alpha, s = sigmoid(x);
      return {g.dy[0] * g.in[1] * (s + x * (s * (1.0 - s))), g.dy[0] * (a * s)};
    });

// log(1 + e^x) without overflow.
Value softplus_of(Value x) { return apply("Maximum", {constant_like(x, 0), x}) + log1p(exp(-abs(x))); }
const OpDef softplus = formula(
    "Softplus", 1, 1, {}, Precision::full, infer_floats,
    [](Graph&, const Node&, const Values& in) -> Values { return {softplus_of(in[0])}; },
    [](Grad& g) -> Values { return {g.dy[0] * sigmoid(g.in[0])}; });

const OpDef mish = formula(
    "Mish", 1, 1, {}, Precision::bounded, infer_floats,
    [](Graph&, const Node&, const Values& in) -> Values { return {in[0] * tanh(softplus_of(in[0]))}; },
    [](Grad& g) -> Values {
      Value x = g.in[0], t = tanh(softplus_of(x));
      return {g.dy[0] * (t + x * ((1.0 - t * t) * sigmoid(x)))};
    });

MEZZO_REGISTER_OP(gelu);
MEZZO_REGISTER_OP(swish);
MEZZO_REGISTER_OP(swiglu);
MEZZO_REGISTER_OP(softplus);
MEZZO_REGISTER_OP(mish);

}  // namespace
}  // namespace mezzo::ir
