// op_conventions_test.cpp: what Mezzo fixed where the specification leaves a choice: masked rows, ignored and
// wrong labels, ties, the variance's formula, the draw of Dropout.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::ir {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::Pointwise;

constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.count(); i++)
    out.push_back(is_float(t.dtype()) ? t.get(i) : static_cast<double>(t.get_int(i)));
  return out;
}

// One op on given tensors: all its outputs, rounded, and with `loss` the gradient of the sum of output 0 by
// input 0.
struct Ran {
  std::vector<std::vector<double>> outputs;
  std::vector<double> gradient;
};
Ran run(std::string_view op, const std::vector<Tensor>& in, Attrs attrs, bool loss = false) {
  Graph graph;
  Values inputs;
  std::map<std::string, Tensor> feeds;
  for (const Tensor& t : in) {
    const std::string name = mezzo::concat("x", inputs.size());
    feeds[name] = t;
    inputs.push_back(inputs.empty() ? graph.state(name, t.type(), StateKind::parameter)
                                    : graph.input(name, t.type()));
  }
  Values out = apply_all(op, inputs, std::move(attrs));
  for (size_t k = 0; k < out.size(); k++) graph.outputs.push_back({mezzo::concat("y", k), out[k]});
  if (loss) {
    graph.outputs.push_back({"loss", reduce_sum(out[0], {}, false)});
    passes::autodiff(graph, {});
  }
  const auto found = evaluate(graph, feeds, EvalMode::rounded).outputs;
  Ran r;
  for (size_t k = 0; k < out.size(); k++) r.outputs.push_back(numbers(found.at(mezzo::concat("y", k))));
  if (loss) r.gradient = numbers(found.at("grad:x0"));
  return r;
}

// Failure mode 3.
TEST(OpConventions, FullyMaskedRowIsZero) {
  const Tensor x = Tensor::of({2, 2}, {-kInf, -kInf, -kInf, 3});
  const Ran softmax = run("Softmax", {x}, {}, true);
  EXPECT_THAT(softmax.outputs[0], ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(softmax.gradient, Each(0));
  EXPECT_THAT(run("LogSoftmax", {x}, {}).outputs[0], ElementsAre(-kInf, -kInf, -kInf, 0));
}

TEST(OpConventions, NanIsNotHiddenBySoftmax) {
  const Ran r = run("Softmax", {Tensor::of({1, 2}, {std::nan(""), 1})}, {});
  for (double v : r.outputs[0]) EXPECT_TRUE(std::isnan(v));
}

TEST(OpConventions, AllLabelsIgnoredIsZeroWithZeroGradient) {
  const Tensor x = Tensor::of({2, 3}, {1, -2, 0.5, 3, 1, 2});
  for (const char* op : {"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"}) {
    const Ran r = run(op, {x, Tensor::of({2}, {-1, -1}, DType::i64)}, {{"ignore_index", int64_t{-1}}}, true);
    EXPECT_THAT(r.outputs[0], ElementsAre(0)) << op;
    EXPECT_THAT(r.gradient, Each(0)) << op;
  }
}

// Wrong labels are counted, weigh nothing, and leave the others' loss as it is; ignored ones are not wrong.
TEST(OpConventions, WrongLabelsAreCounted) {
  const Tensor x = Tensor::of({5, 2}, {1, 0, 0, 2, 5, 5, 1, 1, 0, 0});
  const Tensor labels = Tensor::of({5}, {0, 2, -1, -100, 4294967296.0}, DType::i64);
  const Ran loss = run("SoftmaxCrossEntropyLoss", {x, labels}, {{"ignore_index", int64_t{-100}}}, true);
  EXPECT_THAT(loss.outputs[2], ElementsAre(3));
  EXPECT_NEAR(loss.outputs[0][0], std::log1p(std::exp(-1.0)), 1e-6);
  EXPECT_THAT(std::vector<double>(loss.gradient.begin() + 2, loss.gradient.end()), Each(0));
  EXPECT_THAT(run("NegativeLogLikelihoodLoss", {x, labels}, {}).outputs[1], ElementsAre(4));
}

TEST(OpConventions, FirstOfEqualMaximaGetsTheGradient) {
  const Ran pool = run("MaxPool", {Tensor::of({1, 1, 2, 3}, {1, 2, 2, 2, 0, 2})},
                       {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{1, 1}}}, true);
  EXPECT_THAT(pool.outputs[0], ElementsAre(2, 2));
  EXPECT_THAT(pool.outputs[1], ElementsAre(1, 1));
  EXPECT_THAT(pool.gradient, ElementsAre(0, 2, 0, 0, 0, 0));
  EXPECT_THAT(run("GlobalMaxPool", {Tensor::of({1, 1, 4}, {0, 3, 3, 1})}, {}, true).gradient,
              ElementsAre(0, 1, 0, 0));
}

