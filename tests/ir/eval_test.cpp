// The evaluator on small graphs, in both modes, against values worked out by hand.
#include "ir/eval.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

using testing::ElementsAre;
using Feeds = std::map<std::string, Tensor>;

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.count(); i++) out.push_back(t.get(i));
  return out;
}

Tensor run(Graph& g, Value v, const Feeds& feeds = {}, EvalMode mode = EvalMode::rounded) {
  g.outputs = {{"y", v}};
  return evaluate(g, feeds, mode).outputs.at("y");
}

TEST(Eval, BroadcastsLikeNumpy) {
  Graph g;
  Value a = g.constant(Tensor::of({2, 1}, {10, 20})), b = g.constant(Tensor::of({3}, {1, 2, 3}));
  Tensor y = run(g, a + b);
  EXPECT_EQ(y.dims(), (Dims{2, 3}));
  EXPECT_THAT(numbers(y), ElementsAre(11, 12, 13, 21, 22, 23));
  Value c = g.constant(Tensor::of({2, 1, 2}, {1, 2, 3, 4}));
  EXPECT_THAT(numbers(run(g, c * a)), ElementsAre(10, 20, 20, 40, 30, 40, 60, 80));
}

TEST(Eval, CrossesTheBlockSize) {
  Graph g;
  Value rows = cast(iota(g, {300, 7}, 0), DType::f32), columns = cast(iota(g, {1, 7}, 1), DType::f32);
  Tensor y = run(g, rows * 10 + columns);
  for (int64_t i = 0; i < 2100; i++) ASSERT_EQ(y.get(i), static_cast<double>(i / 7 * 10 + i % 7)) << i;
}

TEST(Eval, SixteenBitOpsRoundOnce) {
  Graph g;
  Value x = g.input("x", {DType::bf16, {2}});
  Feeds feeds{{"x", Tensor::of({2}, {256, 1.015625}, DType::bf16)}};
  // 256 + 1 is a tie between 256 and 258; 1.015625^2 = 1.03149... lies between 1.03125 and 1.0390625.
  EXPECT_THAT(numbers(run(g, x + 1, feeds)), ElementsAre(256, 2.015625));
  EXPECT_THAT(numbers(run(g, x * x, feeds)), ElementsAre(65536, 1.03125));
}

TEST(Eval, ExactModeRoundsNothing) {
  Graph g;
  Value x = g.input("x", {DType::f32, {1}});
  Value y = cast(cast(x, DType::f16) + 1e-6, DType::f32);
  Feeds feeds{{"x", Tensor::of({1}, {0.1}, DType::f64)}};
  Tensor exact = run(g, y, feeds, EvalMode::exact);
  EXPECT_EQ(exact.dtype(), DType::f64);
  EXPECT_DOUBLE_EQ(exact.get(0), 0.1 + f16_to_f32(f64_to_f16(1e-6)));
  Feeds single{{"x", Tensor::of({1}, {0.1})}};
  EXPECT_EQ(run(g, y, single).get(0),
            f16_to_f32(f32_to_f16(f16_to_f32(f32_to_f16(0.1f)) + f16_to_f32(f64_to_f16(1e-6)))));
}

