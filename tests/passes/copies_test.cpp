// copies_test.cpp: the 16-bit copies of the weights are written by the optimizer, and nothing else changes.
#include <gmock/gmock.h>

#include "passes/pipeline.h"
#include "passes/plan_memory.h"
#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;

// loss = mean((relu(x w) w^T - x)^2): a weight that is used twice, and a bias.
Graph tied(int64_t batch = 4) {
  Graph g;
  Value x = g.input("x", {DType::f32, {batch, 8}});
  Value w = parameter(g, "w", grid({8, 6}, 1)), b = parameter(g, "b", grid({8}, 2));
  Value hidden = dot(x, w), zero = constant_like(hidden, 0);
  Value e = dot(maximum(hidden, zero), w, {.trans_b = true}) + b - x;
  g.outputs.push_back({kLoss, reduce_mean(e * e, {}, false)});
  return g;
}

Options options(DType low, OptimizerKind kind) {
  Options o{
      .low = low, .optimizer = OptimizerOptions{.kind = kind, .lr = 0.05, .momentum = 0.9}, .clip_norm = 1};
  o.loss_scale = {.kind = LossScaleKind::dynamic, .init = 65536, .interval = 3};
  return o;
}

// The step up to guard_updates, by hand, so that keep_copies can be left out.
struct Step {
  Graph micro;
  std::optional<Graph> apply;
};
Step make(const Options& o, bool copies) {
  Step s{tied(), {}};
  assign_precision(s.micro, o);
  autodiff(s.micro, o);
  if (copies) keep_copies(s.micro, o);
  if (o.accumulate > 1) s.apply = accumulate(s.micro, o);
  for (Graph* g : {&s.micro, s.apply ? &*s.apply : nullptr}) {
    if (!g) continue;
    scale_loss(*g, o);
    add_optimizer(*g, o);
    guard_updates(*g, o);
    verify(*g);
  }
  return s;
}

size_t casts_of_parameters(const Graph& g) {
  size_t count = 0;
  for (auto& node : g.nodes())
    count += is_cast(*node) && is_low(node->type().dtype) && is_state(*node->in(0).node);
  return count;
}

struct Case {
  DType low;
  OptimizerKind kind;
  int64_t accumulate;
};

TEST(Copies, TheTrajectoryIsTheSameBits) {
  for (const Case& c : {Case{DType::bf16, OptimizerKind::adamw, 1}, Case{DType::f16, OptimizerKind::sgd, 1},
                        Case{DType::f16, OptimizerKind::adamw, 2}}) {
    Options o = options(c.low, c.kind);
    o.accumulate = c.accumulate;
    o.samples = 4;
    Step with = make(o, true), without = make(o, false);
    EXPECT_EQ(casts_of_parameters(with.micro), 0u);
    EXPECT_GT(casts_of_parameters(without.micro), 0u);
    Session a, b;
    int skipped = 0;
    for (int step = 0; step < 8; step++) {
      EvalResult left, right;
      for (int64_t k = 0; k < c.accumulate; k++) {
        Tensor x = grid({4, 8}, 7 * step + static_cast<int>(k));
        if (step == 4) x.set(3, INFINITY);
        left = a.run(with.micro, {{"x", x}});
        right = b.run(without.micro, {{"x", x}});
      }
      if (with.apply) left = a.run(*with.apply, {}), right = b.run(*without.apply, {});
      EXPECT_EQ(left.outputs.at(kLoss), right.outputs.at(kLoss)) << step;
      skipped += left.outputs.at(kFinite).get(0) == 0;
      for (auto& [name, value] : b.states) EXPECT_EQ(a.states.at(name), value) << name << " after " << step;
      EXPECT_EQ(a.states.at(copy_name("w", c.low)), a.states.at("w").cast(c.low)) << step;
    }
    EXPECT_GT(skipped, 0);
    EXPECT_LT(skipped, 8);
  }
}

TEST(Copies, NoLaunchRoundsAWeightBeforeItIsUsed) {
  Options o = options(DType::bf16, OptimizerKind::adamw);
  Graph step = run_pipeline(tied(), o, {}).step;
  const Node* copy = step.find_state(copy_name("w", DType::bf16));
  ASSERT_NE(copy, nullptr);
  int readers = 0;
  for (auto& node : step.nodes())
    for (const Value& v : node->inputs()) {
      readers += v && v.node == copy;
      EXPECT_FALSE(v && v.node == step.find_state("w") && node->phase != Phase::update) << print(*node);
    }
  EXPECT_GE(readers, 3);  // forward twice, and backward
  // The launch that writes the weight writes the copy, both in place.
  const Node *writes_weight = nullptr, *writes_copy = nullptr;
  for (const Update& u : step.updates) {
    if (u.state != copy && u.state != step.find_state("w")) continue;
    const Value made = root_of(u.value);
    (u.state == copy ? writes_copy : writes_weight) = made.node;
    EXPECT_EQ(made.node->offsets.at(static_cast<size_t>(made.index)), kInPlace);
  }
  EXPECT_EQ(writes_copy, writes_weight);
  MemoryReport memory = memory_report(step);
  EXPECT_EQ(memory.copies, 8 * 6 * 2);
  EXPECT_EQ(memory.parameters, (8 * 6 + 8) * 4);
}

}  // namespace
}  // namespace mezzo::passes
