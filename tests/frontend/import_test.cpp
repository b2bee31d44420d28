// import_test.cpp: what the importer makes of shapes, old operator forms, functions, control flow and
// training flags.
#include "frontend/import.h"

#include <gmock/gmock.h>

#include "frontend/inspect.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "ir/text.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using frontend::ImportOptions;
using frontend::Mode;
using ir::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

const ir::Node* find_op_node(const ir::Graph& graph, std::string_view op) {
  for (auto& node : graph.nodes())
    if (node->op().name == op) return node.get();
  return nullptr;
}

TEST(Import, BindsTheBatch) {
  ModelBuilder m;
  m.input("x", {-1, 3}).output("y").node("Relu", {"x"}, {"y"}, "relu");
  auto imported = m.import({.batch = 5});
  EXPECT_EQ(imported.graph.find_input("x")->type(), (ir::Type{ir::DType::f32, {5, 3}}));
  EXPECT_EQ(imported.graph.outputs[0].name, "output:y");
  EXPECT_EQ(m.import({.shapes = {{"x", {7, -1}}}}).graph.find_input("x")->type().dims, (ir::Dims{7, 3}));
  EXPECT_EQ(m.import({.dims = {{"batch", 2}}}).graph.find_input("x")->type().dims, (ir::Dims{2, 3}));
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("float[batch,3]: its shape is not fully known"));
  EXPECT_THAT(error_of([&] { m.import({.shapes = {{"x", {7, 4}}}}); }), HasSubstr("given [7,4]"));
  EXPECT_THAT(error_of([&] { m.import({.shapes = {{"z", {7, 4}}}}); }), HasSubstr("no input 'z'"));
  EXPECT_THAT(error_of([&] {
                m.import({.dims = {{"batch", 2}}, .batch = 3});
              }),
              HasSubstr("another batch than 3"));
}

TEST(Import, DetachStopsTheGradient) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  auto& node = m.node("Identity", {"x"}, {"y"});
  EXPECT_EQ(find_op_node(m.import().graph, "StopGradient"), nullptr);
  add_metadata(node, "pkg.torch.onnx.fx_node",
               "%d : call_function[target=torch.ops.aten.detach.default](args = (%x,))");
  EXPECT_NE(find_op_node(m.import().graph, "StopGradient"), nullptr);
}

TEST(Import, FoldsShapePrograms) {
  ModelBuilder m;
  m.input("x", {-1, 3, 4}).integers("zero", {0}).integers("rest", {-1}).output("y");
  m.node("Shape", {"x"}, {"s"});
  set(m.node("Gather", {"s", "zero"}, {"n"}), "axis", int64_t{0});
  set(m.node("Concat", {"n", "rest"}, {"to"}), "axis", int64_t{0});
  m.node("Reshape", {"x", "to"}, {"y"});
  auto imported = m.import({.batch = 2});
  EXPECT_EQ(imported.graph.outputs[0].value.dims(), (ir::Dims{2, 12}));
  EXPECT_EQ(imported.graph.size(), 2u);  // Input, Reshape
  EXPECT_EQ(imported.report.folded, 0 + 1);
}

TEST(Import, ValuesOfInputsWhereAShapeNeedsThem) {
  ModelBuilder m;
  m.input("x", {4}).input("to", {2}, 7).output("y").node("Reshape", {"x", "to"}, {"y"}, "shape_it");
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("computed from the model's data"));
  auto to = std::make_shared<const Tensor>(Tensor::of({2}, {2, 2}, ir::DType::i64));
  auto imported = m.import({.values = {{"to", to}}});
  EXPECT_EQ(imported.graph.outputs[0].value.dims(), (ir::Dims{2, 2}));
  EXPECT_THAT(imported.report.baked, ElementsAre("to"));
}

