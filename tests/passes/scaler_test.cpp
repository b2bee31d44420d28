// The loss scale's state machine against the golden trace of PyTorch's GradScaler, and what scaling is for.
#include <gtest/gtest.h>

#include <limits>

#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;
using testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();

Options scaled(LossScaleOptions loss_scale, double lr = 0.125) {
  Options o;
  o.loss_scale = loss_scale;
  o.optimizer = OptimizerOptions{.lr = lr};
  return o;
}

// One parameter whose gradient is fed.
struct Scaler {
  Graph graph = graph_with_given_gradients({grid({2}, 1)});
  Session session;
  explicit Scaler(const Options& o) { make_step(graph, o); }
  EvalResult step(double gradient) { return session.run(graph, {{"g0", Tensor::of({2}, {0.5, gradient})}}); }
  double scale() const { return session.number(kScale); }
  double tracker() const { return session.number(kScaleTracker); }
};

TEST(Scaler, GoldenTrace) {
  Scaler s(scaled({.kind = LossScaleKind::dynamic, .init = 32768, .interval = 100}));
  for (int i = 0; i < 99; i++) s.step(0.25);
  EXPECT_EQ(s.scale(), 32768);
  EXPECT_EQ(s.tracker(), 99);
  EvalResult hundredth = s.step(0.25);
  EXPECT_EQ(number(hundredth, kScaleUsed), 32768);
  EXPECT_EQ(s.scale(), 65536);
  EXPECT_EQ(s.tracker(), 0);
  Tensor before = s.session.states.at("p0");
  EXPECT_EQ(number(s.step(kInf), kFinite), 0);
  EXPECT_EQ(s.session.states.at("p0"), before);
  EXPECT_EQ(s.session.number(kStep), 100);
  EXPECT_EQ(s.scale(), 32768);
  EXPECT_EQ(s.tracker(), 0);
  for (int i = 0; i < 99; i++) s.step(0.25);
  s.step(kInf);
  EXPECT_EQ(s.scale(), 16384);
  EXPECT_EQ(s.tracker(), 0);
  EXPECT_EQ(s.session.number(kAttempted), 201);
  EXPECT_EQ(s.session.number(kSkippedTotal), 2);
  EXPECT_EQ(s.session.number(kSkippedInARow), 1);
  s.step(0.25);
  EXPECT_EQ(s.session.number(kSkippedInARow), 0);
  EXPECT_EQ(s.session.number(kStep), 200);
}

TEST(Scaler, StaysBetweenFloorAndCeiling) {
  Scaler s(scaled({.kind = LossScaleKind::dynamic, .init = 4, .min = 1, .max = 16, .interval = 1}));
  for (double expected : {8.0, 16.0, 16.0}) {
    s.step(0.25);
    EXPECT_EQ(s.scale(), expected);
  }
  for (double expected : {8.0, 4.0, 2.0, 1.0, 1.0}) {
    s.step(kInf);
    EXPECT_EQ(s.scale(), expected);
  }
}

TEST(Scaler, NeverGrowsToInfinity) {
  Scaler s(
      scaled({.kind = LossScaleKind::dynamic, .init = 0x1p126, .growth = 4, .max = 0x1p127, .interval = 1}));
  for (int i = 0; i < 3; i++) s.step(0);
  EXPECT_EQ(s.scale(), 0x1p127);
}

TEST(Scaler, FixedScaleStaysAndStillSkips) {
  Scaler s(scaled({.kind = LossScaleKind::fixed, .init = 1000}));
  EXPECT_EQ(number(s.step(0.25), kFinite), 1);
  Tensor before = s.session.states.at("p0");
  EXPECT_EQ(number(s.step(-kInf), kFinite), 0);
  EXPECT_EQ(s.session.states.at("p0"), before);
  EXPECT_EQ(s.scale(), 1000);
}