TEST(Eval, CastsTruncateAndSaturate) {
  Graph g;
  Value x = g.constant(Tensor::of({5}, {-1.9, 2.9, 300, -300, std::nan("")}));
  EXPECT_THAT(numbers(run(g, cast(x, DType::i8))), ElementsAre(-1, 2, 127, -128, 0));
  EXPECT_THAT(numbers(run(g, cast(x, DType::u8))), ElementsAre(0, 2, 255, 0, 0));
  EXPECT_THAT(numbers(run(g, cast(x, DType::boolean))), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_THAT(numbers(run(g, cast(x, DType::i8), {}, EvalMode::exact)), ElementsAre(-1, 2, 127, -128, 0));
  Value i = g.constant(Tensor::of({3}, {300, -1, 0}, DType::i64));
  EXPECT_THAT(numbers(run(g, cast(i, DType::u8))), ElementsAre(44, 255, 0));
  EXPECT_THAT(numbers(run(g, cast(i, DType::boolean))), ElementsAre(1, 1, 0));
}

TEST(Eval, MinimumAndMaximumKeepNan) {
  Graph g;
  double nan = std::nan("");
  Value a = g.constant(Tensor::of({3}, {1, nan, 3})), b = g.constant(Tensor::of({3}, {nan, 2, 1}));
  std::vector<double> low = numbers(run(g, minimum(a, b))), high = numbers(run(g, maximum(a, b)));
  EXPECT_TRUE(std::isnan(low[0]) && std::isnan(low[1]) && std::isnan(high[0]) && std::isnan(high[1]));
  EXPECT_EQ(low[2], 1);
  EXPECT_EQ(high[2], 3);
  Value c = g.constant(Tensor::of({3}, {5, 0, 2}));
  EXPECT_THAT(numbers(run(g, apply("Max", {c, g.constant(1), g.constant(4)}))), ElementsAre(5, 4, 4));
  EXPECT_THAT(numbers(run(g, apply("Mean", {c, g.constant(1), g.constant(6)}))), ElementsAre(4, 7.0f / 3, 3));
}

TEST(Eval, ReducesOverAnyAxes) {
  Graph g;
  Value x = g.constant(Tensor::of({2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_THAT(numbers(run(g, reduce_sum(x, {1}))), ElementsAre(6, 9, 24, 27));
  EXPECT_THAT(numbers(run(g, reduce_sum(x, {0, 2}, false))), ElementsAre(14, 22, 30));
  EXPECT_THAT(numbers(run(g, reduce_max(x, {-1}))), ElementsAre(1, 3, 5, 7, 9, 11));
  EXPECT_THAT(numbers(run(g, reduce_min(x, {0, 1}))), ElementsAre(0, 1));
  EXPECT_THAT(numbers(run(g, reduce_prod(x, {2}))), ElementsAre(0, 6, 20, 42, 72, 110));
  EXPECT_EQ(run(g, reduce_sum(x, {})).dims(), (Dims{1, 1, 1}));
  EXPECT_EQ(run(g, reduce_sum(x, {})).get(0), 66);
}

TEST(Eval, SumsAreRoundedOnce) {
  Graph g;
  Value ones = g.constant(1, DType::bf16, {1000});
  EXPECT_EQ(run(g, reduce_sum(ones, {0})).get(0), 1000);  // accumulated in bf16 it would stall at 256
  Value big = g.constant(Tensor::of({3}, {16777216, 1, 1}));
  EXPECT_EQ(run(g, reduce_sum(big, {0})).get(0), 16777218);  // added up in f32 it would stay 16777216
  Value between = g.constant(Tensor::of({2}, {16777216, 1}));
  EXPECT_EQ(run(g, reduce_sum(between, {0})).get(0), 16777216);
  EXPECT_EQ(run(g, reduce_sum(between, {0}), {}, EvalMode::exact).get(0), 16777217);
}

TEST(Eval, IndexOpsMoveElements) {
  Graph g;
  Value x = g.constant(Tensor::of({2, 3}, {0, 1, 2, 3, 4, 5}));
  EXPECT_THAT(numbers(run(g, transpose(x, {1, 0}))), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(numbers(run(g, reshape(x, {3, 2}))), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(numbers(run(g, pad(x, {0, 1}, {1, 0}, -7))),
              ElementsAre(-7, 0, 1, 2, -7, 3, 4, 5, -7, -7, -7, -7));
  EXPECT_THAT(numbers(run(g, slice(x, {2}, {-10}, {1}, {-2}))), ElementsAre(2, 0, 5, 3));
  EXPECT_THAT(numbers(run(g, concat({x, x}, 1))), ElementsAre(0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5));
  EXPECT_THAT(numbers(run(g, iota(g, {2, 2}, 1))), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(numbers(run(g, expand(g.constant(3), {2, 2}))), ElementsAre(3, 3, 3, 3));
}

TEST(Eval, WindowsReadOutsideAsFill) {
  Graph g;
  Value x = g.constant(Tensor::of({1, 4}, {1, 2, 3, 4}));
  WindowSpec spec{.kernel = {3}, .strides = {1}, .dilations = {1}, .pads = {1}, .outputs = {4}};
  EXPECT_THAT(numbers(run(g, window(x, spec, -1))), ElementsAre(-1, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, -1));
  Value back = reduce_sum(unwindow(window(x, spec), spec, {4}), {2}, false);
  EXPECT_THAT(numbers(run(g, back)), ElementsAre(2, 6, 9, 8));
}

TEST(Eval, RunsKernelsThroughTheirBody) {
  Graph g;
  Value x = g.constant(Tensor::of({2}, {1, 2})), y = g.constant(Tensor::of({2}, {10, 20}));
  auto body = std::make_unique<Graph>();
  Value b = body->input("second", {DType::f32, {2}}), a = body->input("10", {DType::f32, {2}});
  body->outputs = {{"p", a * 2 - b}, {"q", a}};
  Node* kernel = g.add(get_op("Kernel"), {y, x}, {}, std::move(body));
  EXPECT_THAT(numbers(run(g, kernel->out(0))), ElementsAre(-8, -16));
  EXPECT_THAT(numbers(run(g, kernel->out(1))), ElementsAre(1, 2));
}

TEST(Eval, StatesStartAndUpdate) {
  Graph g;
  Value w = g.state("w", {DType::f32, {2}}, StateKind::parameter, 0.5),
        n = g.state("n", {DType::i32, {}}, StateKind::counter);
  g.tensors["n"] = std::make_shared<const Tensor>(Tensor::scalar(41, DType::i32));
  g.updates = {{w.node, w * 3}, {n.node, n + 1, true}};
  EvalResult r = evaluate(g, {}, EvalMode::rounded);
  EXPECT_THAT(numbers(r.updates.at("w")), ElementsAre(1.5, 1.5));
  EXPECT_EQ(r.updates.at("n").get_int(0), 42);
  r = evaluate(g, {{"w", Tensor::of({2}, {1, 2})}}, EvalMode::rounded);
  EXPECT_THAT(numbers(r.updates.at("w")), ElementsAre(3, 6));
}

TEST(Eval, RejectsFeedsThatDoNotFit) {
  Graph g;
  Value x = g.input("x", {DType::f32, {2}});
  EXPECT_THROW(run(g, x + 1), Error);
  EXPECT_THROW(run(g, x + 1, {{"x", Tensor::of({3}, {1, 2, 3})}}), Error);
  EXPECT_THROW(run(g, x + 1, {{"x", Tensor::of({2}, {1, 2}, DType::f64)}}), Error);
  EXPECT_NO_THROW(run(g, x + 1, {{"x", Tensor::of({2}, {1, 2}, DType::f64)}}, EvalMode::exact));
}

TEST(Eval, CompositesComputeInF32AndRoundOnce) {
  Graph g;
  Value x = g.input("x", {DType::f16, {3}});
  Feeds feeds{{"x", Tensor::of({3}, {-2, 0.3, 7}, DType::f16)}};
  Tensor y = run(g, apply("Swish", {x}), feeds);
  EXPECT_EQ(y.dtype(), DType::f16);
  for (int64_t i = 0; i < 3; i++) {
    double v = feeds.at("x").get(i);
    EXPECT_EQ(y.get(i), round_to(v / (1 + std::exp(-v)), DType::f16)) << i;
  }
}

TEST(Eval, IntegersWrapAndDivideSafely) {
  Graph g;
  auto ints = [&](std::vector<double> v, DType t) {
    return g.constant(Tensor::of({static_cast<int64_t>(v.size())}, v, t));
  };
  Value a = ints({2147483647, -2147483648.0, 7, -7}, DType::i32), b = ints({1, -1, 0, 2}, DType::i32);
  EXPECT_THAT(numbers(run(g, a + b)), ElementsAre(-2147483648.0, 2147483647, 7, -5));
  EXPECT_THAT(numbers(run(g, a / b)), ElementsAre(2147483647, -2147483648.0, 0, -3));
  EXPECT_THAT(numbers(run(g, apply("Mod", {a, b}))), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(numbers(run(g, apply("Mod", {a, b}, {{"fmod", int64_t{1}}}))), ElementsAre(0, 0, 0, -1));
  Value u = ints({200, 100}, DType::u8);
  EXPECT_THAT(numbers(run(g, u + u)), ElementsAre(144, 200));
  EXPECT_THAT(numbers(run(g, apply("BitShift", {u, ints({1, 9}, DType::u8)}, {{"direction", "LEFT"}}))),
              ElementsAre(144, 0));
  EXPECT_THAT(numbers(run(g, apply("BitwiseNot", {u}))), ElementsAre(55, 155));
}

}  // namespace
}  // namespace mezzo::ir
