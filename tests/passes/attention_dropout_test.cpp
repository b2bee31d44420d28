// Attention with a Dropout of its weights: the kernel that draws while it computes against the ops it stands
// for.
#include <gmock/gmock.h>

#include "ir/attention.h"
#include "passes/pipeline.h"
#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;

constexpr int64_t kBatch = 2, kHeads = 3, kTokens = 24, kWidth = 4;

// loss = sum(attention(q, k, v)^2) as exporters write it, heads turned forth and back, with parameters in
// place of projections, so that their gradients are outputs.
Graph net(bool masked) {
  Graph g;
  const Dims stored{kBatch, kTokens, kHeads, kWidth};
  Value key = g.input("key", {DType::u32, {2}});
  Value q = parameter(g, "q", grid(stored, 1)), k = parameter(g, "k", grid(stored, 2)),
        v = parameter(g, "v", grid(stored, 3));
  Value scores = apply("MatMul", {transpose(q, {0, 2, 1, 3}), transpose(k, {0, 2, 3, 1})}) * 0.5;
  if (masked) scores = scores + g.input("mask", {DType::f32, {kBatch, 1, 1, kTokens}});
  Value weights = apply("Softmax", {scores}, {{"axis", int64_t{-1}}});
  weights = apply("Dropout", {weights, key},
                  {{"ratio", 0.25}, {"training_mode", int64_t{1}}, {"stream", int64_t{3}}});
  Value y = transpose(apply("MatMul", {weights, transpose(v, {0, 2, 1, 3})}), {0, 2, 1, 3});
  g.outputs.push_back({kLoss, reduce_sum(y * y, {}, false)});
  return g;
}

Feeds feeds(bool masked, uint32_t step) {
  Tensor key({DType::u32, {2}});
  key.set_int(0, 17);
  key.set_int(1, step);
  Feeds out{{"key", key}};
  if (masked) out["mask"] = grid({kBatch, 1, 1, kTokens}, 9);
  return out;
}

TEST(AttentionDropout, EqualsTheOpsItStandsFor) {
  for (bool masked : {false, true}) {
    Graph fused = net(masked), written = net(masked);
    recognize(fused, {});
    int kernels = 0;
    for (auto& node : fused.nodes()) kernels += is_attention(*node);
    ASSERT_EQ(kernels, 1) << print(fused);
    for (Graph* g : {&fused, &written}) autodiff(*g, {});
    Session a, b;
    double before = 0;
    for (uint32_t step : {0u, 1u}) {
      const EvalResult left = a.run(fused, feeds(masked, step)), right = b.run(written, feeds(masked, step));
      ASSERT_EQ(left.outputs.size(), 4u);
      for (auto& [name, want] : right.outputs)
        for (int64_t i = 0; i < want.count(); i++)
          ASSERT_NEAR(left.outputs.at(name).get(i), want.get(i), 2e-4 * std::max(1.0, std::abs(want.get(i))))
              << name << ' ' << i;
      EXPECT_NE(number(left, kLoss), before) << "every step draws anew";
      before = number(left, kLoss);
    }
  }
}

// What a step writes is smaller than the weights of all tokens for all tokens.
TEST(AttentionDropout, NoStepHoldsTheWeights) {
  Options o{.low = DType::bf16, .optimizer = OptimizerOptions{}};
  Graph step = run_pipeline(net(true), o, {}).step;
  int kernels = 0;
  for (auto& node : step.nodes()) {
    kernels += is_attention(*node) + is_attention_gradient(*node);
    for (int k = 0; k < node->output_count(); k++)
      EXPECT_LT(node->type(k).count(), kBatch * kHeads * kTokens * kTokens) << print(*node);
  }
  EXPECT_EQ(kernels, 2);
}

}  // namespace
}  // namespace mezzo::passes
