// Operators of domain com.microsoft, by the values they give.
#include <gmock/gmock.h>

#include <cmath>

#include "ir/eval.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using ir::Tensor;
using testing::HasSubstr;

constexpr const char* kDomain = "com.microsoft";

ModelBuilder model(const std::string& domain = kDomain) {
  ModelBuilder m;
  if (!domain.empty()) {
    auto* opset = m.proto.add_opset_import();
    opset->set_domain(domain);
    opset->set_version(1);
  }
  return m;
}

// All outputs of the model on x = {1, -2, 0.5, 3} as [2, 2].
std::vector<std::vector<double>> run(const ModelBuilder& m) {
  frontend::Imported imported = m.import();
  Tensor x = Tensor::of({2, 2}, {1, -2, 0.5, 3}, ir::DType::f32);
  ir::EvalResult result = ir::evaluate(imported.graph, {{"x", x}}, ir::EvalMode::exact);
  std::vector<std::vector<double>> out;
  for (const ir::Output& o : imported.graph.outputs) {
    const Tensor& t = result.outputs.at(o.name);
    out.emplace_back();
    for (int64_t i = 0; i < t.count(); i++) out.back().push_back(t.get(i));
  }
  return out;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++) EXPECT_NEAR(got[i], want[i], 1e-6) << "element " << i;
}

