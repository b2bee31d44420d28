// What a file says to somebody who wants to train it: one test per kind of finding.
#include "frontend/findings.h"

#include <gmock/gmock.h>

#include "frontend/onnx.pb.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using frontend::Finding;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> kinds(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (auto& f : findings) out.push_back(f.kind);
  return out;
}

Finding finding(const std::vector<Finding>& all, const std::string& kind) {
  for (auto& f : all)
    if (f.kind == kind) return f;
  ADD_FAILURE() << "no finding " << kind;
  return {};
}

// A convolution with a weight of this name.
ModelBuilder convolution(const std::string& weight) {
  ModelBuilder m;
  m.input("x", {1, 1, 3, 3}).weight(weight, {1, 1, 2, 2}, {1, 2, 3, 4}).output("y");
  m.node("Conv", {"x", weight}, {"y"}, "conv");
  return m;
}

TEST(Findings, NoneForAPlainFile) { EXPECT_THAT(frontend::examine_file(convolution("w").file()), IsEmpty()); }

TEST(Findings, FoldedBatchNormShowsInTheNameOfTheWeight) {
  auto all = frontend::examine_file(convolution("onnx::Conv_12").file());
  EXPECT_THAT(kinds(all), ElementsAre("folded-batchnorm", "lost-dropout", "renamed-weight"));
  EXPECT_EQ(all[0].level, Finding::Level::warning);
  EXPECT_THAT(all[0].nodes, ElementsAre("conv"));
  EXPECT_THAT(all[0].repair, HasSubstr("TrainingMode.TRAINING"));
}

TEST(Findings, FoldedBatchNormShowsInTheMetadata) {
  ModelBuilder m = convolution("conv.weight");
  add_metadata(*m.graph().mutable_node(0), "pkg.torch.onnx.class_hierarchy",
               "['Net', 'torch.nn.modules.batchnorm.BatchNorm2d']");
  EXPECT_THAT(finding(frontend::examine_file(m.file()), "folded-batchnorm").nodes, ElementsAre("conv"));
}

TEST(Findings, DropoutIsNotLostWhereThereIsSome) {
  ModelBuilder m = convolution("onnx::Conv_12");
  m.output("z");
  m.node("Dropout", {"y"}, {"z"});
  EXPECT_THAT(kinds(frontend::examine_file(m.file())), testing::Not(Contains("lost-dropout")));
}

TEST(Findings, AliasesNameBothEnds) {
  ModelBuilder m;
  m.input("x", {2}).weight("w", {2}, {1, 2}).output("y").output("z");
  m.node("Identity", {"w"}, {"w2"}, "alias");
  m.node("Mul", {"x", "w"}, {"y"});
  m.node("Mul", {"x", "w2"}, {"z"});
  Finding f = finding(frontend::examine_file(m.file()), "aliased-weight");
  EXPECT_THAT(f.nodes, ElementsAre("w2 = w"));
  EXPECT_THAT(f.repair, HasSubstr("--tie-aliases"));
}

TEST(Findings, AWeightThatIsPassedOnIsNoAlias) {
  for (auto [name, used_elsewhere] : {std::pair{"alias", true}, std::pair{"w2", false}}) {
    ModelBuilder m;
    m.input("x", {2}).weight("w", {2}, {1, 2}).output("y").output("z");
    m.node("Identity", {"w"}, {name});
    m.node("Mul", {"x", name}, {"y"});
    m.node("Mul", {"x", used_elsewhere ? "w" : name}, {"z"});
    EXPECT_THAT(kinds(frontend::examine_file(m.file())), IsEmpty()) << name;
    EXPECT_THAT(m.import().graph.tensors, ElementsAre(testing::Key("w"))) << name;
  }
}

TEST(Findings, DetachShowsInTheMetadata) {
  ModelBuilder m;
  m.input("x", {2}).weight("w", {2}, {1, 2}).output("z");
  m.node("Mul", {"x", "w"}, {"y"});
  add_metadata(m.node("Identity", {"y"}, {"held"}, "hold"), "pkg.torch.onnx.fx_node",
               "%detach : call_function[target=torch.ops.aten.detach.default](args = (%y,))");
  m.node("Mul", {"y", "held"}, {"z"});
  EXPECT_THAT(finding(frontend::examine_file(m.file()), "stopped-gradient").nodes, ElementsAre("hold"));
}

