// training_test.cpp: losses on imported graphs, and which initializers training moves.
#include <gmock/gmock.h>

#include "frontend/objective.h"
#include "frontend/trainable.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "ir/text.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using frontend::Objective;
using ir::Tensor;
using testing::HasSubstr;

ir::Graph scores(const std::vector<int64_t>& dims) {
  ModelBuilder m;
  m.input("x", dims).output("y").node("Neg", {"x"}, {"y"}, "scores");
  return std::move(m.import().graph);
}

double loss_of(ir::Graph& graph, const Tensor& x, const Tensor& labels) {
  ir::verify(graph);
  return ir::evaluate(graph, {{"x", x}, {"labels", labels}}, ir::EvalMode::exact).outputs.at("loss").get(0);
}

TEST(Objective, CrossEntropy) {
  ir::Graph graph = scores({2, 2});
  frontend::attach_objective(graph, {});
  EXPECT_EQ(graph.find_input("labels")->type(), (ir::Type{ir::DType::i64, {2}}));
  EXPECT_NEAR(loss_of(graph, Tensor({ir::DType::f32, {2, 2}}), Tensor::of({2}, {0, 1}, ir::DType::i64)),
              std::log(2.0), 1e-12);
}

TEST(Objective, ClassAxis) {
  ir::Graph second = scores({2, 3, 4});
  frontend::attach_objective(second, {.labels = ir::Type{ir::DType::i32, {2, 4}}});
  EXPECT_EQ(second.find_input("labels")->type().dtype, ir::DType::i32);
  ir::Graph last = scores({2, 3, 4});
  frontend::attach_objective(last, {.labels = ir::Type{ir::DType::i64, {2, 3}}});
  EXPECT_NEAR(loss_of(last, Tensor({ir::DType::f32, {2, 3, 4}}), Tensor({ir::DType::i64, {2, 3}})),
              std::log(4.0), 1e-12);
  ir::Graph neither = scores({2, 3, 4});
  EXPECT_THAT(error_of([&] {
                frontend::attach_objective(neither, {.labels = ir::Type{ir::DType::i64, {2, 5}}});
              }),
              HasSubstr("labels [2,5] do not fit; expected [2,4] or [2,3]"));
  EXPECT_THAT(error_of([&] {
                frontend::attach_objective(neither, {.labels = ir::Type{ir::DType::f32, {2, 4}}});
              }),
              HasSubstr("class ids must be i64 or i32"));
}

TEST(Objective, Regression) {
  Tensor x = Tensor::of({2}, {-1, 2}), t = Tensor::of({2}, {0, 1});  // the output is -x = (1, -2)
  for (auto [kind, expected] :
       {std::pair{Objective::mse, 5.0}, std::pair{Objective::l1, 2.0},
        std::pair{Objective::bce_with_logits, (std::log1p(std::exp(1.0)) + std::log1p(std::exp(2.0))) / 2}}) {
    ir::Graph graph = scores({2});
    frontend::attach_objective(graph, {.kind = kind});
    EXPECT_NEAR(loss_of(graph, x, t), expected, 1e-9) << frontend::name(kind);
    EXPECT_EQ(frontend::parse_objective(frontend::name(kind)), kind);
  }
}

TEST(Objective, TheModelsOwnOutput) {
  ir::Graph one = scores({1});
  frontend::attach_objective(one, {.kind = Objective::output});
  EXPECT_TRUE(one.find_output("loss").dims().empty());
  ir::Graph two = scores({2});
  EXPECT_THAT(error_of([&] { frontend::attach_objective(two, {.kind = Objective::output}); }),
              HasSubstr("it cannot be the loss"));
  EXPECT_THAT(error_of([&] { frontend::attach_objective(two, {.kind = Objective::mse, .labels_key = "x"}); }),
              HasSubstr("has an input 'x' of its own"));
}

ir::Graph weights_graph() {
  ModelBuilder m;
  m.input("x", {2, 2}).output("y");
  m.weight("fc.weight", {2, 2}, {1, 2, 3, 4}).weight("val_3", {}, {2}).weight("val_4", {2, 2}, {1, 2, 3, 5});
  m.weight("slice_1", {2, 2}, {1, 0, 0.5, 1}).weight("val_7", {2}, {1, 1}).weight("scale", {1}, {3});
  m.node("MatMul", {"x", "fc.weight"}, {"a"});
  m.node("Mul", {"a", "val_3"}, {"b"});     // a number of the program
  m.node("MatMul", {"b", "val_4"}, {"c"});  // a transposed weight
  m.node("Mul", {"c", "slice_1"}, {"d"});   // a folded table
  m.node("Add", {"d", "val_7"}, {"e"});     // all ones
  m.node("Mul", {"e", "scale"}, {"y"});     // named by the user
  return std::move(m.import().graph);
}

std::map<std::string, bool> choose(const ir::Graph& graph, const frontend::TrainableRules& rules) {
  std::map<std::string, bool> out;
  for (auto& row : frontend::select_trainable(graph, rules)) out[row.name] = row.trainable;
  return out;
}