TEST(Import, ListsEveryUnsupportedNode) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  m.node("NonMaxSuppression", {"x", "x"}, {"a"}, "boxes");
  m.node("Relu", {"a"}, {"b"}, "fine");
  m.node("StringNormalizer", {"b"}, {"c"}, "words");
  m.node("FancyOp", {"x"}, {"y"}, "fancy").set_domain("com.example");
  m.proto.add_opset_import()->set_domain("com.example");
  m.proto.mutable_opset_import(1)->set_version(1);
  std::string why = error_of([&] { m.import(); });
  EXPECT_THAT(why, HasSubstr("3 nodes are not supported"));
  EXPECT_THAT(why, HasSubstr("NonMaxSuppression 'boxes'"));
  EXPECT_THAT(why, HasSubstr("StringNormalizer 'words'"));
  EXPECT_THAT(why, HasSubstr("FancyOp 'fancy'"));
  EXPECT_THAT(why, testing::Not(HasSubstr("fine")));
}

TEST(Import, SortsNodes) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  m.node("Neg", {"a"}, {"y"});
  m.node("Relu", {"x"}, {"a"});
  EXPECT_THAT(run(m.import(), {{"x", Tensor::of({2}, {-1, 2})}}), ElementsAre(0, -2));
}

TEST(Import, ListStyleInitializers) {
  ModelBuilder m(9, 3);
  m.input("x", {2}).input("w", {2}).weight("w", {2}, {10, 20}).output("y").node("Add", {"x", "w"}, {"y"});
  auto imported = m.import();
  EXPECT_EQ(imported.graph.find_input("w"), nullptr);
  ASSERT_NE(imported.graph.find_state("w"), nullptr);
  EXPECT_THAT(run(imported, {{"x", Tensor::of({2}, {1, 2})}}), ElementsAre(11, 22));
}

TEST(Import, HalfWeightsAreF32States) {
  ModelBuilder m;
  m.input("x", {2}, 10).output("y").node("Mul", {"x", "w"}, {"y"});
  auto& w = m.tensor("w", {2}, 10);
  w.add_int32_data(0x3c00);  // 1
  w.add_int32_data(0xc000);  // -2
  auto imported = m.import();
  EXPECT_EQ(imported.graph.find_state("w")->type().dtype, ir::DType::f32);
  EXPECT_THAT(run(imported, {{"x", Tensor::of({2}, {3, 4}, ir::DType::f16)}}), ElementsAre(3, -8));
}

TEST(Quirks, LegacyBroadcast) {
  ModelBuilder m(6);
  m.input("x", {2, 3, 1}).weight("b", {3}, {1, 2, 3}).output("y");
  auto& add = m.node("Add", {"x", "b"}, {"y"});
  set(add, "broadcast", int64_t{1});
  set(add, "axis", int64_t{1});
  EXPECT_THAT(run(m.import(), {{"x", Tensor({ir::DType::f32, {2, 3, 1}})}}), ElementsAre(1, 2, 3, 1, 2, 3));
}

TEST(Quirks, OldSoftmaxWorksOnTheFlattenedRest) {
  for (int64_t opset : {11, 13}) {
    ModelBuilder m(opset);
    m.input("x", {1, 2, 2}).output("y").node("Softmax", {"x"}, {"y"});
    double each = opset == 11 ? 0.25 : 0.5;
    EXPECT_THAT(run(m.import(), {{"x", Tensor({ir::DType::f32, {1, 2, 2}})}}),
                ElementsAre(each, each, each, each));
  }
}

TEST(Quirks, AttributesThatBecameInputs) {
  ModelBuilder old(1 + 6), now(13);
  for (ModelBuilder* m : {&old, &now}) m->input("x", {1, 3}).integers("axes", {0}).output("y");
  set(old.node("Squeeze", {"x"}, {"y"}), "axes", std::vector<int64_t>{0});
  now.node("Squeeze", {"x", "axes"}, {"y"});
  EXPECT_EQ(ir::print(old.import().graph), ir::print(now.import().graph));
}

TEST(Quirks, BoundsOfClipWereAttributes) {
  for (bool low : {true, false}) {
    ModelBuilder m(10);
    m.input("x", {3}).output("y");
    auto& node = m.node("Clip", {"x"}, {"y"});
    if (low) set(node, "min", 0.0f);
    set(node, "max", 6.0f);
    EXPECT_THAT(run(m.import(), {{"x", Tensor::of({3}, {-1, 2, 7})}}), ElementsAre(low ? 0 : -1, 2, 6));
  }
}

