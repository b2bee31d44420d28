// group_normalization.cpp: ONNX GroupNormalization and InstanceNormalization of X [N, C, spatial...], and
// MeanVarianceNormalization over any axes.
//   Y = (X - mean) / sqrt(var + epsilon) * scale + bias, statistics of every sample over a group of channels
//   and all spatial axes; InstanceNormalization has one channel per group. Scale and bias are per channel.
// Behind Y stand the statistics [N, G, 1...], which the gradient needs again.
#include "ir/ops/standardize.h"
#include "ir/pattern.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kX, kScale, kBias };

int64_t groups_of(const Node& n, int64_t channels) {
  return n.has_attr("num_groups") ? n.i("num_groups") : channels;
}

// X as [N, G, C/G, spatial...] and the axes of one group.
struct Grouped {
  Dims dims, channel, statistics;  // of X, of scale and bias, of mean and deviation
  Ints axes;
};

Grouped grouped(const Node& n) {
  const Dims& x = n.in_type(kX).dims;
  const int64_t groups = groups_of(n, x[1]);
  Grouped g{{x[0], groups, x[1] / groups}, {1, groups, x[1] / groups}, {}, {}};
  for (size_t i = 2; i < x.size(); i++) {
    g.dims.push_back(x[i]);
    g.channel.push_back(1);
  }
  g.axes = axes_from(2, static_cast<int64_t>(g.dims.size()));
  g.statistics = kept(g.dims, g.axes);
  return g;
}

std::vector<Type> infer(const Node& n) {
  const Type& x = float_input(n);
  require(x.rank() >= 2, "input ", to_string(x.dims), " must have a batch and a channel axis");
  const int64_t groups = groups_of(n, x.dims[1]);
  require(groups >= 1 && x.dims[1] % groups == 0, groups, " groups do not divide ", x.dims[1], " channels");
  for (size_t i : {kScale, kBias}) {
    require(n.in_type(i).dims == Dims{x.dims[1]}, "input ", i, " ", to_string(n.in_type(i).dims),
            " must be [", x.dims[1], "]");
    require(compute_type(n.in_type(i).dtype) == compute_type(x.dtype), "input ", i, " is ",
            name(n.in_type(i).dtype), ", input 0 is ", name(x.dtype));
  }
  const Grouped g = grouped(n);
  require(element_count(g.dims) > 0, "a group without elements has no statistics");
  const Type statistics{compute_type(x.dtype), g.statistics};
  return {x, statistics, statistics};
}

Values expand_groups(Graph&, const Node& n, const Values& in) {
  const Grouped g = grouped(n);
  Standardized s = standardize(reshape(in[kX], g.dims), g.axes, n.f("epsilon"), true);
  Value y = s.hat * reshape(in[kScale], g.channel) + reshape(in[kBias], g.channel);
  return {reshape(y, in[kX].dims()), s.mean, s.inverse};
}

Values gradient(Grad& g) {
  const Grouped shape = grouped(g.node);
  Values d(g.in.size());
  Standardized s = standardize_again(reshape(g.in[kX], shape.dims), g.out[1], g.out[2]);
  Value dy = g.dy[0] ? reshape(g.dy[0], shape.dims) : Value{};
  if (g.needs[kX]) {
    Value dx = statistics_gradient(s, g.dy[1], g.dy[2], shape.axes);
    if (dy)
      dx = add_present(standardize_gradient(s, dy * reshape(g.in[kScale], shape.channel), shape.axes), dx);
    d[kX] = reshape(dx, g.in[kX].dims());
  }
  auto per_channel = [&](Value v) { return reshape(sum_to(v, shape.channel), g.in[kScale].dims()); };
  if (dy && g.needs[kScale]) d[kScale] = per_channel(dy * s.hat);
  if (dy && g.needs[kBias]) d[kBias] = per_channel(dy);
  return d;
}

// Exporters before GroupNormalization: one instance per group, without affine part.
const std::vector<Decomposition>& group_norm_decompositions() {
  static const std::vector<Decomposition> list = {
      {.pattern = R"(
          norm     = Add(Mul(hat, scale), bias);
          hat      = Reshape(instance);
          instance = InstanceNormalization(grouped, 1, 0);
          grouped  = Reshape(x);
       )",
       .fits =
           [](const Match& m) {
             const Dims &x = m.value("x").dims(), &grouped = m.value("grouped").dims();
             if (x.size() < 2 || m.value("hat").dims() != x || grouped.size() < 2 || grouped[0] != x[0] ||
                 grouped[1] == 0 || x[1] % grouped[1] != 0)
               return false;
             Dims channel(x.size() - 1, 1);
             channel[0] = x[1];
             auto per_channel = [&](std::string_view part) {
               Dims dims = m.value(part).dims();
               if (dims.size() == x.size() && dims[0] == 1) dims.erase(dims.begin());
               return dims == channel && m.value(part).dtype() == m.value("x").dtype();
             };
             return per_channel("scale") && per_channel("bias");
           },
       .build = [](Graph&, const Match& m, const NewValue& now) -> Values {
         Value x = now(m.value("x"));
         const Dims channels{x.dims()[1]};
         Value scale = reshape(now(m.value("scale")), channels),
               bias = reshape(now(m.value("bias")), channels);
         return {apply(
             "GroupNormalization", {x, scale, bias},
             {{"epsilon", m.node("instance").f("epsilon")}, {"num_groups", m.value("grouped").dims()[1]}})};
       }},
  };
  return list;
}

OpDef group_op(std::string_view name, std::vector<AttrSpec> attrs,
               std::vector<Type> (*infer_op)(const Node&)) {
  return {.name = name,
          .min_inputs = 3,
          .max_inputs = 3,
          .attrs = std::move(attrs),
          .precision = Precision::bounded,
          .meaning = Meaning::expand,
          .infer = infer_op,
          .expand = expand_groups,
          .grad = gradient,
          .f32_inputs = {kScale, kBias}};
}

const OpDef group_normalization = [] {
  OpDef op = group_op("GroupNormalization",
                      {{"epsilon", 1e-5}, {"num_groups", 0, AttrSpec::required}, {"stash_type", 1}},
                      [](const Node& n) {
                        require_stash_type(n);
                        return infer(n);
                      });
  op.decompositions = group_norm_decompositions;
  return op;
}();
MEZZO_REGISTER_OP(group_normalization);

const OpDef instance_normalization = group_op("InstanceNormalization", {{"epsilon", 1e-5}}, infer);
MEZZO_REGISTER_OP(instance_normalization);

Ints given_axes(const Node& n) {
  Ints axes = n.ints("axes");
  for (int64_t& a : axes) a = normalize_axis(a, n.in_type(0).rank());
  return axes;
}

// ONNX divides by the deviation plus 1e-9; the place where that shows has no variance to speak of.
const OpDef mean_variance_normalization = {
    .name = "MeanVarianceNormalization",
    .attrs = {{"axes", Ints{0, 2, 3}}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = float_input(n);
      given_axes(n);
      return {x};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Ints axes = given_axes(n);
      Value centred = in[0] - reduce_mean(in[0], axes);
      return {centred / (sqrt(reduce_mean(centred * centred, axes)) + 1e-9)};
    },
};
MEZZO_REGISTER_OP(mean_variance_normalization);

}  // namespace
}  // namespace mezzo::ir
