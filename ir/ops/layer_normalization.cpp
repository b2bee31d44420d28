// layer_normalization.cpp: ONNX LayerNormalization and RMSNormalization over the axes from `axis` to the
// last.
//   LayerNormalization: Y = (X - Mean) * InvStdDev * Scale + B    RMSNormalization: Y = X * InvRms * Scale
// Scale and bias are applied before the one rounding of Y. Statistics are f32 (f64 for f64), axes kept;
// InvRms is an output of the IR's own, behind ONNX's, for the gradient.
#include "ir/ops/standardize.h"
#include "ir/pattern.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kX, kScale, kBias };

Ints norm_axes(const Node& n) { return axes_from(n.i("axis"), n.in_type(kX).rank()); }

std::vector<Type> infer(const Node& n, int statistics) {
  const Type& x = float_input(n);
  require(x.rank() >= 1, "a scalar has no axes to normalize");
  const Ints axes = norm_axes(n);
  require_stash_type(n);
  require_broadcast(n, kScale, x.dims);
  require_broadcast(n, kBias, x.dims);
  std::vector<Type> types(static_cast<size_t>(1 + statistics), {compute_type(x.dtype), kept(x.dims, axes)});
  types[0] = x;
  return types;
}

// dX, dScale, dB from the gradients of Y, of the mean and of the inverse deviation.
Values gradient(Grad& g, const Standardized& s, Value dmean, Value dinverse) {
  const Ints axes = norm_axes(g.node);
  Value dy = g.dy[0];
  Values d(g.in.size());
  if (g.needs[kX]) {
    if (dy) d[kX] = standardize_gradient(s, dy * g.in[kScale], axes);
    d[kX] = add_present(d[kX], statistics_gradient(s, dmean, dinverse, axes));
  }
  if (dy && g.needs[kScale]) d[kScale] = dy * s.hat;
  if (dy && g.node.has(kBias) && g.needs[kBias]) d[kBias] = dy;
  return d;
}

// The axes that a reduction of a match folds are the last ones of x.
bool folds_last_axes(const Match& m, std::string_view reduction) {
  const Node& n = m.node(reduction);
  return n.i("keepdims") != 0 &&
         folded_axes(n) == axes_from(-static_cast<int64_t>(folded_axes(n).size()), n.in(0).rank());
}

// A scale or bias has the normalized axes only: what else is added or multiplied is no part of the norm.
bool is_affine(const Match& m, std::string_view part, std::string_view reduction) {
  if (!m.has(part)) return true;
  const Dims& dims = m.value(part).dims();
  const Dims& x = m.value("x").dims();
  const size_t rank = folded_axes(m.node(reduction)).size();
  return m.value(part).dtype() == m.value("x").dtype() && dims.size() <= rank && broadcast(dims, x) == x;
}

// An absent scale is 1.
Values build_norm(std::string_view op, const Match& m, const NewValue& now, std::string_view reduction) {
  Value x = now(m.value("x"));
  Values inputs{x, m.has("scale") ? now(m.value("scale")) : constant_like(x, 1)};
  if (m.has("bias")) inputs.push_back(now(m.value("bias")));
  const auto axes = static_cast<int64_t>(folded_axes(m.node(reduction)).size());
  return {apply(op, inputs, {{"axis", -axes}, {"epsilon", m.number("epsilon")}})};
}

const std::vector<Decomposition>& layer_norm_decompositions() {
  static const std::vector<Decomposition> list = {
      {.pattern = R"(
          norm     = Add(Mul(hat, scale), bias) | Mul(hat, scale) | hat;
          hat      = Div(rest, Sqrt(variance)) | Mul(rest, Reciprocal(Sqrt(variance))) |
                     Mul(rest, Div(1, Sqrt(variance)));
          rest     = Sub(x, mean);
          mean     = ReduceMean(x);
          variance = Add(square, #epsilon);
          square   = ReduceMean(Pow(rest, 2)) | ReduceMean(Mul(rest, rest));
       )",
       .fits =
           [](const Match& m) {
             return folds_last_axes(m, "mean") && folds_last_axes(m, "square") &&
                    folded_axes(m.node("mean")) == folded_axes(m.node("square")) &&
                    is_affine(m, "scale", "mean") && is_affine(m, "bias", "mean");
           },
       .build = [](Graph&, const Match& m,
                   const NewValue& now) { return build_norm("LayerNormalization", m, now, "mean"); }},
  };
  return list;
}

const std::vector<Decomposition>& rms_norm_decompositions() {
  static const std::vector<Decomposition> list = {
      {.pattern = R"(
          norm   = Mul(hat, scale) | hat;
          hat    = Div(x, root) | Mul(x, Reciprocal(root)) | Mul(x, Div(1, root));
          root   = Sqrt(Add(square, #epsilon));
          square = ReduceMean(Pow(x, 2)) | ReduceMean(Mul(x, x));
       )",
       .fits = [](const Match& m) { return folds_last_axes(m, "square") && is_affine(m, "scale", "square"); },
       .build = [](Graph&, const Match& m,
                   const NewValue& now) { return build_norm("RMSNormalization", m, now, "square"); }},
  };
  return list;
}

const OpDef layer_normalization = {
    .name = "LayerNormalization",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = {{"axis", -1}, {"epsilon", 1e-5}, {"stash_type", 1}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) { return infer(n, 2); },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Standardized s = standardize(in[kX], norm_axes(n), n.f("epsilon"), true);
      Value y = s.hat * in[kScale];
      return {n.has(kBias) ? y + in[kBias] : y, s.mean, s.inverse};
    },
    .grad = [](Grad& g) -> Values {
      return gradient(g, standardize_again(g.in[kX], g.out[1], g.out[2]), g.dy[1], g.dy[2]);
    },
    .f32_inputs = {kScale, kBias},
    .decompositions = layer_norm_decompositions,
};
MEZZO_REGISTER_OP(layer_normalization);

const OpDef rms_normalization = {
    .name = "RMSNormalization",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"axis", -1}, {"epsilon", 1e-5}, {"stash_type", 1}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) { return infer(n, 1); },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Standardized s = standardize(in[kX], norm_axes(n), n.f("epsilon"), false);
      return {s.hat * in[kScale], s.inverse};
    },
    .grad = [](Grad& g) -> Values {
      return gradient(g, standardize_again(g.in[kX], {}, g.out[1]), {}, g.dy[1]);
    },
    .f32_inputs = {kScale},
    .decompositions = rms_norm_decompositions,
};
MEZZO_REGISTER_OP(rms_normalization);

}  // namespace
}  // namespace mezzo::ir
