// layout_test.cpp: assign_layout keeps every value and leaves transposes only at the borders of a convolution
// net.
#include <gtest/gtest.h>

#include <random>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "ir/text.h"
#include "passes/passes.h"

namespace mezzo::ir {
namespace {

Tensor random_tensor(const Type& type, unsigned seed) {
  std::mt19937 random(seed);
  Tensor t(type);
  for (int64_t i = 0; i < t.count(); i++) t.set(i, static_cast<double>(random() % 2001) / 1000.0 - 1);
  return t;
}

const ConvolutionSpec kSame{{1, 1}, {1, 1}, {1, 1}, {1, 1}};

// conv - batch statistics - relu, twice, pool, flatten, product; with its loss.
Graph conv_net() {
  Graph g;
  Value x = g.input("x", {DType::f32, {2, 3, 6, 6}});
  for (int layer = 0; layer < 2; layer++) {
    const int64_t in = layer == 0 ? 3 : 4;
    const std::string name = mezzo::concat("w", layer);
    Value w = g.state(name, {DType::f32, {4, in, 3, 3}}, StateKind::parameter);
    g.tensors[name] =
        std::make_shared<const Tensor>(random_tensor(w.type(), 3u + static_cast<unsigned>(layer)));
    Value y = convolution(x, w, kSame);
    Value centered = y - reduce_mean(y, {0, 2, 3});
    Value variance = reduce_mean(centered * centered, {0, 2, 3});
    Value scale = g.state(mezzo::concat("s", layer), {DType::f32, {4}}, StateKind::parameter, 0.5);
    x = maximum(centered / sqrt(variance + 1e-5) * reshape(scale, {1, 4, 1, 1}), constant_like(y, 0));
  }
  Value pooled = reduce_max(window(x, {{2, 2}, {2, 2}, {1, 1}, {0, 0}, {3, 3}}), {4, 5}, false);
  Value w = g.state("fc", {DType::f32, {36, 5}}, StateKind::parameter);
  g.tensors["fc"] = std::make_shared<const Tensor>(random_tensor(w.type(), 9));
  Value y = dot(reshape(pooled, {2, 36}), w);
  g.outputs = {{"y", y}, {"loss", reduce_mean(y * y, {}, false)}};
  return g;
}

int count_transposes(const Graph& g) {
  int n = 0;
  for (auto& node : g.nodes()) n += is_transpose(*node);
  return n;
}

TEST(AssignLayout, KeepsEveryValueOfAStep) {
  Graph g = conv_net();
  passes::Options options;
  passes::autodiff(g, options);
  passes::expand(g, options);
  const std::map<std::string, Tensor> feeds{{"x", random_tensor({DType::f32, {2, 3, 6, 6}}, 1)}};
  const EvalResult before = evaluate(g, feeds, EvalMode::exact);
  passes::assign_layout(g, options);
  verify(g);
  const EvalResult after = evaluate(g, feeds, EvalMode::exact);
  ASSERT_EQ(before.outputs.size(), after.outputs.size());
  EXPECT_GE(before.outputs.size(), 7u);  // y, loss, five gradients
  for (auto& [name, tensor] : before.outputs) {
    ASSERT_EQ(tensor.type(), after.outputs.at(name).type()) << name;
    for (int64_t i = 0; i < tensor.count(); i++)
      EXPECT_NEAR(tensor.get(i), after.outputs.at(name).get(i), 1e-12) << name << " " << i;
  }
}

TEST(AssignLayout, TransposesRemainOnlyAtTheBorders) {
  Graph g = conv_net();
  passes::Options options;
  passes::autodiff(g, options);
  passes::expand(g, options);
  passes::assign_layout(g, options);
  int convolutions = 0;
  for (auto& node : g.nodes())
    if (!node->op().channel_inputs.empty()) {
      convolutions++;
      EXPECT_EQ(node->i("channels_last"), 1);
    }
  EXPECT_EQ(convolutions, 5);         // two forward, two weight gradients, one input gradient
  EXPECT_LE(count_transposes(g), 3);  // the input, and the flattened features forward and backward
}

TEST(AssignLayout, LeavesOtherGraphsAlone) {
  Graph g;
  Value x = g.input("x", {DType::f32, {4, 6}});
  g.outputs = {{"y", transpose(exp(transpose(x, {1, 0})), {1, 0})}};
  const std::string before = print(g);
  passes::assign_layout(g, {});
  EXPECT_EQ(print(g), before);
}

TEST(AssignLayout, CanBeSwitchedOff) {
  Graph g = conv_net();
  const std::string before = print(g);
  passes::Options options;
  options.channels_last = false;
  passes::assign_layout(g, options);
  EXPECT_EQ(print(g), before);
}

// Every op with a rule for permuted operands, against the plain op.
TEST(PermutedOps, AgreeWithTheOpOnPlainStorage) {
  const Ints perm{0, 3, 1, 2};  // x is stored channels-last
  Graph g;
  Value stored = g.input("x", {DType::f32, {2, 5, 6, 3}});
  Value x = transpose(stored, perm);  // [2,3,5,6]
  const WindowSpec spec{{2, 3}, {2, 1}, {1, 2}, {1, 0}, {3, 2}};
  Values plain = {reduce_sum(x, {2, 3}),
                  reduce_max(x, {1}),
                  slice(x, {1, 4}, {3, 0}, {1, 3}, {1, -2}),
                  pad(x, {0, 1, 0, 2}, {1, 0, -1, 0}, 7),
                  expand(reduce_sum(x, {1}), {2, 4, 5, 6}),
                  concat({x, x * 2.0}, 1),
                  window(x, spec, -1),
                  unslice(x, {2, 3, 9, 13}, {1, 0}, {2, 3}, {1, 2})};
  for (size_t k = 0; k < plain.size(); k++) {
    const Node& node = *plain[k].node;
    ASSERT_NE(node.op().permuted, nullptr) << node.op().name;
    Ints out_perm;
    std::optional<Attrs> attrs = node.op().permuted(node, perm, &out_perm);
    ASSERT_TRUE(attrs.has_value()) << node.op().name;
    Values inputs;
    for (Value v : node.inputs()) inputs.push_back(transpose(v, inverse(perm)));
    Value by = transpose(g.add(node.op(), inputs, *attrs)->out(), out_perm);
    ASSERT_EQ(by.type(), plain[k].type()) << node.op().name;
    g.outputs.push_back({mezzo::concat("plain", k), plain[k]});
    g.outputs.push_back({mezzo::concat("permuted", k), by});
  }
  const EvalResult r = evaluate(g, {{"x", random_tensor(stored.type(), 5)}}, EvalMode::rounded);
  for (size_t k = 0; k < plain.size(); k++)
    EXPECT_EQ(r.outputs.at(mezzo::concat("plain", k)), r.outputs.at(mezzo::concat("permuted", k)))
        << plain[k].node->op().name;
}

}  // namespace
}  // namespace mezzo::ir