TEST(Findings, AWeightThatWasComputedFromOthers) {
  ModelBuilder m;
  m.input("x", {2}).weight("trunk", {2}, {1, 2}).weight("moved", {2}, {1, 2}).output("z");
  m.node("Mul", {"x", "trunk"}, {"y"});
  m.node("Mul", {"y", "moved"}, {"z"});
  for (auto [name, from] :
       {std::pair{"trunk", "['a.bias', 'a.weight', 'val_3']"}, std::pair{"moved", "['b.weight', 'val_4']"}}) {
    onnx::ValueInfoProto& value = *m.graph().add_value_info();
    value.set_name(name);
    add_metadata(value, "pkg.onnxscript.optimizer.folded_from", from);
  }
  EXPECT_THAT(finding(frontend::examine_file(m.file()), "computed-weight").nodes,
              ElementsAre("trunk from a.bias, a.weight"));
}

TEST(Findings, CopyOfATiedWeight) {
  ModelBuilder m;
  m.input("x", {1, 2}).output("z");
  m.weight("w", {2, 3}, {1, 2, 3, 4, 5, 6}).weight("onnx::MatMul_7", {3, 2}, {1, 4, 2, 5, 3, 6});
  m.node("MatMul", {"x", "w"}, {"y"});
  m.node("MatMul", {"y", "onnx::MatMul_7"}, {"z"});
  EXPECT_THAT(finding(frontend::examine_file(m.file()), "copied-weight").nodes,
              ElementsAre("onnx::MatMul_7 = transposed w"));
  m.graph().mutable_initializer(1)->set_float_data(3, 5.5f);
  EXPECT_THAT(kinds(frontend::examine_file(m.file())), ElementsAre("renamed-weight"));
}

TEST(Findings, InitializerInTheSamePlaceOfTwoLayers) {
  ModelBuilder m;
  m.input("x", {1, 2}).output("z").weight("w", {2, 2}, {1, 2, 3, 4});
  m.node("MatMul", {"x", "w"}, {"y"}, "first");
  m.node("MatMul", {"y", "w"}, {"z"}, "second");
  Finding f = finding(frontend::examine_file(m.file()), "shared-weight");
  EXPECT_EQ(f.level, Finding::Level::note);
  EXPECT_THAT(f.nodes, ElementsAre("w in 2 nodes, first, second"));
}

TEST(Findings, OpenDimensions) {
  ModelBuilder m;
  m.input("x", {-1, 2}).output("y");
  m.node("Relu", {"x"}, {"y"});
  EXPECT_THAT(finding(frontend::examine_file(m.file()), "dynamic-shape").nodes,
              ElementsAre("x float[batch,2]"));
}

TEST(Findings, UnsupportedNodesAreGroupedByReason) {
  ModelBuilder m;
  m.input("x", {2}).output("a").output("b").output("c");
  m.node("StringNormalizer", {"x"}, {"a"}, "one");
  m.node("StringNormalizer", {"x"}, {"b"}, "two");
  m.node("FusedThing", {"x"}, {"c"}, "three").set_domain("com.example");
  m.proto.add_opset_import()->set_domain("com.example");
  m.proto.mutable_opset_import(1)->set_version(1);
  try {
    m.import();
    FAIL() << "no error";
  } catch (const Error& e) {
    std::vector<Finding> all = frontend::examine_error(e);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].kind, "unsupported-node");
    EXPECT_EQ(all[0].level, Finding::Level::obstacle);
    EXPECT_THAT(all[0].nodes, ElementsAre("one", "two"));
    EXPECT_EQ(all[0].what, "StringNormalizer: the operator is not implemented");
    EXPECT_THAT(all[1].nodes, ElementsAre("three"));
    EXPECT_THAT(all[1].repair, HasSubstr("graph optimisations"));
  }
}

TEST(Findings, OtherErrorsKeepTheirHint) {
  auto all =
      frontend::examine_error(Error(ErrorCode::usage, "the file leaves shapes open", "x", "give --batch N"));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].kind, "cannot-build");
  EXPECT_THAT(all[0].nodes, ElementsAre("x"));
  EXPECT_EQ(all[0].repair, "give --batch N");
}

TEST(Findings, DecisionsOfTheImport) {
  frontend::ImportReport report;
  report.baked = {"size"};
  report.notes = {"2 nodes run in training mode"};
  EXPECT_THAT(kinds(frontend::examine_import(report)), ElementsAre("baked-input", "decision"));
}

}  // namespace
}  // namespace mezzo::test
