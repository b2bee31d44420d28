// Copies of a weight that constant folding left in a file: one parameter on import, all of them new on
// export.
#include "frontend/copies.h"

#include <gmock/gmock.h>

#include "frontend/export.h"
#include "frontend/tensor_reader.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

using frontend::ModelFile;
using ir::Tensor;
using testing::ElementsAre;
using testing::Key;
using testing::Pair;

// A table that is also the head, transposed, and a bias that was broadcast to a batch of two.
ModelBuilder folded() {
  ModelBuilder m;
  m.input("x", {2, 2}).output("z").output("first");
  m.weight("table", {2, 3}, {1, 2, 3, 4, 5, 6}).weight("onnx::MatMul_7", {3, 2}, {1, 4, 2, 5, 3, 6});
  m.weight("cell.bias", {2}, {7, 8}).weight("linear_1", {1, 2, 2}, {7, 8, 7, 8});
  m.node("MatMul", {"x", "table"}, {"y"});
  m.node("MatMul", {"y", "onnx::MatMul_7"}, {"head"});
  m.node("Add", {"head", "cell.bias"}, {"z"});
  m.node("Add", {"x", "linear_1"}, {"first"});
  return m;
}

std::map<std::string, Tensor> stored(const ModelFile& file) {
  std::map<std::string, Tensor> out;
  for (const auto& t : file.proto().graph().initializer())
    out[t.name()] = frontend::read_tensor(t, *file.payloads(), t.name());
  return out;
}

TEST(Copies, AreFoundByTheirBits) {
  auto copies = frontend::find_copies(folded().file());
  ASSERT_THAT(copies, ElementsAre(Key("linear_1"), Key("onnx::MatMul_7")));
  EXPECT_EQ(copies["linear_1"].of, "cell.bias");
  EXPECT_FALSE(copies["linear_1"].transposed);
  EXPECT_EQ(copies["onnx::MatMul_7"].of, "table");
  EXPECT_TRUE(copies["onnx::MatMul_7"].transposed);
}

TEST(Copies, NeedAMadeUpNameSeveralValuesAndEqualBits) {
  ModelBuilder m;
  m.input("x", {2}).output("x");
  m.weight("a.bias", {2}, {1, 2}).weight("b.bias", {1, 2}, {1, 2});            // equal by chance: two names
  m.weight("c.scale", {2}, {1, 1}).weight("val_1", {2, 2}, {1, 1, 1, 1});      // says nothing
  m.weight("d.weight", {4}, {1, 2, 3, 9}).weight("val_2", {4}, {1, 5, 3, 9});  // only the ends agree
  EXPECT_TRUE(frontend::find_copies(m.file()).empty());
}

TEST(Copies, AreOneParameter) {
  ir::Graph graph = std::move(folded().import({.tie_aliases = true}).graph);
  ir::verify(graph);
  EXPECT_THAT(graph.tensors, ElementsAre(Key("cell.bias"), Key("table")));
  ir::EvalResult before = ir::evaluate(graph, {{"x", Tensor::of({2, 2}, {1, 0, 0, 1})}}, ir::EvalMode::exact);
  EXPECT_EQ(before.outputs.at("output:z").cast(ir::DType::f32), Tensor::of({2, 2}, {21, 40, 39, 85}));
  EXPECT_EQ(before.outputs.at("output:first").cast(ir::DType::f32), Tensor::of({1, 2, 2}, {8, 8, 7, 9}));
}

// The file holds two initializers; `grad` reports a gradient for each.
TEST(Copies, AreTrainedApartUnlessTied) {
  EXPECT_THAT(folded().import().graph.tensors,
              ElementsAre(Key("cell.bias"), Key("linear_1"), Key("onnx::MatMul_7"), Key("table")));
}

TEST(Copies, FollowTheirWeightIntoTheFile) {
  auto value = [](const ir::Dims& dims, const std::vector<double>& v) {
    return std::make_shared<const Tensor>(Tensor::of(dims, v));
  };
  std::map<std::string, ir::TensorPtr> trained{{"table", value({2, 3}, {9, 8, 7, 6, 5, 4})},
                                               {"cell.bias", value({2}, {1, 3})}};
  auto again = stored(ModelFile::from_bytes(frontend::patch_model(folded().file(), trained, true)));
  EXPECT_THAT(again, ElementsAre(Pair("cell.bias", Tensor::of({2}, {1, 3})),
                                 Pair("linear_1", Tensor::of({1, 2, 2}, {1, 3, 1, 3})),
                                 Pair("onnx::MatMul_7", Tensor::of({3, 2}, {9, 6, 8, 5, 7, 4})),
                                 Pair("table", Tensor::of({2, 3}, {9, 8, 7, 6, 5, 4}))));
}

}  // namespace
}  // namespace mezzo::test
