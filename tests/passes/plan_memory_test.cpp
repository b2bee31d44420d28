// Scheduling and the memory plan: peaks against their lower bound, in-place updates, and that the checker
// sees bad plans.
#include <gmock/gmock.h>

#include "ir/eval.h"
#include "ir/text.h"
#include "passes/memory_check.h"
#include "passes/passes.h"
#include "passes/plan_memory.h"
#include "step_patterns.h"

namespace mezzo::passes {
namespace {

using namespace patterns;
using testing::HasSubstr;

Type f32(Dims dims) { return {DType::f32, std::move(dims)}; }

// A training step of `layers` blocks of layer norm, two products and a residual, with Adam.
Graph residual_net(int layers, int64_t rows = 16, int64_t width = 8) {
  Graph g;
  Value x = g.input("x", f32({rows, width})), labels = g.input("labels", {DType::i64, {rows}});
  struct Block {
    Norm norm;
    Value w1, w2, gamma, beta, hidden;
  };
  std::vector<Block> blocks;
  Value h = x;
  for (int k = 0; k < layers; k++) {
    auto state = [&](const char* name, Dims dims) {
      return g.state(name + std::to_string(k), f32(std::move(dims)), StateKind::parameter);
    };
    Block b;
    b.gamma = state("gamma", {width});
    b.beta = state("beta", {width});
    b.w1 = state("w1", {width, 2 * width});
    b.w2 = state("w2", {2 * width, width});
    b.norm = normalize(h, {1}, b.gamma, b.beta);
    b.hidden = dot(b.norm.y, b.w1);
    h = h + dot(larger(b.hidden, constant_like(h, 0)), b.w2);
    blocks.push_back(b);
  }
  auto [loss, dh] = cross_entropy(h, labels);
  g.outputs.push_back({"loss", loss});
  std::vector<std::pair<Value, Value>> parameters;
  {
    Scope scope(g, Phase::backward, {});
    for (size_t k = blocks.size(); k-- > 0;) {
      Block& b = blocks[k];
      Value on = greater(b.hidden, constant_like(h, 0));
      Value act = larger(b.hidden, constant_like(h, 0));
      parameters.push_back({b.w2, dot(act, dh, {.trans_a = true})});
      Value dact = where(on, dot(dh, b.w2, {.trans_b = true}), constant_like(h, 0));
      parameters.push_back({b.w1, dot(b.norm.y, dact, {.trans_a = true})});
      Values d = normalize_backward(b.norm, dot(dact, b.w1, {.trans_b = true}), {1}, b.gamma, {0});
      parameters.push_back({b.gamma, d[1]});
      parameters.push_back({b.beta, d[2]});
      dh = dh + d[0];
    }
  }
  adam(g, parameters);
  return g;
}

void plan(Graph& g) {
  expand(g, {});
  fuse(g, {});
  schedule(g, {});
  plan_memory(g, {});
  verify(g);
}

TEST(Schedule, KeepsTheMeaningAndIsDeterministic) {
  Graph g = residual_net(3), again = residual_net(3);
  auto feeds = random_feeds(g);
  EvalResult before = evaluate(g, feeds, EvalMode::rounded);
  plan(g);
  plan(again);
  EXPECT_EQ(print(g), print(again));
  EXPECT_TRUE(g.scheduled);
  EvalResult after = evaluate(g, feeds, EvalMode::rounded);
  EXPECT_TRUE(before.outputs.at("loss") == after.outputs.at("loss"));
  for (auto& [name, tensor] : before.updates) EXPECT_TRUE(after.updates.at(name) == tensor) << name;
}

TEST(Schedule, RunsWeightGradientsAsSoonAsTheyFreeMore) {
  // Two chains: the wide one frees what it reads, so it goes first although it stands last.
  Graph g;
  Value x = g.input("x", f32({64, 64})), w = g.input("w", f32({64, 1}));
  Value a = dot(x, x), b = dot(a, x), c = dot(x, a);
  Value small = dot(b, w), other = dot(c, w);
  g.outputs = {{"y", dot(small, dot(other, small, {.trans_a = true}))}};
  schedule(g, {});
  // b is consumed before c is made.
  std::vector<const Node*> order;
  for (auto& node : g.nodes()) order.push_back(node.get());
  auto at = [&](Value v) { return std::find(order.begin(), order.end(), v.node) - order.begin(); };
  EXPECT_LT(at(small), at(c));
}

TEST(PlanMemory, ResidualNetIsPlannedCloseToItsLowerBound) {
  for (int layers : {1, 4, 12}) {
    Graph g = residual_net(layers);
    plan(g);
    std::vector<Lifetime> values = lifetimes(g, 64);
    int64_t bound = 0;
    place(values, &bound);
    EXPECT_LE(static_cast<double>(g.arena_bytes), 1.10 * static_cast<double>(bound)) << layers << " layers";
    EXPECT_GE(g.arena_bytes, bound);
  }
}

TEST(PlanMemory, EveryUpdateOfAdamIsInPlace) {
  Graph g = residual_net(2);
  plan(g);
  for (const Update& u : g.updates) {
    if (u.state->type().rank() == 0) continue;  // the powers of the betas go into the step size, too
    Value v = root_of(u.value);
    EXPECT_EQ(v.node->offsets[static_cast<size_t>(v.index)], kInPlace) << u.state->s("name");
  }
}

TEST(PlanMemory, AStateThatIsReadElsewhereIsNotOverwritten) {
  Graph g;
  Value s = g.state("s", f32({4, 4}), StateKind::parameter), x = g.input("x", f32({4, 4}));
  // Reads its own transpose.
  g.updates = {{s.node, s + transpose(s, {1, 0}) * x}};
  plan(g);
  Value v = root_of(g.updates[0].value);
  EXPECT_GE(v.node->offsets[0], 0) << print(g);
}

TEST(PlanMemory, AStateThatIsAnOutputKeepsItsOldValue) {
  Graph g;
  Value s = g.state("s", f32({4}), StateKind::parameter);
  g.updates = {{s.node, s + 1.0}};
  g.outputs = {{"old", s}};
  plan(g);
  Value v = root_of(g.updates[0].value);
  EXPECT_GE(v.node->offsets[0], 0);
}

TEST(PlanMemory, AStateOfRankZeroThatAnotherResultNeedsKeepsItsOldValue) {
  // Adam's bias correction: the power of beta goes into its state and into the step size, in loops of their
  // own.
  Graph g;
  Value power = g.state("power", {DType::f64, {}}, StateKind::slot, 1),
        other = g.state("other", power.type(), StateKind::slot);
  Value now = power * 0.9;
  g.updates = {{power.node, now}, {other.node, other + 1.0}};
  g.outputs = {{"step_size", 1.0 / (1.0 - now)}};
  plan(g);
  auto offset = [&](size_t update) {
    Value v = root_of(g.updates[update].value);
    return v.node->offsets[static_cast<size_t>(v.index)];
  };
  EXPECT_GE(offset(0), 0) << print(g);
  EXPECT_EQ(offset(1), -2) << print(g);
}

TEST(PlanMemory, BytesByCategory) {
  Graph g = residual_net(2);
  plan(g);
  MemoryReport r = memory_report(g);
  EXPECT_EQ(r.parameters, 2 * 4 * (8 + 8 + 128 + 128));
  EXPECT_EQ(r.slots, 2 * r.parameters + 4);
  EXPECT_EQ(r.inputs, 16 * 8 * 4 + 16 * 8);
  EXPECT_EQ(r.peak, r.activations + r.gradients + r.results + r.temporaries);
  EXPECT_LE(r.peak, r.arena);
  EXPECT_FALSE(r.largest.empty());
  EXPECT_THAT(to_string(r), HasSubstr("activations"));
}

TEST(MemoryCheck, SeesOverlap) {
  Graph g = residual_net(2);
  plan(g);
  // Put everything at the bottom of the arena.
  for (auto& node : g.nodes())
    for (int64_t& offset : node->offsets)
      if (offset > 0) offset = 0;
  EXPECT_THROW(check_memory(g), InternalError);
}

TEST(MemoryCheck, SeesEverySingleValueThatMovesOntoALiveOne) {
  Graph g = residual_net(1);
  plan(g);
  std::vector<Lifetime> values = lifetimes(g, 64);
  int caught = 0;
  for (const Lifetime& a : values)
    for (const Lifetime& b : values) {
      if (a.value == b.value || a.until < b.from || b.until < a.from || a.bytes == 0 || b.bytes == 0)
        continue;
      int64_t& offset = a.value.node->offsets[static_cast<size_t>(a.value.index)];
      int64_t old = offset;
      if (b.offset + a.bytes > g.arena_bytes) continue;
      offset = b.offset;
      EXPECT_THROW(check_memory(g), InternalError);
      offset = old;
      caught++;
    }
  EXPECT_GT(caught, 10);
  EXPECT_NO_THROW(check_memory(g));
}

TEST(MemoryCheck, SeesAnIllegalInPlaceUpdate) {
  Graph g;
  Value s = g.state("s", f32({4, 4}), StateKind::parameter);
  g.updates = {{s.node, s + transpose(s, {1, 0})}};
  plan(g);
  Value v = root_of(g.updates[0].value);
  v.node->offsets[0] = kInPlace;
  EXPECT_THROW(check_memory(g), InternalError);
}

}  // namespace
}  // namespace mezzo::passes
