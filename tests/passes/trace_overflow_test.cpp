// The diagnosing program names the first value of a skipped step that is not finite.
#include <gtest/gtest.h>

#include <limits>

#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;

// mask + w * x through f16, then a loss that is 2^-4 of the sum; nodes "product", "narrow" and "objective".
Graph masked_product() {
  Graph g;
  auto in = [&](const char* origin) { return std::make_unique<Scope>(g, Phase::forward, Origin{origin}); };
  Value x = g.input("x", {DType::f32, {2}}), w = parameter(g, "w", Tensor::of({2}, {2, 4}));
  auto at = in("product");
  Value y = x * w;
  at.reset();
  at = in("narrow");
  y = cast(y, DType::f16);
  at.reset();
  at = in("mask");
  Value keep = g.constant(Tensor::of({2}, {0, -std::numeric_limits<double>::infinity()}));
  Value hidden = maximum(cast(y, DType::f32) + keep, g.constant(-8));
  at.reset();
  at = in("objective");
  g.outputs.push_back({kLoss, reduce_sum(hidden, {}, false) * 0.0625});
  at.reset();
  return g;
}

std::optional<TracePoint> first_bad(double x, double scale) {
  Options o{.optimizer = OptimizerOptions{}};
  o.loss_scale = {.kind = LossScaleKind::fixed, .init = scale};
  Graph g = masked_product();
  make_step(g, o);
  std::vector<TracePoint> points = trace_overflow(g, o);
  verify(g);
  EXPECT_TRUE(g.updates.empty());
  auto at = static_cast<int64_t>(number(Session().run(g, {{"x", Tensor::of({2}, {x, 1})}}), kBadNode));
  if (at < 0) return std::nullopt;
  return points.at(static_cast<size_t>(at));
}

TEST(TraceOverflow, FiniteStepsAndInfiniteMasksAreFine) { EXPECT_FALSE(first_bad(1, 1).has_value()); }

TEST(TraceOverflow, NamesTheForwardNode) {
  auto point = first_bad(40000, 1);
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->origin, Origin{"narrow"});
  EXPECT_EQ(point->phase, Phase::forward);
}

TEST(TraceOverflow, NamesTheBackwardNode) {
  auto point = first_bad(1, 0x1p21);
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->origin, Origin{"narrow"});
  EXPECT_EQ(point->phase, Phase::backward);
}

TEST(TraceOverflow, NamesTheInput) {
  auto point = first_bad(NAN, 1);
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->what, "input x");
}

}  // namespace
}  // namespace mezzo::passes
