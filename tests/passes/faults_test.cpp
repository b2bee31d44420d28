// A label that names no class: the step says so and leaves every state as it was, scale and counters
// included.
#include <gtest/gtest.h>

#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;

Graph classifier() {
  Graph g;
  Value x = g.input("x", {DType::f32, {4, 2}}), labels = g.input("labels", {DType::i64, {4}});
  Value w = parameter(g, "w", grid({2, 3}, 1));
  Scope scope(g, Phase::forward, {"criterion"});
  g.outputs.push_back({kLoss, apply_all("SoftmaxCrossEntropyLoss", {dot(x, w), labels})[0]});
  return g;
}

Feeds feeds(int64_t last_label) {
  Tensor labels({DType::i64, {4}});
  for (int64_t i = 0; i < 4; i++) labels.set_int(i, i == 3 ? last_label : i);
  return {{"x", grid({4, 2}, 5)}, {"labels", labels}};
}

// The whole training step of a model.
void make_step(Graph& g) {
  Options o{.optimizer = OptimizerOptions{.kind = OptimizerKind::adam}};
  o.loss_scale = {.kind = LossScaleKind::dynamic, .init = 1024};
  autodiff(g, o);
  scale_loss(g, o);
  add_optimizer(g, o);
  catch_faults(g, o);
  guard_updates(g, o);
  verify(g);
}

// Rows of a table: an index beyond either end is an error that names the node; one below 0 counts from the
// end.
TEST(Faults, IndexOfNoRowLeavesNoTrace) {
  Graph g;
  Value table = parameter(g, "table", grid({5, 2}, 1)), rows = g.input("rows", {DType::i64, {3}});
  {
    Scope scope(g, Phase::forward, {"embedding"});
    Value y = apply_all("Gather", {table, rows})[0];
    g.outputs.push_back({kLoss, reduce_sum(y * y, {}, false)});
  }
  make_step(g);
  const std::string faults = std::string(kFaultPrefix) + "embedding";
  auto at = [](int64_t last) {
    Tensor t({DType::i64, {3}});
    for (int64_t i = 0; i < 3; i++) t.set_int(i, i == 2 ? last : -5);
    return Feeds{{"rows", t}};
  };
  Session session;
  EXPECT_EQ(number(session.run(g, at(4)), faults), 0);
  const Feeds before = session.states;
  for (int64_t wrong : {int64_t{5}, int64_t{-6}, int64_t{1} << 40}) {
    EXPECT_EQ(number(session.run(g, at(wrong)), faults), 1) << wrong;
    for (auto& [name, value] : before)
      EXPECT_EQ(session.states.at(name), value) << name << " with index " << wrong;
  }
}

// Constant indices are checked when the node is made, and count nothing in the step.
TEST(Faults, ConstantIndicesAreCheckedAtOnce) {
  Graph g;
  Value table = parameter(g, "table", grid({5, 2}, 1));
  EXPECT_EQ(apply_all("Gather", {table, g.constant(Tensor::of({2}, {-5, 4}, DType::i64))}).size(), 1u);
  EXPECT_THROW(apply_all("Gather", {table, g.constant(Tensor::of({2}, {0, 5}, DType::i64))}), Error);
  EXPECT_THROW(apply_all("GatherND", {table, g.constant(Tensor::of({1, 2}, {4, 2}, DType::i64))}), Error);
}

TEST(Faults, WrongLabelLeavesNoTrace) {
  Graph g = classifier();
  make_step(g);
  const std::string faults = std::string(kFaultPrefix) + "criterion";

  Session session;
  EXPECT_EQ(number(session.run(g, feeds(1)), faults), 0);
  const Feeds before = session.states;
  for (int64_t wrong : {int64_t{3}, int64_t{-1}, int64_t{1} << 32}) {
    EvalResult result = session.run(g, feeds(wrong));
    EXPECT_EQ(number(result, faults), 1) << wrong;
    EXPECT_EQ(number(result, kFinite), 0) << wrong;
    for (auto& [name, value] : before)
      EXPECT_EQ(session.states.at(name), value) << name << " with label " << wrong;
  }
  session.run(g, feeds(2));
  EXPECT_EQ(session.number(kStep), 2);
}

}  // namespace
}  // namespace mezzo::passes