TEST(Quirks, ZerosThatAreNoBiasAreDropped) {
  for (float bias : {0.0f, 1.0f}) {
    ModelBuilder m;
    m.input("x", {1, 1, 2}).output("y");
    m.weight("w", {1, 1, 1}, {3}).weight("zeros", {1, 2}, {0, bias});
    m.node("Conv", {"x", "w", "zeros"}, {"y"}, "conv");
    if (bias == 0) {
      EXPECT_THAT(run(m.import(), {{"x", Tensor::of({1, 1, 2}, {1, 2})}}), ElementsAre(3, 6));
      continue;
    }
    EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("Conv 'conv': bias [1,2] must be [1]"));
  }
}

TEST(Quirks, UnknownAttributesAreRefused) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  set(m.node("Relu", {"x"}, {"y"}, "relu"), "leak", 0.5f);
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("attribute 'leak' is not implemented"));
}

ModelBuilder norm_model(int64_t opset, bool training) {
  ModelBuilder m(opset);
  m.input("x", {4, 2, 3}).output("y");
  for (const char* name : {"scale", "var"}) m.weight(name, {2}, {1, 1});
  for (const char* name : {"bias", "mean"}) m.weight(name, {2}, {0, 0});
  auto& node = m.node(
      "BatchNormalization", {"x", "scale", "bias", "mean", "var"},
      training ? std::vector<std::string>{"y", "new_mean", "new_var"} : std::vector<std::string>{"y"}, "bn");
  if (training && opset >= 14) set(node, "training_mode", int64_t{1});
  return m;
}

TEST(Training, BatchNormStatistics) {
  for (int64_t opset : {9, 15}) {
    auto as_is = norm_model(opset, true).import();
    EXPECT_EQ(as_is.graph.updates.size(), 2u) << opset;
    EXPECT_EQ(as_is.graph.find_state("mean")->s("kind"), "statistic");
    EXPECT_EQ(as_is.graph.find_state("scale")->s("kind"), "parameter");
    EXPECT_EQ(norm_model(opset, true).import({.mode = Mode::eval}).graph.updates.size(), 0u);
    auto forced = norm_model(opset, false).import({.mode = Mode::train});
    EXPECT_EQ(forced.graph.updates.size(), 2u);
    EXPECT_THAT(forced.report.notes,
                ElementsAre(HasSubstr("1 BatchNormalization or Dropout nodes run in training mode")));
    EXPECT_EQ(norm_model(opset, false).import().graph.updates.size(), 0u);
  }
}

TEST(Training, BatchNormAppliedTwiceUpdatesOnce) {
  ModelBuilder m = norm_model(15, false);
  m.node("BatchNormalization", {"y", "scale", "bias", "mean", "var"}, {"z"}, "again");
  m.output("z");
  auto imported = m.import({.mode = Mode::train});
  ASSERT_EQ(imported.graph.updates.size(), 2u);
  EXPECT_EQ(imported.graph.updates[0].value.node->origin, ir::Origin{"again"});
  ir::verify(imported.graph);
}

TEST(Training, DropoutDrawsFromTheKey) {
  ModelBuilder m(13);
  m.input("x", {4}).output("z");
  m.node("Dropout", {"x"}, {"y"}, "first");
  m.node("Dropout", {"y"}, {"z"}, "second");
  EXPECT_EQ(m.import().graph.find_state("mezzo.key"), nullptr);
  auto imported = m.import({.mode = Mode::train});
  ASSERT_NE(imported.graph.find_state("mezzo.key"), nullptr);
  EXPECT_EQ(imported.graph.find_state("mezzo.key")->type(), (ir::Type{ir::DType::u32, {2}}));
  std::vector<int64_t> streams;
  for (auto& node : imported.graph.nodes())
    if (node->op().name == "Dropout") streams.push_back(node->i("stream"));
  EXPECT_THAT(streams, ElementsAre(0, 1));
}

TEST(Import, AliasesOfWeights) {
  ModelBuilder m;
  m.input("x", {2}).weight("w", {2}, {1, 2}).output("y");
  m.node("Identity", {"w"}, {"w2"}, "alias");
  m.node("Add", {"x", "w"}, {"a"});
  m.node("Mul", {"a", "w2"}, {"y"});
  auto apart = m.import();
  EXPECT_NE(apart.graph.find_state("w2"), nullptr);
  ASSERT_EQ(apart.report.aliases.size(), 1u);
  EXPECT_EQ(apart.report.aliases[0].of, "w");
  auto tied = m.import({.tie_aliases = true});
  EXPECT_EQ(tied.graph.find_state("w2"), nullptr);
  for (auto* imported : {&apart, &tied})
    EXPECT_THAT(run(*imported, {{"x", Tensor::of({2}, {1, 1})}}), ElementsAre(2, 6));
}

