// control_flow_test.cpp: If, Loop and Scan at import, and operators that draw random numbers.
#include <gmock/gmock.h>

#include "frontend/onnx.pb.h"
#include "ir/eval.h"
#include "tests/frontend/model_builder.h"

namespace mezzo::test {
namespace {

using ir::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

onnx::GraphProto& body_of(onnx::NodeProto& node, const std::string& name) {
  auto* a = node.add_attribute();
  a->set_name(name);
  a->set_type(5);
  return *a->mutable_g();
}

// y = x > 0 everywhere ? x + x : -x; or the same by the sign of weight k
ModelBuilder chosen_by_data(bool another_type, bool by_weight = false) {
  ModelBuilder m;
  m.input("x", {2}).output("y").weight("zero", {}, {0}).weight("k", {2}, {4, 5});
  m.node("ReduceMin", {by_weight ? "k" : "x"}, {"least"}, "least");
  m.node("Greater", {"least", "zero"}, {"c0"}, "greater");
  m.integers("one", {1});
  m.node("Reshape", {"c0", "one"}, {"c"}, "flat");
  auto& node = m.node("If", {"c"}, {"y"}, "choose");
  for (bool taken : {true, false}) {
    onnx::GraphProto& body = body_of(node, taken ? "then_branch" : "else_branch");
    const std::string op = taken ? "Add" : another_type ? "Shape" : "Neg";
    add_node(*body.mutable_node(), op,
             taken ? std::vector<std::string>{"x", "x"} : std::vector<std::string>{"x"}, {"r" + op}, "inner");
    body.add_output()->set_name("r" + op);
  }
  return m;
}

TEST(ControlFlow, IfOnDataComputesBothBranches) {
  frontend::Imported m = chosen_by_data(false).import();
  EXPECT_THAT(run(m, {{"x", Tensor::of({2}, {1, 3})}}), ElementsAre(2, 6));
  EXPECT_THAT(run(m, {{"x", Tensor::of({2}, {-1, 3})}}), ElementsAre(1, -3));
}

// Training moves the weight: what it chooses at the start is not what it always chooses.
TEST(ControlFlow, IfOnAWeightComputesBothBranches) {
  frontend::Imported m = chosen_by_data(false, true).import();
  EXPECT_THAT(run(m, {{"x", Tensor::of({2}, {-1, 3})}}), ElementsAre(-2, 6));
  m.graph.tensors["k"] = ir::StartValue(std::make_shared<const Tensor>(Tensor::of({2}, {-4, 5})));
  EXPECT_THAT(run(m, {{"x", Tensor::of({2}, {-1, 3})}}), ElementsAre(1, -3));
}

TEST(ControlFlow, BranchesOfDifferentTypesAreRefused) {
  EXPECT_THAT(
      error_of([] { chosen_by_data(true).import(); }),
      HasSubstr("If 'choose': the condition is computed from the model's data or weights, and output 0 is "
                "f32[2] in one branch and i64[1] in the other"));
}

// s starts as x; three times: yield s, s = s * 2 + i. Trips from `count`, which may be a graph input.
ModelBuilder doubling(bool trips_from_data, bool condition_from_data) {
  ModelBuilder m;
  m.input("x", {2}).output("last").output("all");
  if (trips_from_data)
    m.input("trips", {1}, 7);
  else
    m.integers("trips", {3});
  auto& node = m.node("Loop", {"trips", "", "x"}, {"last", "all"}, "repeat");
  onnx::GraphProto& body = body_of(node, "body");
  for (const char* name : {"i", "go", "s"}) body.add_input()->set_name(name);
  add_node(*body.mutable_node(), "Add", {"s", "s"}, {"twice"}, "twice");
  add_node(*body.mutable_node(), "CastLike", {"i", "s"}, {"number"}, "number");
  add_node(*body.mutable_node(), "Add", {"twice", "number"}, {"next"}, "next");
  add_node(*body.mutable_node(), "Identity", {"s"}, {"kept"}, "kept");
  if (condition_from_data) {
    add_node(*body.mutable_node(), "ReduceMax", {"s"}, {"most"}, "most");
    add_node(*body.mutable_node(), "Greater", {"most", "number"}, {"again"}, "again");
  } else {
    add_node(*body.mutable_node(), "Identity", {"go"}, {"again"}, "again");
  }
  for (const char* name : {"again", "next", "kept"}) body.add_output()->set_name(name);
  return m;
}

TEST(ControlFlow, LoopIsUnrolled) {
  frontend::Imported m = doubling(false, false).import();
  EXPECT_EQ(ir::to_string(m.graph.outputs[1].value.type()), "f32[3,2]");
  EXPECT_THAT(run(m, {{"x", Tensor::of({2}, {1, 3})}}), ElementsAre(12, 28));
  std::swap(m.graph.outputs[0], m.graph.outputs[1]);
  EXPECT_THAT(run(m, {{"x", Tensor::of({2}, {1, 3})}}), ElementsAre(1, 3, 2, 6, 5, 13));
}

// As PyTorch's exporters write a list that a loop appends to, here in a function of theirs (EmbeddingBag): no
// trip count, a condition that is known in every iteration, a sequence among the carried values.
TEST(ControlFlow, LoopCarriesASequence) {
  ModelBuilder m;
  m.input("x", {2}).output("y");
  m.node("SequenceEmpty", {}, {"none"}, "none");
  m.node("Size", {"x"}, {"n"}, "size");
  m.node("Sub", {"n", "n"}, {"zero"}, "zero");
  m.node("Less", {"zero", "n"}, {"start"}, "start");
  onnx::GraphProto& body =
      body_of(m.node("Loop", {"", "start", "zero", "none"}, {"end", "list"}, "append"), "body");
  for (const char* name : {"i", "go", "at", "so_far"}) body.add_input()->set_name(name);
  add_node(*body.mutable_node(), "CastLike", {"at", "x"}, {"number"}, "number");
  add_node(*body.mutable_node(), "Mul", {"x", "number"}, {"part"}, "part");
  add_node(*body.mutable_node(), "SequenceInsert", {"so_far", "part"}, {"longer"}, "insert");
  add_node(*body.mutable_node(), "Identity", {"longer"}, {"kept"}, "kept");
  auto& one = add_node(*body.mutable_node(), "Constant", {}, {"one"}, "one");
  set(one, "value_int", int64_t{1});
  add_node(*body.mutable_node(), "Add", {"at", "one"}, {"next"}, "next");
  add_node(*body.mutable_node(), "LessOrEqual", {"next", "n"}, {"again"}, "again");
  for (const char* name : {"again", "next", "kept"}) body.add_output()->set_name(name);
  set(m.node("ConcatFromSequence", {"list"}, {"y"}, "join"), "axis", int64_t{0});
  EXPECT_THAT(run(m.import(), {{"x", Tensor::of({2}, {3, 5})}}), ElementsAre(0, 0, 3, 5, 6, 10));
}

TEST(ControlFlow, LoopsOnDataAreRefused) {
  EXPECT_THAT(error_of([] { doubling(true, false).import(); }),
              HasSubstr("Loop 'repeat': how often it runs is computed from the model's data"));
  EXPECT_THAT(error_of([] { doubling(false, true).import(); }),
              HasSubstr("Loop 'repeat': whether it goes on is computed from the model's data"));
}

TEST(ControlFlow, ScanGoesAlongItsAxisInBothDirections) {
  ModelBuilder m;
  m.input("start", {2}).input("x", {2, 3}).output("sum").output("sums");
  auto& node = m.node("Scan", {"start", "x"}, {"sum", "sums"}, "along");
  set(node, "num_scan_inputs", int64_t{1});
  set(node, "scan_input_axes", std::vector<int64_t>{1});
  set(node, "scan_input_directions", std::vector<int64_t>{1});
  set(node, "scan_output_axes", std::vector<int64_t>{-1});
  onnx::GraphProto& body = body_of(node, "body");
  for (const char* name : {"s", "e"}) body.add_input()->set_name(name);
  add_node(*body.mutable_node(), "Add", {"s", "e"}, {"t"}, "add");
  add_node(*body.mutable_node(), "Identity", {"t"}, {"y"}, "yield");
  for (const char* name : {"t", "y"}) body.add_output()->set_name(name);
  frontend::Imported imported = m.import();
  const std::map<std::string, Tensor> feeds = {{"start", Tensor::of({2}, {100, 200})},
                                               {"x", Tensor::of({2, 3}, {1, 2, 3, 4, 5, 6})}};
  EXPECT_THAT(run(imported, feeds), ElementsAre(106, 215));
  std::swap(imported.graph.outputs[0], imported.graph.outputs[1]);
  EXPECT_THAT(run(imported, feeds), ElementsAre(103, 105, 106, 206, 211, 215));
}

TEST(RandomOps, DrawFromTheKeyAndFromStreamsOfTheirOwn) {
  ModelBuilder m;
  m.input("x", {64}).output("y");
  m.node("RandomUniformLike", {"x"}, {"a"}, "a");
  m.node("RandomUniformLike", {"x"}, {"b"}, "b");
  m.node("Sub", {"a", "b"}, {"y"}, "difference");
  frontend::Imported imported = m.import();
  const Tensor x({ir::DType::f32, {64}});
  auto with_key = [&](uint32_t seed) {
    Tensor key({ir::DType::u32, {2}});
    key.set_int(0, seed);
    return run(imported, {{"x", x}, {"mezzo.key", key}});
  };
  const std::vector<double> first = with_key(1);
  EXPECT_EQ(first, with_key(1));
  EXPECT_NE(first, with_key(2));
  EXPECT_THAT(first, testing::Each(testing::AllOf(testing::Ne(0), testing::Gt(-1), testing::Lt(1))));
}

}  // namespace
}  // namespace mezzo::test
