#include "models/transformer.h"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace mezzo::models {

namespace {
constexpr double kDeviation = 0.02;  // of the weights, in all three networks
}

std::string dense(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t in, int64_t out) {
  b.normal_parameter(name + ".weight", {out, in}, kDeviation);
  b.filled_parameter(name + ".bias", {out}, 0);
  const std::string weight = b.apply("Transpose", {name + ".weight"}, {{"perm", Shape{1, 0}}});
  return b.apply("Add", {name + ".bias", b.apply("MatMul", {x, weight})});
}

std::string flat_dense(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t in, int64_t out,
                       int64_t sequence, double deviation) {
  b.normal_parameter(name + ".weight", {in, out}, deviation);
  b.filled_parameter(name + ".bias", {out}, 0);
  const std::string rows = b.apply("Reshape", {x, b.integers({-1, in})});
  const std::string y = b.apply("Gemm", {rows, name + ".weight", name + ".bias"});
  return b.apply("Reshape", {y, b.integers({-1, sequence, out})});
}

std::string layer_norm(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t hidden,
                       float epsilon) {
  b.filled_parameter(name + ".weight", {hidden}, 1);
  b.filled_parameter(name + ".bias", {hidden}, 0);
  return b.apply("LayerNormalization", {x, name + ".weight", name + ".bias"},
                 {{"axis", int64_t{-1}}, {"epsilon", epsilon}});
}

std::string gelu(OnnxBuilder& b, const std::string& x) {
  if (b.opset() >= 20) return b.apply("Gelu", {x});
  const std::string erf = b.apply("Erf", {b.apply("Div", {x, b.constant(static_cast<float>(M_SQRT2))})});
  return b.scaled(b.apply("Mul", {x, b.apply("Add", {erf, b.constant(1)})}), 0.5f);
}

std::string gelu_tanh(OnnxBuilder& b, const std::string& x) {
  const std::string half = b.scaled(x, 0.5f), cube = b.scaled(b.apply("Pow", {x, b.constant(3)}), 0.044715f);
  const std::string inner = b.scaled(b.apply("Add", {x, cube}), static_cast<float>(std::sqrt(2 / M_PI)));
  return b.apply("Mul", {half, b.apply("Add", {b.apply("Tanh", {inner}), b.constant(1)})});
}

std::string attention(OnnxBuilder& b, const std::string& q, const std::string& k, const std::string& v,
                      const std::string& mask, const std::string& causal, const TransformerSizes& s) {
  if (s.hidden % s.heads) throw std::runtime_error("--hidden must be a multiple of --heads");
  const int64_t size = s.hidden / s.heads;
  auto by_head = [&](const std::string& x, const Shape& perm) {
    return b.apply("Transpose", {b.apply("Reshape", {x, b.integers({0, 0, s.heads, size})})},
                   {{"perm", perm}});
  };
  std::string scores = b.apply("MatMul", {by_head(q, {0, 2, 1, 3}), by_head(k, {0, 2, 3, 1})});
  scores = b.apply("Div", {scores, b.constant(std::sqrt(static_cast<float>(size)))});
  if (!mask.empty()) scores = b.apply("Add", {scores, mask});
  if (!causal.empty())
    scores = b.apply("Where", {causal, scores, b.constant(std::numeric_limits<float>::lowest())});
  const std::string part = b.dropout(b.apply("Softmax", {scores}, {{"axis", int64_t{-1}}}), s.dropout);
  const std::string y = b.apply("MatMul", {part, by_head(v, {0, 2, 1, 3})});
  return b.apply("Reshape",
                 {b.apply("Transpose", {y}, {{"perm", Shape{0, 2, 1, 3}}}), b.integers({0, 0, s.hidden})});
}

}  // namespace mezzo::models
