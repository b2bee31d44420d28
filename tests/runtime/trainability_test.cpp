// The report of `mezzo check`, on files as PyTorch's exporters write them.
#include "runtime/trainability.h"

#include <gmock/gmock.h>

#include "runtime/feeds.h"
#include "tests/frontend/model_builder.h"
#include "tests/paths.h"

namespace mezzo::runtime {
namespace {

using frontend::Finding;
using testing::ElementsAre;
using testing::HasSubstr;

Trainability examine_fixture(const std::string& name, const CompileOptions& options = {}) {
  LoadedModel model(MEZZO_SOURCE_DIR + "/models/fixtures/" + name);
  return examine(model, options, [&] { return *signature_from_options(model, {}, 2); });
}

std::vector<std::string> kinds(const Trainability& t) {
  std::vector<std::string> out;
  for (auto& f : t.findings) out.push_back(concat(frontend::name(f.level), ' ', f.kind));
  return out;
}

TEST(Trainability, TrainingExportsHaveNoWarning) {
  for (const char* file : {"resnet.ts17.onnx", "digits_cnn.ts17.onnx", "lenet.dyn.onnx"}) {
    Trainability t = examine_fixture(file);
    EXPECT_TRUE(t.trainable()) << file;
    EXPECT_EQ(t.count(Finding::Level::warning), 0) << file;
    EXPECT_GT(t.parameters.size(), 5u);
    EXPECT_GT(t.plan.size(), 5u);
  }
}

TEST(Trainability, EverythingThatAnInferenceExportLosesIsInOneReport) {
  Trainability script = examine_fixture("inference.ts17.onnx");
  EXPECT_TRUE(script.trainable());
  EXPECT_THAT(kinds(script),
              ElementsAre("warning folded-batchnorm", "warning aliased-weight", "warning copied-weight",
                          "warning lost-dropout", "note renamed-weight", "note dynamic-shape"));
  EXPECT_THAT(script.findings[0].nodes, ElementsAre("/conv/Conv"));
  EXPECT_THAT(script.findings[1].nodes, ElementsAre("fc2.bias = fc1.bias"));
  Trainability dynamo = examine_fixture("inference.dyn.onnx");
  EXPECT_THAT(kinds(dynamo),
              ElementsAre("warning folded-batchnorm", "warning copied-weight", "warning lost-dropout",
                          "note renamed-weight", "note dynamic-shape"));
}

TEST(Trainability, AnErrorIsAFindingAmongTheOthers) {
  CompileOptions options;
  options.loss = Loss::output();
  Trainability t = examine_fixture("inference.ts17.onnx", options);
  EXPECT_FALSE(t.trainable());
  ASSERT_TRUE(t.error);
  EXPECT_EQ(t.error->code(), ErrorCode::bad_input);
  EXPECT_EQ(kinds(t).front(), "obstacle cannot-build");
  EXPECT_THAT(kinds(t), testing::Contains("warning aliased-weight"));
  EXPECT_THAT(t.findings[0].repair, HasSubstr("--loss"));
}

Finding finding(const Trainability& t, const std::string& kind) {
  for (auto& f : t.findings)
    if (f.kind == kind) return f;
  ADD_FAILURE() << "no finding " << kind;
  return {};
}

Trainability examine_built(const test::ModelBuilder& built, const CompileOptions& options) {
  test::TemporaryDirectory folder;
  test::write_file(folder / "m.onnx", built.bytes());
  LoadedModel model(folder / "m.onnx");
  return examine(model, options, [&] { return *signature_from_options(model, {}, 2); });
}

TEST(Trainability, FlatOperatorsBetweenParameterAndLoss) {
  test::ModelBuilder m;
  m.input("x", {-1, 2}).output("y").weight("steps", {2}, {1, 2}).weight("w", {2, 2}, {1, 2, 3, 4});
  m.node("Floor", {"steps"}, {"flat"}, "floor");
  m.node("MatMul", {"x", "w"}, {"product"});
  m.node("Add", {"product", "flat"}, {"y"});
  Finding f = finding(examine_built(m, {}), "zero-gradient");
  EXPECT_EQ(f.level, Finding::Level::warning);
  EXPECT_THAT(f.nodes, ElementsAre("Floor (floor)"));
  EXPECT_THAT(f.what, HasSubstr("the gradient of steps is always zero"));
}

TEST(Trainability, ScoresThatAreProbabilitiesAlready) {
  for (auto [last, loss, warns] :
       {std::tuple{"Softmax", Loss::cross_entropy(), true},
        std::tuple{"LogSoftmax", Loss::cross_entropy(), false},  // idempotent
        std::tuple{"Sigmoid", Loss::bce_with_logits(), true}, std::tuple{"Sigmoid", Loss::mse(), false}}) {
    test::ModelBuilder m;
    m.input("x", {-1, 2}).output("y").weight("w", {2, 2}, {1, 2, 3, 4});
    m.node("MatMul", {"x", "w"}, {"scores"});
    m.node(last, {"scores"}, {"y"}, "last");
    CompileOptions options;
    options.loss = loss;
    Trainability t = examine_built(m, options);
    EXPECT_EQ(t.count(Finding::Level::warning), warns) << last;
    if (warns) {
      EXPECT_THAT(finding(t, "normalised-scores").nodes, ElementsAre("last"));
    }
  }
}

TEST(Trainability, NumbersThatFp16CannotHold) {
  test::ModelBuilder m;
  m.input("x", {-1, 2}).output("y").weight("w", {2, 2}, {1, 2, 3, 1e5});
  m.node("MatMul", {"x", "w"}, {"y"});
  CompileOptions options;
  options.precision = Precision::fp16;
  EXPECT_THAT(finding(examine_built(m, options), "beyond-fp16").nodes, ElementsAre("w"));
  options.precision = Precision::bf16;
  EXPECT_EQ(examine_built(m, options).count(Finding::Level::warning), 0);
}

TEST(Trainability, WithoutProductsNothingIsNarrowed) {
  test::ModelBuilder m;
  m.input("x", {-1, 2}).output("y").weight("w", {2}, {1, 2});
  m.node("Mul", {"x", "w"}, {"y"});
  CompileOptions options;
  options.precision = Precision::bf16;
  EXPECT_EQ(finding(examine_built(m, options), "nothing-to-narrow").level, Finding::Level::note);
}

TEST(Trainability, TiedAliasesAreOneParameter) {
  CompileOptions options;
  auto has = [&](const char* name) {
    for (auto& row : examine_fixture("inference.ts17.onnx", options).parameters)
      if (row.name == name) return true;
    return false;
  };
  EXPECT_TRUE(has("fc2.bias"));
  options.tie_aliases = true;
  EXPECT_FALSE(has("fc2.bias"));
  EXPECT_TRUE(has("fc1.bias"));
}

}  // namespace
}  // namespace mezzo::runtime