double gelu(double x) { return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0))); }
double gelu_by_tanh(double x) {
  return x * 0.5 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

TEST(Contrib, GelusOfAllKinds) {
  ModelBuilder m = model();
  m.input("x", {2, 2}).weight("b", {2}, {0.5f, -1.0f});
  m.node("Gelu", {"x"}, {"y0"}).set_domain(kDomain);
  m.node("FastGelu", {"x"}, {"y1"}).set_domain(kDomain);
  m.node("FastGelu", {"x", "b"}, {"y2"}).set_domain(kDomain);
  m.node("BiasGelu", {"x", "b"}, {"y3"}).set_domain(kDomain);
  m.node("QuickGelu", {"x"}, {"y4"}).set_domain(kDomain);
  for (const char* y : {"y0", "y1", "y2", "y3", "y4"}) m.output(y);
  auto y = run(m);
  expect_near(y[0], {gelu(1), gelu(-2), gelu(0.5), gelu(3)});
  expect_near(y[1], {gelu_by_tanh(1), gelu_by_tanh(-2), gelu_by_tanh(0.5), gelu_by_tanh(3)});
  expect_near(y[2], {gelu_by_tanh(1.5), gelu_by_tanh(-3), gelu_by_tanh(1), gelu_by_tanh(2)});
  expect_near(y[3], {gelu(1.5), gelu(-3), gelu(1), gelu(2)});
  auto quick = [](double x) { return x / (1 + std::exp(-1.702 * x)); };
  expect_near(y[4], {quick(1), quick(-2), quick(0.5), quick(3)});
}

TEST(Contrib, FusedMatMul) {
  ModelBuilder m = model();
  m.input("x", {2, 2}).weight("w", {3, 2}, {1, 0, 0, 1, 1, 1});
  auto& node = m.node("FusedMatMul", {"x", "w"}, {"y"});
  node.set_domain(kDomain);
  set(node, "transA", int64_t{1});
  set(node, "transB", int64_t{1});
  set(node, "alpha", 2.0f);
  m.output("y");
  // x' = {1, 0.5; -2, 3}
  expect_near(run(m)[0], {2, 1, 3, -4, 6, 2});
}

TEST(Contrib, SkipLayerNormalizationGivesAllItsOutputs) {
  ModelBuilder m = model();
  m.input("x", {2, 2}).weight("skip", {2, 2}, {1, 2, 3, 4}).weight("gamma", {2}, {2, 3});
  m.weight("beta", {2}, {0.5f, 0.25f}).weight("bias", {2}, {1, -1});
  auto& node =
      m.node("SkipLayerNormalization", {"x", "skip", "gamma", "beta", "bias"}, {"y", "", "inv", "sum"});
  node.set_domain(kDomain);
  set(node, "epsilon", 0.0f);
  m.output("y").output("inv").output("sum");
  auto out = run(m);
  // sums {3, -1} and {4.5, 6}: of two numbers the standardized ones are 1 and -1.
  expect_near(out[0], {2 + 0.5, -3 + 0.25, -2 + 0.5, 3 + 0.25});
  expect_near(out[1], {0.5, 1 / 0.75});
  expect_near(out[2], {3, -1, 4.5, 6});
}

// ONNX Runtime's default is 1e-12.
TEST(Contrib, SkipLayerNormalizationOfSmallNumbers) {
  for (const std::string op : {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}) {
    ModelBuilder m = model();
    m.input("x", {2, 2}).weight("skip", {2, 2}, {0, 0, 0, 0}).weight("gamma", {2}, {1e-4f, 1e-4f});
    m.weight("small", {2}, {1e-4f, 1e-4f});
    m.node("Mul", {"x", "small"}, {"s"});
    m.node(op, {"s", "skip", "gamma"}, {"y"}).set_domain(kDomain);
    m.node("Div", {"y", "gamma"}, {"z"});
    m.output("z");
    const std::vector<std::vector<double>> out = run(m);
    double size = 0;
    for (double v : out[0]) size += v * v;
    EXPECT_NEAR(size, 4, 0.01) << op;
  }
}

TEST(Contrib, SimplifiedLayerNormalizationAlsoWithoutDomain) {
  for (const std::string& domain : {std::string(kDomain), std::string()}) {
    ModelBuilder m = model(domain);
    m.input("x", {2, 2}).weight("gamma", {2}, {1, 2});
    auto& node = m.node("SimplifiedLayerNormalization", {"x", "gamma"}, {"y", "inv"});
    node.set_domain(domain);
    set(node, "epsilon", 0.0f);
    set(node, "stash_type", int64_t{1});
    m.output("y").output("inv");
    auto out = run(m);
    const double first = 1 / std::sqrt(2.5), second = 1 / std::sqrt(4.625);
    expect_near(out[0], {first, -4 * first, 0.5 * second, 6 * second});
    expect_near(out[1], {first, second});
  }
}

TEST(Contrib, SkipSimplifiedLayerNormalization) {
  ModelBuilder m = model();
  m.input("x", {2, 2}).weight("skip", {2, 2}, {1, 2, 3, 4}).weight("gamma", {2}, {2, 3});
  auto& node = m.node("SkipSimplifiedLayerNormalization", {"x", "skip", "gamma"}, {"y", "", "", "sum"});
  node.set_domain(kDomain);
  set(node, "epsilon", 0.0f);
  m.output("y").output("sum");
  auto out = run(m);
  const double second = 1 / std::sqrt((3.5 * 3.5 + 49) / 2);
  expect_near(out[0], {2 * std::sqrt(2.0), 0, 7 * second, 21 * second});
  expect_near(out[1], {2, 0, 3.5, 7});
}

TEST(Contrib, OtherOperatorsAreRefusedByName) {
  ModelBuilder m = model();
  m.input("x", {2, 2});
  m.node("MatMulNBits", {"x"}, {"y"}, "quantised").set_domain(kDomain);
  m.node("Gelu", {"y"}, {"z"}, "behind").set_domain(kDomain);
  m.output("z");
  const std::string error = error_of([&] { m.import(); });
  EXPECT_THAT(error, HasSubstr("MatMulNBits 'quantised'"));
  EXPECT_THAT(error, HasSubstr("1 node is not supported"));
}

// GroupNormalization-18 gave scale and bias per group; 21 gives them per channel.
TEST(Quirks, ScaleOfGroupNormalizationPerGroup) {
  auto outputs = [](int64_t opset, const std::vector<float>& scale) {
    ModelBuilder m(opset);
    m.input("x", {2, 2}).integers("shape", {1, 4, 1});
    m.node("Reshape", {"x", "shape"}, {"channels"});
    auto size = static_cast<int64_t>(scale.size());
    m.weight("scale", {size}, scale).weight("bias", {size}, std::vector<float>(scale.size(), 0.5f));
    set(m.node("GroupNormalization", {"channels", "scale", "bias"}, {"y"}), "num_groups", int64_t{2});
    m.output("y");
    return run(m)[0];
  };
  expect_near(outputs(18, {2, 3}), outputs(21, {2, 2, 3, 3}));
}

}  // namespace
}  // namespace mezzo::test
