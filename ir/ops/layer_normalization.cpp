// layer_normalization.cpp: ONNX LayerNormalization and RMSNormalization over the axes from `axis` to the
// last.
//   LayerNormalization: Y = (X - Mean) * InvStdDev * Scale + B    RMSNormalization: Y = X * InvRms * Scale
// Scale and bias are applied before the one rounding of Y. Statistics are f32 (f64 for f64), axes kept;
// InvRms is an output of the IR's own, behind ONNX's, for the gradient.
#include "ir/ops/standardize.h"

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
};
MEZZO_REGISTER_OP(rms_normalization);

}  // namespace
}  // namespace mezzo::ir
