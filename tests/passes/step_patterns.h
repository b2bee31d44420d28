// step_patterns.h: the computations training steps consist of, written by hand from primitives, for tests of
// fusion, scheduling and memory planning.
#pragma once
#include <random>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::passes::patterns {

using namespace ir;

// The primitives that ONNX Max and Min expand to.
inline Value larger(Value a, Value b) { return apply("Maximum", {a, b}); }
inline Value smaller(Value a, Value b) { return apply("Minimum", {a, b}); }

inline Value softmax(Value x, int64_t axis) {
  Value e = exp(x - reduce_max(x, {axis}));
  return e / reduce_sum(e, {axis});
}

inline Value log_softmax(Value x, int64_t axis) {
  Value d = x - reduce_max(x, {axis});
  return d - log(reduce_sum(exp(d), {axis}));
}

struct Norm {
  Value y, centred, inverse;  // gamma * centred * inverse + beta
};
inline Norm normalize(Value x, const Ints& axes, Value gamma, Value beta) {
  int64_t count = 1;
  for (int64_t a : axes) count *= x.dims()[static_cast<size_t>(a < 0 ? a + x.rank() : a)];
  double n = static_cast<double>(count);
  Value centred = x - reduce_sum(x, axes) * (1 / n);
  Value inverse = 1.0 / sqrt(reduce_sum(centred * centred, axes) * (1 / n) + 1e-5);
  return {centred * inverse * gamma + beta, centred, inverse};
}
// Gradients of x, gamma, beta. `others`: the axes gamma does not have.
inline Values normalize_backward(const Norm& f, Value dy, const Ints& axes, Value gamma, const Ints& others) {
  int64_t count = 1;
  for (int64_t a : axes) count *= dy.dims()[static_cast<size_t>(a < 0 ? a + dy.rank() : a)];
  double n = static_cast<double>(count);
  Value hat = f.centred * f.inverse, d = dy * gamma;
  Value dx = (d - reduce_sum(d, axes) * (1 / n) - hat * (reduce_sum(d * hat, axes) * (1 / n))) * f.inverse;
  return {dx, reshape(reduce_sum(dy * hat, others), gamma.dims()),
          reshape(reduce_sum(dy, others), gamma.dims())};
}

// Mean cross entropy of scores [N, V] against class ids [N], and the gradient of the scores.
inline std::pair<Value, Value> cross_entropy(Value scores, Value labels) {
  int64_t n = scores.dims()[0], v = scores.dims()[1];
  Value logp = log_softmax(scores, 1);
  Value hit = cast(equal(reshape(labels, {n, 1}), iota(scores.node->graph(), {n, v}, 1)), DType::f32);
  Value picked = reshape(reduce_sum(logp * hit, {1}), {n});
  Value loss = reduce_sum(picked, {}, false) * (-1.0 / static_cast<double>(n));
  Value dlogp = hit * (-1.0 / static_cast<double>(n));
  Value dscores = dlogp - exp(logp) * reduce_sum(dlogp, {1});
  return {loss, dscores};
}

// One Adam step of every parameter, skipped when a gradient is not finite, with the global norm clipped at 1.
inline void adam(Graph& g, const std::vector<std::pair<Value, Value>>& parameters) {
  Scope scope(g, Phase::update, {});
  Value norm, bad;
  for (auto& [p, dp] : parameters) {
    Value square = reduce_sum(dp * dp, {}, false);
    Value mark = reduce_max(where(is_finite(dp), constant_like(dp, 0), constant_like(dp, 1)), {}, false);
    norm = norm ? norm + square : square;
    bad = bad ? larger(bad, mark) : mark;
  }
  Value finite = equal(bad, constant_like(bad, 0));
  Value clip = smaller(constant_like(norm, 1) / (sqrt(norm) + 1e-6), constant_like(norm, 1));
  Value power = g.state("beta1_power", {DType::f32, {}}, StateKind::slot, 1);
  Value now = power * 0.9;
  g.updates.push_back({power.node, where(finite, now, power)});
  for (auto& [p, dp] : parameters) {
    const std::string& name = p.node->s("name");
    Value m = g.state(name + ".m", p.type(), StateKind::slot),
          v = g.state(name + ".v", p.type(), StateKind::slot);
    Value d = dp * clip;
    Value m2 = m * 0.9 + d * 0.1, v2 = v * 0.999 + d * d * 0.001;
    Value p2 = p - m2 / (sqrt(v2) + 1e-8) * (0.001 / (1.0 - now));
    g.updates.push_back({p.node, where(finite, p2, p)});
    g.updates.push_back({m.node, where(finite, m2, m)});
    g.updates.push_back({v.node, where(finite, v2, v)});
  }
}

inline int kernels(const Graph& g) {
  int count = 0;
  for (auto& node : g.nodes()) count += is_kernel(*node);
  return count;
}

// Random values for every input; small integers for integer types.
inline std::map<std::string, Tensor> random_feeds(const Graph& g, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::map<std::string, Tensor> feeds;
  for (auto& node : g.nodes()) {
    if (!is_input(*node) && !is_state(*node)) continue;
    Tensor t(node->type());
    bool positive = is_state(*node) && node->s("kind") == "slot";
    for (int64_t i = 0; i < t.count(); i++) {
      double x = normal(random);
      t.set(i, is_float(t.dtype()) ? (positive ? x * x : x) : static_cast<double>(random() % 4));
    }
    feeds[node->s("name")] = t;
  }
  return feeds;
}

}  // namespace mezzo::passes::patterns