TEST(Scaler, WithoutScalingTheFiniteCheckIsOn) {
  Graph g = graph_with_given_gradients({grid({2}, 1)});
  make_step(g, scaled({}));
  Session session;
  EXPECT_EQ(number(session.run(g, {{"g0", Tensor::of({2}, {NAN, 1})}}), kFinite), 0);
  EXPECT_EQ(session.states.at("p0"), grid({2}, 1));
  EXPECT_EQ(session.number(kSkippedTotal), 1);
  EXPECT_EQ(session.states.count(kScale), 0u);
}

TEST(Scaler, CheckIsElementWise) {
  // Infinities that would cancel, and finite values whose sum or square would overflow.
  Graph g = graph_with_given_gradients({grid({2}, 1)});
  make_step(g, scaled({}));
  Session session;
  EXPECT_EQ(number(session.run(g, {{"g0", Tensor::of({2}, {kInf, -kInf})}}), kFinite), 0);
  EXPECT_EQ(number(session.run(g, {{"g0", Tensor::of({2}, {3e38, 3e38})}}), kFinite), 1);
}

TEST(Scaler, ParametersDoNotDependOnAPowerOfTwoScale) {
  auto train = [](double scale) {
    Options o = scaled({.kind = LossScaleKind::fixed, .init = scale});
    o.clip_norm = 0.5;
    o.optimizer->kind = OptimizerKind::adam;
    Graph g = graph_with_given_gradients({grid({7}, 1), grid({2, 3}, 2)});
    make_step(g, o);
    Session session;
    for (int t = 0; t < 5; t++) session.run(g, {{"g0", grid({7}, t)}, {"g1", grid({2, 3}, t + 50)}});
    return std::pair(session.states.at("p0"), session.states.at("p1"));
  };
  auto reference = train(1);
  for (double scale : {0x1p-8, 2.0, 1024.0, 0x1p24}) EXPECT_EQ(train(scale), reference) << scale;
}

// y = x * w passes its gradient through an f16 value; the gradient there is 2^-26.
double gradient_of_small_loss(LossScaleOptions loss_scale) {
  Graph g;
  Value w = parameter(g, "w", Tensor::filled({DType::f32, {1}}, 1));
  Value y = cast(w * g.input("x", {DType::f32, {1}}), DType::f16);
  g.outputs.push_back({kLoss, reduce_sum(cast(y, DType::f32) * 0x1p-26, {}, false)});
  Options o;
  o.loss_scale = loss_scale;
  make_step(g, o);
  return number(Session().run(g, {{"x", Tensor::filled({DType::f32, {1}}, 1)}}), "grad:w");
}

TEST(Scaler, WithoutScalingSmallF16GradientsAreLost) { EXPECT_EQ(gradient_of_small_loss({}), 0); }

TEST(Scaler, ScalingKeepsSmallF16Gradients) {
  EXPECT_EQ(gradient_of_small_loss({.kind = LossScaleKind::fixed, .init = 32768}), 0x1p-26);
  EXPECT_EQ(gradient_of_small_loss({.kind = LossScaleKind::fixed, .init = 8}), 0x1p-26);
}

TEST(Scaler, RefusesSenselessOptions) {
  auto error = [](LossScaleOptions o) -> std::string {
    Graph g = graph_with_given_gradients({grid({2}, 1)});
    try {
      make_step(g, scaled(o));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::usage);
      return e.what();
    }
    return "";
  };
  constexpr auto dynamic = LossScaleKind::dynamic;
  EXPECT_THAT(error({.kind = LossScaleKind::fixed, .init = 0}), HasSubstr("positive"));
  EXPECT_THAT(error({.kind = dynamic, .init = 1000}), HasSubstr("power of two"));
  EXPECT_THAT(error({.kind = dynamic, .growth = 1}), HasSubstr("above 1"));
  EXPECT_THAT(error({.kind = dynamic, .backoff = 1}), HasSubstr("below 1"));
  EXPECT_THAT(error({.kind = dynamic, .init = 1, .min = 2}), HasSubstr("floor"));
  EXPECT_THAT(error({.kind = dynamic, .interval = 0}), HasSubstr("interval"));
  EXPECT_EQ(error({.kind = dynamic}), "");
}

}  // namespace
}  // namespace mezzo::passes