TEST(Functions, AreInlined) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  auto& f = m.function("my.lib", "Scale", {"a", "b"}, {"c"});
  f.add_attribute("slope");
  auto& inner = add_node(*f.mutable_node(), "LeakyRelu", {"a"}, {"t"}, "leak");
  auto* alpha = inner.add_attribute();
  alpha->set_name("alpha");
  alpha->set_type(1);
  alpha->set_ref_attr_name("slope");
  add_node(*f.mutable_node(), "Mul", {"t", "t"}, {"c"}, "square");
  auto& call = m.node("Scale", {"x"}, {"t"}, "one");  // the name t in the function is another one
  call.set_domain("my.lib");
  set(call, "slope", 0.5f);
  m.node("Scale", {"t"}, {"y"}, "two").set_domain("my.lib");  // slope not given: LeakyRelu's own default
  auto imported = m.import();
  EXPECT_THAT(run(imported, {{"x", Tensor::of({2}, {-2, 2})}}), ElementsAre(1, 16));
  EXPECT_EQ(find_op_node(imported.graph, "LeakyRelu")->origin, ir::Origin{"one/leak"});
}

TEST(Functions, Cycles) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  for (auto [name, callee] : {std::pair{"A", "B"}, std::pair{"B", "A"}})
    add_node(*m.function("my.lib", name, {"a"}, {"c"}).mutable_node(), callee, {"a"}, {"c"})
        .set_domain("my.lib");
  m.node("A", {"x"}, {"y"}).set_domain("my.lib");
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("calls itself"));
}

// Twenty-five functions, each calling the next one twice: 2^25 nodes.
TEST(Functions, ExpansionBudget) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  for (int i = 0; i < 25; i++) {
    auto& f = m.function("my.lib", "F" + std::to_string(i), {"a"}, {"c"});
    std::string next = i == 24 ? "Relu" : "F" + std::to_string(i + 1), domain = i == 24 ? "" : "my.lib";
    add_node(*f.mutable_node(), next, {"a"}, {"b"}).set_domain(domain);
    add_node(*f.mutable_node(), next, {"b"}, {"c"}).set_domain(domain);
  }
  m.node("F0", {"x"}, {"y"}).set_domain("my.lib");
  EXPECT_THAT(error_of([&] { m.import(); }), HasSubstr("nodes once its functions are inlined"));
}

TEST(ControlFlow, IfWithAKnownConditionIsItsBranch) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  m.tensor("c", {}, 9).add_int32_data(0);
  auto& node = m.node("If", {"c"}, {"y"}, "choose");
  for (auto [name, op] : {std::pair{"then_branch", "NonMaxSuppression"}, std::pair{"else_branch", "Neg"}}) {
    auto* a = node.add_attribute();
    a->set_name(name);
    a->set_type(5);
    add_node(*a->mutable_g()->mutable_node(), op, {"x"}, {std::string("in_") + op}, "inner");
    a->mutable_g()->add_output()->set_name(std::string("in_") + op);
  }
  EXPECT_THAT(run(m.import(), {{"x", Tensor::of({2}, {1, 2})}}), ElementsAre(-1, -2));
}

TEST(Inspect, SaysWhatIsInTheFile) {
  ModelBuilder m(17, 8);
  m.input("x", {-1, 2}).weight("w", {2}, {1, 2}).output("y");
  m.node("Add", {"x", "w"}, {"y"});
  m.proto.set_producer_name("maker");
  auto info = frontend::inspect(m.file());
  EXPECT_EQ(info.producer, "maker");
  EXPECT_EQ(info.op_histogram.at("Add"), 1);
  EXPECT_EQ(info.parameter_count, 2);
  EXPECT_EQ(frontend::to_string(info.inputs.at(0)), "float[batch,2]");
  EXPECT_EQ(info.initializers.at(0).type, "float[2]");
}

}  // namespace
}  // namespace mezzo::test