// Failure mode 14. Counts beyond 256 would be lost in bf16: the gradient of a lookup is summed in f32.
TEST(OpConventions, GradientOfManyLookupsLosesNone) {
  constexpr int64_t kRows = 8, kLookups = 100000;
  Graph g;
  Value table = g.state("table", {DType::f32, {kRows, 2}}, StateKind::parameter);
  Value rows = g.input("rows", {DType::i64, {kLookups}});
  Value y = apply("Gather", {cast(table, DType::bf16), rows});
  g.outputs = {{"loss", reduce_sum(cast(y, DType::f32), {}, false)}};
  passes::autodiff(g, {});
  Tensor indices({DType::i64, {kLookups}});
  for (int64_t i = 0; i < kLookups; i++) indices.set_int(i, i % kRows - (i % 2 ? kRows : 0));
  const auto found = evaluate(g, {{"table", Tensor::filled({DType::f32, {kRows, 2}}, 1)}, {"rows", indices}},
                              EvalMode::rounded);
  EXPECT_THAT(numbers(found.outputs.at("grad:table")), Each(kLookups / kRows));
}

// What is written several times: the last update counts, and only it gets the gradient.
TEST(OpConventions, LastOfSeveralUpdatesCounts) {
  const Tensor updates = Tensor::of({4}, {1, 2, 3, 4}), data = Tensor::of({3}, {7, 8, 9});
  const Tensor at = Tensor::of({4}, {1, -2, 2, 1}, DType::i64);
  const Ran r =
      run("ScatterAlongAxis", {updates, at, data}, {{"axis", int64_t{0}}, {"extent", int64_t{3}}}, true);
  EXPECT_THAT(r.outputs[0], ElementsAre(7, 4, 3));
  EXPECT_THAT(r.gradient, ElementsAre(0, 0, 1, 1));
}

TEST(OpConventions, NanIsTheGreatestElement) {
  const Tensor x = Tensor::of({4}, {2, std::nan(""), 5, 2});
  EXPECT_THAT(run("TopK", {x}, {{"k", int64_t{3}}}).outputs[1], ElementsAre(1, 2, 0));
  EXPECT_THAT(run("TopK", {x}, {{"k", int64_t{3}}, {"largest", int64_t{0}}}).outputs[1],
              ElementsAre(0, 3, 2));
  EXPECT_THAT(run("ArgMax", {x}, {}).outputs[0], ElementsAre(1));
}

// One pass over E[x^2] - E[x]^2 would lose this variance altogether in f32.
TEST(OpConventions, VarianceSurvivesALargeMean) {
  const Tensor x = Tensor::of({4, 1}, {20000, 20001, 20002, 20003});
  const Tensor one = Tensor::of({1}, {1}), zero = Tensor::of({1}, {0});
  const Ran r = run("BatchNormalization", {x, one, zero, zero, one},
                    {{"training_mode", int64_t{1}}, {"epsilon", 0.0}, {"momentum", 0.0}});
  EXPECT_THAT(r.outputs[0], Pointwise(DoubleNear(1e-5), {-1.3416408, -0.4472136, 0.4472136, 1.3416408}));
  EXPECT_THAT(r.outputs[1], ElementsAre(20001.5));
  EXPECT_THAT(r.outputs[2], ElementsAre(1.25));  // population variance
}

TEST(OpConventions, DropoutKeepsTheRightShareAndUsesItsMaskBackward) {
  const Tensor x = Tensor::filled({DType::f32, {100, 100}}, 1);
  const Tensor key = Tensor::of({2}, {1, 7}, DType::u32), next = Tensor::of({2}, {1, 8}, DType::u32);
  const Attrs attrs{{"training_mode", int64_t{1}}, {"ratio", 0.25}};
  const Ran r = run("Dropout", {x, key}, attrs, true);
  double kept = 0;
  for (size_t i = 0; i < r.outputs[0].size(); i++) {
    kept += r.outputs[1][i];
    ASSERT_NEAR(r.outputs[0][i], r.outputs[1][i] / 0.75, 1e-6);
    ASSERT_NEAR(r.gradient[i], r.outputs[1][i] / 0.75, 1e-6);
  }
  EXPECT_NEAR(kept / 10000, 0.75, 0.02);
  EXPECT_EQ(run("Dropout", {x, key}, attrs).outputs, r.outputs);
  EXPECT_NE(run("Dropout", {x, next}, attrs).outputs, r.outputs) << "every step draws anew";
  Attrs other = attrs;
  other["stream"] = int64_t{1};
  EXPECT_NE(run("Dropout", {x, key}, other).outputs, r.outputs) << "every Dropout draws its own";
}

}  // namespace
}  // namespace mezzo::ir
