// Fusion: how many kernels the patterns of a training step become, that the bodies are legal, and that no bit
// changes.
#include <gmock/gmock.h>

#include "ir/eval.h"
#include "ir/text.h"
#include "passes/kernel_check.h"
#include "passes/passes.h"
#include "random_primitives.h"
#include "step_patterns.h"

namespace mezzo::passes {
namespace {

using namespace patterns;

Type f32(Dims dims) { return {DType::f32, std::move(dims)}; }

// Fuses, checks every body, compares all results bit by bit, returns the number of kernels.
int fused(Graph& g) {
  auto feeds = random_feeds(g);
  EvalResult before = evaluate(g, feeds, EvalMode::rounded);
  std::string text = print(g);
  expand(g, {});  // reductions keep their dims
  fuse(g, {});
  verify(g);
  for (auto& node : g.nodes()) {
    if (is_kernel(*node)) check_kernel(*node->body);
    Meaning m = node->op().meaning;
    EXPECT_TRUE(m == Meaning::leaf || m == Meaning::kernel || is_reshape(*node)) << node->op().name;
  }
  EvalResult after = evaluate(g, feeds, EvalMode::rounded);
  EXPECT_EQ(before.outputs.size(), after.outputs.size());
  for (auto& [name, tensor] : before.outputs)
    EXPECT_TRUE(after.outputs.at(name) == tensor) << name << "\n" << text;
  for (auto& [name, tensor] : before.updates)
    EXPECT_TRUE(after.updates.at(name) == tensor) << name << "\n" << text;
  return kernels(g);
}

TEST(Fuse, ElementwiseChainWithBroadcastAndTransposedOperandIsOneKernel) {
  Graph g;
  Value x = g.input("x", f32({4, 6})), b = g.input("b", f32({6})), t = g.input("t", f32({6, 4}));
  Value y = tanh(x + b) * transpose(t, {1, 0});
  g.outputs = {{"y", y}, {"z", exp(y) + 1.0}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, NothingToFuseStaysAsItIs) {
  Graph g;
  Value x = g.input("x", f32({4, 6})), w = g.input("w", f32({6, 5}));
  g.outputs = {{"y", reshape(dot(reshape(x, {2, 2, 6}), reshape(w, {1, 6, 5})), {4, 5})}};
  std::string before = print(g);
  EXPECT_EQ(fused(g), 0);
  EXPECT_EQ(print(g), before);
}

TEST(Fuse, SoftmaxIsOneKernel) {
  Graph g;
  Value x = g.input("x", f32({2, 3, 7}));
  g.outputs = {{"y", softmax(x, 2)}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, SoftmaxOverAnInnerAxisIsOneKernel) {
  Graph g;
  Value x = g.input("x", f32({2, 3, 7}));
  g.outputs = {{"y", softmax(x, 1)}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, SoftmaxBackwardIsOneKernel) {
  Graph g;
  Value y = g.input("y", f32({6, 7})), dy = g.input("dy", f32({6, 7}));
  g.outputs = {{"dx", y * (dy - reduce_sum(dy * y, {1}))}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, CrossEntropyWithGradientIsOneKernel) {
  Graph g;
  Value x = g.input("x", f32({4, 5})), labels = g.input("labels", {DType::i64, {4}});
  auto [loss, dx] = cross_entropy(x, labels);
  g.outputs = {{"loss", loss}, {"dx", dx}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, CrossEntropyOfSequencesMergesBatchAndTime) {
  Graph g;
  Value x = g.input("x", f32({2, 3, 5})), labels = g.input("labels", {DType::i64, {2, 3}});
  auto [loss, dx] = cross_entropy(reshape(x * 2.0, {6, 5}), reshape(labels, {6}));
  g.outputs = {{"loss", loss}, {"dx", reshape(dx, {2, 3, 5}) * 2.0}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, LayerNormForwardAndBackwardAreOneKernelEach) {
  Graph g;
  Value a = g.input("a", f32({2, 3, 8})), b = g.input("b", f32({2, 3, 8})), w = g.input("w", f32({8, 8}));
  Value gamma = g.input("gamma", f32({8})), beta = g.input("beta", f32({8}));
  Norm f = normalize(a + b, {2}, gamma, beta);
  Value dy;
  Values d;
  {
    Value out = dot(f.y, reshape(w, {1, 8, 8}));
    Scope scope(g, Phase::backward, {});
    dy = dot(out, reshape(w, {1, 8, 8}), {.trans_b = true});
    d = normalize_backward(f, dy, {2}, gamma, {0, 1});
  }
  g.outputs = {{"dx", d[0]}, {"dgamma", d[1]}, {"dbeta", d[2]}};
  EXPECT_EQ(fused(g), 2);
  // The backward kernel computes the normalised activation again instead of loading it: only a+b and the
  // statistics are stored besides what the product reads.
  for (auto& node : g.nodes()) {
    if (is_kernel(*node) && node->phase == Phase::forward) {
      EXPECT_EQ(node->output_count(), 4) << print(g);
    }
  }
}

TEST(Fuse, BatchNormIsOneKernelEachWay) {
  Graph g;
  Value x = g.input("x", f32({2, 3, 4, 4})), w = g.input("w", f32({3, 3, 1, 1}));
  Value gamma = g.input("gamma", f32({3, 1, 1})), beta = g.input("beta", f32({3, 1, 1}));
  Norm f = normalize(x, {0, 2, 3}, gamma, beta);
  Value y = larger(f.y, constant_like(x, 0));
  ConvolutionSpec spec{{1, 1}, {1, 1}, {0, 0}, {0, 0}};
  Value dy = convolution(convolution(y, w, spec), w, spec);
  Values d;
  {
    Scope scope(g, Phase::backward, {});
    d = normalize_backward(f, where(greater(y, constant_like(y, 0)), dy, constant_like(y, 0)), {0, 2, 3},
                           gamma, {0, 2, 3});
  }
  g.outputs = {{"dx", d[0]}, {"dgamma", d[1]}, {"dbeta", d[2]}};
  EXPECT_EQ(fused(g), 2);
}

TEST(Fuse, ChannelsLastBatchNormIsOneKernel) {
  Graph g;
  Value x = g.input("x", f32({2, 4, 4, 3})), gamma = g.input("gamma", f32({3})),
        beta = g.input("beta", f32({3}));
  g.outputs = {{"y", normalize(x, {0, 1, 2}, gamma, beta).y}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, AdamOverFiveShapesIsThreeKernels) {
  Graph g;
  std::vector<std::pair<Value, Value>> parameters;
  int k = 0;
  for (const Dims& dims : std::vector<Dims>{{4, 5}, {5}, {3, 2, 2}, {}, {7}}) {
    std::string name = "p" + std::to_string(k++);
    parameters.push_back({g.state(name, f32(dims), StateKind::parameter), g.input("d" + name, f32(dims))});
  }
  adam(g, parameters);
  // Squares and finite checks of all gradients; clip factor and bias correction; all updates.
  EXPECT_EQ(fused(g), 3) << print(g);
}

TEST(Fuse, PoolingReadsThroughWindows) {
  Graph g;
  Value x = g.input("x", f32({2, 3, 6, 6}));
  WindowSpec spec{{2, 2}, {2, 2}, {1, 1}, {0, 0}, {3, 3}};
  Value p = reduce_max(window(larger(x, constant_like(x, 0)), spec, -1e30), {4, 5}, false);
  g.outputs = {{"p", p + 1.0}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, OverlappingWindowsReadWhatWasComputedOnce) {
  Graph g;
  Value x = g.input("x", f32({1, 2, 6, 6}));
  WindowSpec spec{{3, 3}, {1, 1}, {1, 1}, {1, 1}, {6, 6}};
  g.outputs = {{"p", reduce_max(window(tanh(x), spec, -1e30), {4, 5}, false)}};
  EXPECT_EQ(fused(g), 2);
}

TEST(Fuse, WeightCastsAreOneLaunch) {
  Graph g;
  for (int k = 0; k < 4; k++) {
    Value p = g.state("p" + std::to_string(k), f32({k + 2, 4}), StateKind::parameter);
    Value x = g.input("x" + std::to_string(k), {DType::bf16, {3, k + 2}});
    g.outputs.push_back({"y" + std::to_string(k), dot(x, cast(p, DType::bf16))});
  }
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, AKernelOpBetweenTwoReadersPreventsACycle) {
  Graph g;
  Value x = g.input("x", f32({4, 4}));
  Value a = x + 1.0;
  g.outputs = {{"y", dot(a * 2.0, a) + a}};
  EXPECT_EQ(fused(g), 2);
}

TEST(Fuse, BiasGradientNormDoesNotFoldColumnsPerTask) {
  Graph g;
  Value dy = g.input("dy", f32({16, 6}));
  Value db = reshape(reduce_sum(dy, {0}), {6});
  Value norm = reduce_sum(db * db, {}, false);
  g.outputs = {{"db", db}, {"norm", norm}};
  EXPECT_EQ(fused(g), 2);
}

// A kernel between two others may be entered late and left early in node order: no shortcut for the cycle
// check.
TEST(Fuse, NumbersBeforeAndAfterAKernelStayApart) {
  Graph g;
  Value x = g.input("x", f32({8, 6})), s = g.state("s", f32({}), StateKind::counter);
  Value db = reduce_sum(tanh(x), {0});
  Value bad = reduce_max(where(is_finite(db), constant_like(db, 0), constant_like(db, 1)), {}, false);
  Value finite = equal(bad * 2.0, constant_like(bad, 0));
  Value rate = s * 0.5 + 1.0;
  g.outputs = {{"p", db * rate}, {"finite", finite}, {"rate", rate}};
  EXPECT_LE(fused(g), 4);
}

TEST(Fuse, OuterDifferenceOfAVectorWithItself) {
  Graph g;
  Value x = g.input("x", f32({5})) * 2.0;
  g.outputs = {{"d", reshape(x, {5, 1}) - reshape(x, {1, 5})}};
  fused(g);
}

TEST(Fuse, ReshapesThatDoNotSplitAxesAreMovement) {
  Graph g;
  Value x = exp(g.input("x", f32({4, 6})));
  g.outputs = {{"y", reduce_sum(reshape(x, {6, 4}) * 2.0, {1})}};
  fused(g);
}

TEST(Fuse, ATransposedGradientAndItsColumnSumsAreOneKernel) {
  Graph g;
  Value d = g.input("d", f32({2, 3, 4, 5})), w = g.input("w", f32({20, 6}));
  Value dy = reshape(transpose(d, {0, 2, 1, 3}), {8, 15});
  g.outputs = {{"dx", dot(dy, reshape(w, {15, 8}))}, {"db", reduce_sum(dy, {0}, false)}};
  EXPECT_EQ(fused(g), 1);
}

TEST(Fuse, ConcatAndSliceInTheLoads) {
  Graph g;
  Value a = g.input("a", f32({3, 4})), b = g.input("b", f32({3, 2}));
  Value c = concat({a + 1.0, b}, 1);
  g.outputs = {{"c", c}, {"s", slice(c, {1}, {5}, {1}, {2}) * 3.0}};
  fused(g);
}

// A group norm of an upsampled image whose mean comes from another kernel, which also has the cast: this one
// computes the cast again, and stores results that vary along the repeat only because the cast is said to.
TEST(Fuse, WhatIsComputedAgainBehindARepeat) {
  Graph g;
  Value x = g.input("x", {DType::bf16, {2, 4, 3, 3}}), gain = g.input("gain", f32({4, 1, 1}));
  Value wide = reshape(expand(reshape(x, {2, 4, 3, 1, 3, 1}), {2, 4, 3, 2, 3, 2}), {2, 2, 72});
  Value f = cast(wide, DType::f32);
  Value d = f - reduce_mean(f, {2});
  Value rstd = 1.0 / sqrt(reduce_mean(d * d, {2}) + 1e-5);
  Value y = cast(reshape(cast(d * rstd, DType::bf16), {2, 4, 6, 6}), DType::f32);
  Value z = cast(cast(y * gain, DType::bf16), DType::f32);
  Value pooled = reduce_sum(reshape(exp(z), {2, 4, 3, 2, 3, 2}), {3, 5});
  Value dz = reshape(expand(reshape(pooled, {2, 4, 3, 1, 3, 1}), {2, 4, 3, 2, 3, 2}), {2, 4, 6, 6}) * z;
  g.outputs = {{"rstd", rstd},
               {"y", y},
               {"pooled", pooled},
               {"dgain", reduce_sum(dz * y, {0, 2, 3})},
               {"sum", reduce_sum(reshape(dz, {2, 2, 72}) * d * rstd, {2})}};
  fused(g);
}

TEST(Fuse, RandomGraphsKeepEveryBit) {
  for (uint64_t seed = 1; seed <= 400; seed++) {
    SCOPED_TRACE(seed);
    Graph g = RandomPrimitives(seed).make(static_cast<int>(10 + seed % 50));
    g.remove_dead_nodes();
    fused(g);
    schedule(g, {});
    plan_memory(g, {});  // checks itself
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace mezzo::passes
