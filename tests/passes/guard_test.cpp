// A step with a non-finite gradient leaves no trace but in the scale and its counters.
#include <gtest/gtest.h>

#include <limits>

#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;

constexpr double kInf = std::numeric_limits<double>::infinity();

// Three parameters with given gradients, and a running mean of input g0 as BatchNormalization has it.
Graph three_parameters_and_a_statistic() {
  Graph g = graph_with_given_gradients({grid({4}, 1), grid({2, 3}, 2), grid({1}, 3)});
  Value mean = g.state("running_mean", {DType::f32, {}}, StateKind::statistic, 0);
  Value now = reduce_mean(g.find_input("g0")->out(), {}, false);
  g.updates.push_back({mean.node, mean * 0.875 + now * 0.125});
  return g;
}

Feeds clean_feeds(int t) {
  return {{"g0", grid({4}, t)}, {"g1", grid({2, 3}, t + 20)}, {"g2", grid({1}, t + 40)}};
}

bool committed_with_the_step(const std::string& state) {
  return state != kScale && state != kScaleTracker && state != kAttempted && state != kSkippedInARow &&
         state != kSkippedTotal;
}

class Guard : public testing::TestWithParam<OptimizerOptions> {};

TEST_P(Guard, BadGradientAnywhereSkipsEverythingAndTheNextStepContinues) {
  Options o{.optimizer = GetParam(), .clip_norm = 1};
  o.loss_scale = {.kind = LossScaleKind::dynamic, .init = 1024};
  Graph g = three_parameters_and_a_statistic();
  make_step(g, o);
  Session undisturbed;
  for (int t = 0; t < 3; t++) undisturbed.run(g, clean_feeds(t));

  for (double bad : {kInf, -kInf, static_cast<double>(NAN)})
    for (int k = 0; k < 3; k++) {
      Session session;
      for (int t = 0; t < 2; t++) session.run(g, clean_feeds(t));
      Feeds before = session.states, feeds = clean_feeds(2);
      Tensor& poisoned = feeds.at("g" + std::to_string(k));
      poisoned.set(poisoned.count() - 1, bad);
      EvalResult skipped = session.run(g, feeds);
      EXPECT_EQ(number(skipped, kFinite), 0);
      EXPECT_EQ(number(skipped, kFirstBad), k);
      for (auto& [name, value] : before)
        if (committed_with_the_step(name)) {
          EXPECT_EQ(session.states.at(name), value) << name;
        }
      EXPECT_EQ(session.number(kScale), 512);
      EXPECT_EQ(session.number(kSkippedInARow), 1);

      EvalResult clean = session.run(g, clean_feeds(2));
      EXPECT_EQ(number(clean, kFinite), 1);
      EXPECT_EQ(number(clean, kFirstBad), -1);
      for (auto& [name, value] : undisturbed.states)
        if (committed_with_the_step(name)) {
          EXPECT_EQ(session.states.at(name), value) << name;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Guard,
                         testing::Values(OptimizerOptions{.momentum = 0.9, .dampening = 0.5},
                                         OptimizerOptions{.kind = OptimizerKind::adam},
                                         OptimizerOptions{.kind = OptimizerKind::adamw, .weight_decay = 0.1}),
                         [](const auto& each) {
                           return std::string(each.index == 0 ? "Sgd" : each.index == 1 ? "Adam" : "AdamW");
                         });

TEST(Guard, SkippedFirstStepDoesNotCountAsFirst) {
  // With dampening the first committed step takes the whole gradient.
  Options o{.optimizer = OptimizerOptions{.lr = 1, .momentum = 0.5, .dampening = 0.5}};
  Graph g = graph_with_given_gradients({Tensor::of({1}, {1})});
  make_step(g, o);
  Session session;
  session.run(g, {{"g0", Tensor::of({1}, {kInf})}});
  session.run(g, {{"g0", Tensor::of({1}, {1})}});
  EXPECT_EQ(session.number("p0"), 0);
  EXPECT_EQ(session.number(kStep), 1);
}

TEST(Guard, UnconditionalUpdatesStay) {
  Graph g = graph_with_given_gradients({grid({1}, 1)});
  Value key = g.state("key", {DType::i64, {}}, StateKind::key);
  g.updates.push_back({key.node, key + 1, true});
  make_step(g, {.optimizer = OptimizerOptions{}});
  Session session;
  session.run(g, {{"g0", Tensor::of({1}, {NAN})}});
  EXPECT_EQ(session.number("key"), 1);
}

TEST(Guard, AGraphWithoutUpdatesStaysAsItIs) {
  Graph g = graph_with_given_gradients({grid({1}, 1)});
  size_t nodes = g.size();
  guard_updates(g, {});
  EXPECT_EQ(g.size(), nodes);
}

TEST(Guard, UpdatesWithoutAFiniteCheckAreAnError) {
  Graph g = three_parameters_and_a_statistic();
  EXPECT_THROW(guard_updates(g, {}), Error);
}

}  // namespace
}  // namespace mezzo::passes
