// Positions, masks and ranges in 16 bits, through the whole product: a small ONNX model for each way in which
// mixed precision is known to fail. The numbers are those of the list in docs/failure-modes.md.
#include <gmock/gmock.h>

#include <cmath>

#include "model_gradients.h"
#include "test_device.h"

namespace mezzo::runtime {
namespace {

using ir::DType;
using ir::Tensor;
using test::ModelBuilder;
using test::set;
using testing::Each;
using testing::ElementsAre;

StepResult step(const ModelBuilder& m, const Arrays& feeds, Precision precision) {
  test::TemporaryDirectory folder;
  test::write_file(folder / "m.onnx", m.bytes());
  CompileOptions options;
  options.precision = precision;
  options.loss = Loss::output();
  options.loss_scale = LossScale::none();
  options.cache_dir = "none";
  options.device = test_device();
  return Session(std::make_shared<LoadedModel>(folder / "m.onnx"), options).step({feeds});
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.count(); i++) out.push_back(t.get(i));
  return out;
}

Tensor of(const ir::Dims& dims, const std::vector<double>& v) { return Tensor::of(dims, v); }

std::vector<float> identity(int64_t n, float factor = 1) {
  std::vector<float> out(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; i++) out[static_cast<size_t>(i * n + i)] = factor;
  return out;
}

void mean_of(ModelBuilder& m, const std::string& value) {
  set(m.node("ReduceMean", {value}, {"loss"}, "loss"), "keepdims", int64_t{0});
  m.graph().mutable_output()->Clear();
  m.output("loss");
}

class RangeRules : public testing::TestWithParam<Precision> {};
INSTANTIATE_TEST_SUITE_P(Precisions, RangeRules, testing::Values(Precision::bf16, Precision::fp16),
                         [](auto& test) { return test.param == Precision::bf16 ? "bf16" : "fp16"; });

// softmax(q k^T + mask) v with q = x wq and k = x wk; the output is `y`. `weights_are_read`: the product of
// queries and keys stands in memory, since somebody reads the softmax.
ModelBuilder attention(int64_t tokens, float size, bool weights_are_read, const std::vector<float>& mask,
                       bool dropout = false) {
  ModelBuilder m;
  m.input("x", {1, 1, tokens, 2}).input("v", {1, 1, tokens, 2});
  m.weight("wq", {2, 2}, identity(2, size))
      .weight("wk", {2, 2}, identity(2, size))
      .weight("wv", {2, 2}, identity(2));
  m.node("MatMul", {"x", "wq"}, {"q"}, "q");
  m.node("MatMul", {"x", "wk"}, {"k"}, "k");
  m.node("MatMul", {"v", "wv"}, {"values"}, "v");
  set(m.node("Transpose", {"k"}, {"kt"}, "turn"), "perm", std::vector<int64_t>{0, 1, 3, 2});
  m.node("MatMul", {"q", "kt"}, {"scores"}, "scores");
  std::string masked = "scores";
  if (!mask.empty()) {
    m.tensor("mask", {1, 1, tokens, tokens}, 1);
    for (float f : mask) m.graph().mutable_initializer(m.graph().initializer_size() - 1)->add_float_data(f);
    m.node("Add", {"scores", "mask"}, {"masked"}, "mask");
    masked = "masked";
  }
  set(m.node("Softmax", {masked}, {"p"}, "softmax"), "axis", int64_t{-1});
  if (dropout) m.node("Dropout", {"p"}, {"dropped"}, "dropout");
  m.node("MatMul", {dropout ? "dropped" : "p", "values"}, {"y"}, "mix");
  mean_of(m, "y");
  m.output("y");
  if (weights_are_read) m.output("p");
  return m;
}

// 1: scores of 1e5 exceed what fp16 holds. They stay in f32: each token sees the key it agrees with.
TEST_P(RangeRules, HugeScores) {
  const ModelBuilder m = attention(2, 320, false, {});
  const Arrays feeds{{"x", of({1, 1, 2, 2}, {1, 0, 0, 1})}, {"v", of({1, 1, 2, 2}, {1, 2, 3, 4})}};
  GradientOutcome out = gradients(m, feeds, GetParam());
  EXPECT_TRUE(out.finite);
  EXPECT_THAT(numbers(out.outputs.at("y")), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(out.loss, 2.5);
  EXPECT_THAT(numbers(out.gradients.at("wq")), Each(0));
}

// 1: the same in training with a Dropout of the weights, which keeps half of them, doubled.
TEST_P(RangeRules, HugeScoresUnderDropout) {
  const ModelBuilder m = attention(2, 320, false, {}, true);
  const Arrays feeds{{"x", of({1, 1, 2, 2}, {1, 0, 0, 1})}, {"v", of({1, 1, 2, 2}, {1, 2, 3, 4})}};
  GradientOutcome out = gradients(m, feeds, GetParam());
  EXPECT_TRUE(out.finite);
  const auto y = numbers(out.outputs.at("y"));
  for (size_t i = 0; i < y.size(); i++)
    EXPECT_THAT(y[i], testing::AnyOf(0, 2 * (1 + static_cast<double>(i))));
}

// 2: masks of -1e9, as BERT has them, are no number of fp16; a masked weight is 0 all the same, fused or not.
TEST_P(RangeRules, MasksBeyondTheRange) {
  for (bool weights_are_read : {false, true}) {
    const ModelBuilder m = attention(2, 1, weights_are_read, {0, -1e9f, 0, -1e9f});
    const Arrays feeds{{"x", of({1, 1, 2, 2}, {1, 0, 0, 1})}, {"v", of({1, 1, 2, 2}, {1, 2, 3, 4})}};
    GradientOutcome out = gradients(m, feeds, GetParam());
    EXPECT_TRUE(out.finite);
    EXPECT_THAT(numbers(out.outputs.at("y")), ElementsAre(1, 2, 1, 2));
    if (weights_are_read) {
      EXPECT_THAT(numbers(out.outputs.at("p")), ElementsAre(1, 0, 1, 0));
    }
    EXPECT_THAT(numbers(out.gradients.at("wv")), Each(testing::Gt(0)));
  }
}

// 3: the lowest number plus a negative score, and a row in which every key is hidden by -inf: its output is 0
// and it has no gradient.
TEST_P(RangeRules, FullyMaskedRows) {
  const float inf = std::numeric_limits<float>::infinity(), low = std::numeric_limits<float>::lowest();
  const Arrays feeds{{"x", of({1, 1, 2, 2}, {1, 0, -1, 0})}, {"v", of({1, 1, 2, 2}, {1, 2, 3, 4})}};
  for (bool weights_are_read : {false, true}) {
    GradientOutcome none =
        gradients(attention(2, 8, weights_are_read, {-inf, -inf, 0, -inf}), feeds, GetParam());
    EXPECT_TRUE(none.finite);
    EXPECT_THAT(numbers(none.outputs.at("y")), ElementsAre(0, 0, 1, 2));
    for (const char* w : {"wq", "wk"}) EXPECT_THAT(numbers(none.gradients.at(w)), Each(0)) << w;
    GradientOutcome lowest =
        gradients(attention(2, 8, weights_are_read, {low, 0, low, 0}), feeds, GetParam());
    EXPECT_TRUE(lowest.finite);
    EXPECT_THAT(numbers(lowest.outputs.at("y")), ElementsAre(3, 4, 3, 4));
  }
}

// x w, then a norm over the last axis; `steps`: as opsets before 17 write it.
ModelBuilder normed(const std::string& op, float epsilon, float size, bool steps) {
  ModelBuilder m(23);
  m.input("x", {2, 4}).weight("w", {4, 4}, identity(4, size));
  m.weight("scale", {4}, {2, 2, 2, 2}).weight("bias", {4}, {0.5f, 1, 1.5f, 2});
  m.weight("val_1", {}, {epsilon}).weight("val_2", {}, {2}).integers("axes", {-1});
  m.node("MatMul", {"x", "w"}, {"h"}, "product");
  if (!steps) {
    std::vector<std::string> inputs{"h", "scale"};
    if (op == "LayerNormalization") inputs.push_back("bias");
    auto& node = m.node(op, inputs, {"y"}, "norm");
    set(node, "axis", int64_t{-1});
    set(node, "epsilon", epsilon);
  } else {
    const bool centred = op == "LayerNormalization";
    if (centred) {
      m.node("ReduceMean", {"h", "axes"}, {"mean"}, "mean");
      m.node("Sub", {"h", "mean"}, {"d"}, "centre");
    }
    m.node("Pow", {centred ? "d" : "h", "val_2"}, {"square"}, "square");
    m.node("ReduceMean", {"square", "axes"}, {"var"}, "var");
    m.node("Add", {"var", "val_1"}, {"safe"}, "safe");
    m.node("Sqrt", {"safe"}, {"std"}, "std");
    m.node("Div", {centred ? "d" : "h", "std"}, {"hat"}, "hat");
    m.node("Mul", {"hat", "scale"}, {centred ? "scaled" : "y"}, "scale");
    if (centred) m.node("Add", {"scaled", "bias"}, {"y"}, "shift");
  }
  mean_of(m, "y");
  m.output("y");
  return m;
}

// 8: 1e-12 is 0 in fp16; a row of equal numbers then divides by 0.
TEST_P(RangeRules, TinyEpsilon) {
  for (bool steps : {false, true}) {
    GradientOutcome out = gradients(normed("LayerNormalization", 1e-12f, 1, steps),
                                    {{"x", of({2, 4}, {3, 3, 3, 3, 0, 0, 0, 0})}}, GetParam());
    EXPECT_TRUE(out.finite) << steps;
    EXPECT_THAT(numbers(out.outputs.at("y")), ElementsAre(0.5, 1, 1.5, 2, 0.5, 1, 1.5, 2)) << steps;
  }
}

// 9: the square of 7600 is beyond fp16.
TEST_P(RangeRules, SquaresBeyondTheRange) {
  const Arrays feeds{{"x", of({2, 4}, {1, -1, 1, -1, 0.5, 0.5, -0.5, 0.25})}};
  for (const char* op : {"LayerNormalization", "RMSNormalization"})
    for (bool steps : {false, true}) {
      GradientOutcome want = gradients(normed(op, 1e-5f, 7600, steps), feeds, Precision::fp32);
      GradientOutcome got = gradients(normed(op, 1e-5f, 7600, steps), feeds, GetParam());
      EXPECT_TRUE(got.finite) << op;
      const auto w = numbers(want.outputs.at("y")), g = numbers(got.outputs.at("y"));
      for (size_t i = 0; i < w.size(); i++) EXPECT_NEAR(g[i], w[i], 0.03 * std::abs(w[i]) + 0.01) << op << i;
    }
}

// 13: a mean adds up more than fp16 holds (4e4 three times), or than either counts (1e5 ones).
TEST_P(RangeRules, MeansOfMuch) {
  for (auto [count, value] : {std::pair{int64_t{100000}, 1.0}, std::pair{int64_t{3}, 4e4}}) {
    ModelBuilder m;
    m.input("x", {count, 1}).weight("w", {1, 1}, {1});
    m.node("MatMul", {"x", "w"}, {"h"}, "product");
    mean_of(m, "h");
    GradientOutcome out = gradients(m, {{"x", Tensor::filled({DType::f32, {count, 1}}, value)}}, GetParam());
    EXPECT_TRUE(out.finite);
    EXPECT_NEAR(out.loss, value, value / 256);
    EXPECT_NEAR(out.gradients.at("w").get(0), value, value / 256);
  }
}

// 14: 32 of 127 is what bf16 keeps of so many gradients of one row.
TEST_P(RangeRules, ManyLookupsOfOneRow) {
  constexpr int64_t kLookups = 20000, kRows = 8;
  ModelBuilder m;
  m.input("ids", {kLookups}, 7)
      .weight("table", {kRows, 2}, std::vector<float>(2 * kRows, 1))
      .weight("w", {2, 1}, {1, 1});
  m.node("Gather", {"table", "ids"}, {"rows"}, "embed");
  m.node("MatMul", {"rows", "w"}, {"h"}, "product");
  set(m.node("ReduceSum", {"h"}, {"loss"}, "loss"), "keepdims", int64_t{0});
  m.output("loss");
  Tensor ids({DType::i64, {kLookups}});
  for (int64_t i = 0; i < kLookups; i++) ids.set_int(i, i % kRows);
  GradientOutcome out = gradients(m, {{"ids", ids}}, GetParam());
  EXPECT_THAT(numbers(out.gradients.at("table")), Each(kLookups / kRows));
}

// 15: activations of 7e4, as T5's feed-forward residuals are. fp16 skips the step and names where they arose;
// bf16 takes it.
TEST(RangeRulesOfOnePrecision, ActivationsBeyondFp16) {
  ModelBuilder m;
  m.input("x", {2, 4}).weight("up", {4, 4}, identity(4, 3e4f)).weight("down", {4, 4}, identity(4));
  m.node("MatMul", {"x", "up"}, {"h"}, "wi");
  m.node("Relu", {"h"}, {"r"}, "relu");
  m.node("Add", {"r", "h"}, {"residual"}, "residual");
  m.node("MatMul", {"residual", "down"}, {"y"}, "wo");
  mean_of(m, "y");
  const Arrays feeds{{"x", of({2, 4}, {1, 1, 1, 1, 1.2, 1, 1, 1})}};
  StepResult half = step(m, feeds, Precision::fp16);
  EXPECT_TRUE(half.skipped);
  ASSERT_TRUE(half.overflow);
  EXPECT_EQ(half.overflow->node, "residual");
  StepResult wide = step(m, feeds, Precision::bf16);
  EXPECT_FALSE(wide.skipped);
  EXPECT_NEAR(wide.loss, 61500, 300);
}

// 21: positions are told apart beyond what 16 bits count, and their angles keep f32's accuracy.
TEST_P(RangeRules, Positions) {
  ModelBuilder m;
  m.input("position", {4}, 7).input("x", {4, 2}).weight("w", {2, 2}, identity(2));
  m.weight("frequency", {1, 2}, {1, 0.01f}).integers("columns", {4, 1});
  set(m.node("Cast", {"position"}, {"p"}, "cast"), "to", int64_t{1});
  m.node("Reshape", {"p", "columns"}, {"column"}, "column");
  m.node("MatMul", {"column", "frequency"}, {"angle"}, "angle");
  m.node("Cos", {"angle"}, {"cos"}, "cos");
  m.node("MatMul", {"x", "w"}, {"h"}, "product");
  m.node("Mul", {"h", "cos"}, {"y"}, "turn");
  mean_of(m, "y");
  m.output("angle").output("cos");
  Tensor position({DType::i64, {4}});
  for (int64_t i = 0; i < 4; i++) position.set_int(i, 65536 + i);
  const Arrays feeds{{"position", position}, {"x", of({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8})}};
  GradientOutcome out = gradients(m, feeds, GetParam());
  for (int64_t i = 0; i < 4; i++) {
    const auto turn = static_cast<double>(65536 + i);
    EXPECT_EQ(out.outputs.at("angle").get(2 * i), turn);
    EXPECT_NEAR(out.outputs.at("cos").get(2 * i), std::cos(turn), 1e-6);
  }
}

// 22: the logarithm of 1 - p for a probability that 16 bits round to 1.
TEST_P(RangeRules, CrossEntropyOfProbabilities) {
  ModelBuilder m;
  m.input("x", {2, 1}).input("t", {2, 1}).weight("w", {1, 1}, {1}).weight("val_1", {}, {1});
  m.node("MatMul", {"x", "w"}, {"logits"}, "product");
  m.node("Sigmoid", {"logits"}, {"p"}, "p");
  m.node("Log", {"p"}, {"log_p"}, "log_p");
  m.node("Sub", {"val_1", "p"}, {"q"}, "q");
  m.node("Log", {"q"}, {"log_q"}, "log_q");
  m.node("Mul", {"t", "log_p"}, {"yes"}, "yes");
  m.node("Sub", {"val_1", "t"}, {"rest"}, "rest");
  m.node("Mul", {"rest", "log_q"}, {"no"}, "no");
  m.node("Add", {"yes", "no"}, {"both"}, "both");
  m.node("Neg", {"both"}, {"each"}, "each");
  mean_of(m, "each");
  const double logit = std::log(4095.0);  // p = 1 - 2^-12
  GradientOutcome out =
      gradients(m, {{"x", of({2, 1}, {logit, -logit})}, {"t", of({2, 1}, {0, 1})}}, GetParam());
  EXPECT_TRUE(out.finite);
  EXPECT_NEAR(out.loss, std::log(4096.0), 0.05);
  EXPECT_NEAR(out.gradients.at("w").get(0), logit, 0.05);
}

}  // namespace
}  // namespace mezzo::runtime
