// Accumulation windows: many micro-batches equal one big batch, and a window commits or leaves no trace.
#include <gtest/gtest.h>

#include <numeric>

#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;
using testing::FloatNear;
using testing::Pointwise;

// Linear regression with loss = mean over the batch, and a running mean of the inputs.
Graph regression(int64_t batch) {
  Graph g;
  Value x = g.input("x", {DType::f32, {batch, 3}}), t = g.input("t", {DType::f32, {batch, 2}});
  Value e = dot(x, parameter(g, "w", grid({3, 2}, 1))) + parameter(g, "b", grid({2}, 2)) - t;
  Value mean = g.state("running_mean", {DType::f32, {3}}, StateKind::statistic, 0.5);
  g.updates.push_back({mean.node, mean * 0.75 + reduce_mean(x, {0}, false) * 0.25});
  g.outputs.push_back({kLoss, reduce_mean(e * e, {}, false)});
  return g;
}

Tensor rows(const Tensor& t, int64_t from, int64_t count) {
  int64_t width = t.count() / t.dims()[0];
  Tensor out(Type{t.dtype(), {count, width}});
  for (int64_t i = 0; i < out.count(); i++) out.set(i, t.get(from * width + i));
  return out;
}

struct Window {
  Options options;
  Session session;
  Tensor x = grid({12, 3}, 5), t = grid({12, 2}, 6);

  // One optimizer step over the micro-batches of these sizes.
  EvalResult run(const std::vector<int64_t>& sizes, int64_t from = 0) {
    Graph apply;
    for (int64_t size : sizes) {
      Options o = options;
      o.samples = size;
      Graph micro = regression(size);
      autodiff(micro, o);
      apply = accumulate(micro, o);
      for (Graph* g : {&micro, &apply}) {
        scale_loss(*g, o);
        add_optimizer(*g, o);
        guard_updates(*g, o);
        verify(*g);
      }
      session.run(micro, {{"x", rows(x, from, size)}, {"t", rows(t, from, size)}});
      from += size;
    }
    return session.run(apply, {});
  }
};

Options some_options() {
  Options o{.optimizer = OptimizerOptions{.lr = 0.1, .momentum = 0.9}, .clip_norm = 0.75, .accumulate = 4};
  o.loss_scale = {.kind = LossScaleKind::dynamic, .init = 1024};
  o.gradient_outputs = true;
  return o;
}

TEST(Accumulate, AnySplitEqualsOneBigBatch) {
  Graph whole = regression(12);
  make_step(whole, some_options());
  Session session;
  Window window{some_options(), {}};
  EvalResult expected;
  for (int step = 0; step < 3; step++) expected = session.run(whole, {{"x", window.x}, {"t", window.t}});
  for (auto& sizes : std::vector<std::vector<int64_t>>{{12}, {3, 3, 3, 3}, {4, 4, 4}, {5, 1, 6}}) {
    Window w{some_options(), {}};
    EvalResult got;
    for (int step = 0; step < 3; step++) got = w.run(sizes);
    for (const char* name : {kLoss, kGradNorm, "grad:w", "grad:b"})
      EXPECT_THAT(values(got.outputs.at(name)),
                  Pointwise(FloatNear(1e-6f), values(expected.outputs.at(name))))
          << name;
    for (const char* name : {"w", "b", "w.momentum"})
      EXPECT_THAT(values(w.session.states.at(name)),
                  Pointwise(FloatNear(1e-6f), values(session.states.at(name))))
          << name;
    EXPECT_EQ(w.session.number(kStep), 3);
    EXPECT_EQ(w.session.number(kAttempted), 3);
    EXPECT_EQ(w.session.number(kSampleCount), 0);
  }
}

TEST(Accumulate, StatisticsFollowTheMicroBatchesAndCommitWithTheWindow) {
  Window w{some_options(), {}};
  w.run({2, 4});
  std::vector<double> expected(3, 0.5);
  for (auto [from, size] : {std::pair{0, 2}, {2, 4}})
    for (size_t c = 0; c < 3; c++) {
      double mean = 0;
      for (int i = from; i < from + size; i++) mean += w.x.get(i * 3 + static_cast<int64_t>(c)) / size;
      expected[c] = expected[c] * 0.75 + mean * 0.25;
    }
  EXPECT_THAT(values(w.session.states.at("running_mean")), Pointwise(FloatNear(1e-6f), expected));
}

TEST(Accumulate, OneBadMicroBatchSkipsTheWindow) {
  Window clean{some_options(), {}}, hit{some_options(), {}};
  clean.run({3, 3});
  hit.run({3, 3});
  Feeds before = hit.session.states;
  Tensor good = hit.x;
  hit.x.set(7 * 3, std::numeric_limits<double>::infinity());
  EvalResult skipped = hit.run({3, 3, 3}, 3);
  EXPECT_EQ(number(skipped, kFinite), 0);
  for (const char* name : {"w", "b", "w.momentum", "b.momentum", "running_mean", kStep})
    EXPECT_EQ(hit.session.states.at(name), before.at(name)) << name;
  EXPECT_EQ(hit.session.number(kScale), 512);
  hit.x = good;
  EXPECT_EQ(number(hit.run({3, 3}, 3), kFinite), 1);
  clean.run({3, 3}, 3);
  for (const char* name : {"w", "b", "w.momentum", "running_mean"})
    EXPECT_EQ(hit.session.states.at(name), clean.session.states.at(name)) << name;
}

}  // namespace
}  // namespace mezzo::passes