TEST(Trainable, ConstantsAreToldFromWeights) {
  using testing::Pair;
  EXPECT_THAT(
      choose(weights_graph(), {}),
      testing::UnorderedElementsAre(Pair("fc.weight", true), Pair("val_4", true), Pair("scale", true),
                                    Pair("val_3", false), Pair("slice_1", false), Pair("val_7", false)));
}

TEST(Trainable, TheFileTellsParametersFromBuffers) {
  using frontend::Role;
  auto chosen = choose(weights_graph(), {.roles = {{"val_3", Role::parameter}, {"scale", Role::buffer}}});
  EXPECT_TRUE(chosen.at("val_3"));
  EXPECT_FALSE(chosen.at("scale"));
  EXPECT_TRUE(choose(weights_graph(), {.train = {"scale"}, .roles = {{"scale", Role::buffer}}}).at("scale"));
}

TEST(Trainable, RolesStandInTheMetadataOfValues) {
  ModelBuilder m;
  m.input("x", {1}).output("y").weight("gain", {1}, {2}).weight("table", {1}, {3}).weight("other", {1}, {4});
  for (auto [name, kind] : {std::pair{"gain", "PARAMETER"}, std::pair{"table", "BUFFER"}}) {
    onnx::ValueInfoProto& value = *m.graph().add_value_info();
    value.set_name(name);
    add_metadata(value, "pkg.torch.export.graph_signature.InputSpec.kind", kind);
  }
  m.node("Mul", {"x", "gain"}, {"a"});
  m.node("Mul", {"a", "table"}, {"b"});
  m.node("Mul", {"b", "other"}, {"y"});
  frontend::Imported imported = m.import();
  using testing::Pair;
  EXPECT_THAT(choose(imported.graph, {.roles = imported.roles}),
              testing::UnorderedElementsAre(Pair("gain", true), Pair("table", false), Pair("other", true)));
}

TEST(Trainable, WhatWasFoldedFromAParameterIsOne) {
  const std::pair<const char*, const char*> folded[] = {
      {"unsqueeze_1", "['mixer.D', 'unsqueeze', 'val_2']"},             // moved
      {"add_2", "['norm.weight']"},                                     // 1 + weight
      {"unsqueeze_3", "['rotary.inv_freq', 'mul_1', 'cos', 'val_5']"},  // a table
      {"sqrt_4", "['block.lifted_tensor_0', 'mul']"}};                  // the exporter's own constant
  ModelBuilder m;
  m.input("x", {2}).output("y");
  std::string last = "x";
  for (auto [name, from] : folded) {
    m.weight(name, {2}, {1, 2});
    onnx::ValueInfoProto& value = *m.graph().add_value_info();
    value.set_name(name);
    add_metadata(value, "pkg.onnxscript.optimizer.folded_from", from);
    m.node("Mul", {last, name}, {name == std::string("sqrt_4") ? "y" : std::string(name) + "x"});
    last = std::string(name) + "x";
  }
  frontend::Imported imported = m.import();
  using testing::Pair;
  EXPECT_THAT(choose(imported.graph, {.roles = imported.roles}),
              testing::UnorderedElementsAre(Pair("unsqueeze_1", true), Pair("add_2", true),
                                            Pair("unsqueeze_3", false), Pair("sqrt_4", false)));
}

TEST(Trainable, Globs) {
  ir::Graph graph = weights_graph();
  EXPECT_TRUE(choose(graph, {.train = {"val_3"}}).at("val_3"));
  EXPECT_FALSE(choose(graph, {.train = {"val_3"}}).at("fc.weight"));
  EXPECT_FALSE(choose(graph, {.freeze = {"fc.*"}}).at("fc.weight"));
  EXPECT_THAT(error_of([&] { choose(graph, {.freeze = {"conv*"}}); }),
              HasSubstr("no parameter is called 'conv*'"));
  EXPECT_THAT(error_of([&] { choose(graph, {.freeze = {"*"}}); }), HasSubstr("nothing is left to train"));
  auto rows = frontend::select_trainable(graph, {}, [](const ir::Node& n) { return n.s("name") == "scale"; });
  EXPECT_THAT(frontend::to_text(rows), HasSubstr("no differentiable path"));
}

TEST(Trainable, FrozenParametersBecomeConstants) {
  ir::Graph graph = weights_graph();
  Tensor x = Tensor::of({2, 2}, {1, 2, 3, 4});
  auto before = ir::evaluate(graph, {{"x", x}}, ir::EvalMode::rounded).outputs.at("output:y");
  frontend::freeze_parameters(graph, frontend::select_trainable(graph, {}));
  ir::verify(graph);
  EXPECT_EQ(graph.find_state("val_3"), nullptr);
  EXPECT_NE(graph.find_state("scale"), nullptr);
  EXPECT_EQ(graph.tensors.size(), 3u);
  EXPECT_EQ(ir::evaluate(graph, {{"x", x}}, ir::EvalMode::rounded).outputs.at("output:y"), before);
}

}  // namespace
}  // namespace mezzo::test
