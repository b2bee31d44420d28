// precision_test.cpp: which values get 16 bits, and the plan as text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/build.h"
#include "ir/op.h"
#include "ir/text.h"
#include "passes/passes.h"
#include "passes/plan_text.h"

namespace mezzo::passes {
namespace {

using ir::DType;
using ir::Value;
using testing::HasSubstr;

Value named(ir::Graph& g, const std::string& origin, const std::function<Value()>& make) {
  ir::Scope scope(g, ir::Phase::forward, {origin});
  return make();
}

// x - MatMul fc1 - Add bias - Relu - MatMul fc2 - Softmax, and a mean of it.
ir::Graph perceptron() {
  ir::Graph g;
  Value x = g.input("x", {DType::f32, {4, 8}});
  Value w1 = g.state("w1", {DType::f32, {8, 6}}, ir::StateKind::parameter);
  Value b1 = g.state("b1", {DType::f32, {6}}, ir::StateKind::parameter);
  Value w2 = g.state("w2", {DType::f32, {6, 3}}, ir::StateKind::parameter);
  Value h = named(g, "fc1", [&] { return ir::apply("MatMul", {x, w1}); });
  h = named(g, "bias", [&] { return h + b1; });
  h = named(g, "relu", [&] { return ir::apply("Relu", {h}); });
  Value y = named(g, "fc2", [&] { return ir::apply("MatMul", {h, w2}); });
  y = named(g, "soft", [&] { return ir::apply("Softmax", {y}); });
  Value e = named(g, "exp", [&] { return ir::exp(y); });
  g.outputs = {{"y", y}, {"e", e}};
  return g;
}

std::map<std::string, DType> plan_of(ir::Graph g, Options options) {
  std::vector<PlanRow> rows;
  options.plan = &rows;
  assign_precision(g, options);
  ir::verify(g);
  std::map<std::string, DType> out;
  for (const PlanRow& row : rows) out[row.value] = row.dtype;
  return out;
}

TEST(AssignPrecision, FollowsTheClasses) {
  auto plan = plan_of(perceptron(), {.low = DType::bf16});
  EXPECT_EQ(plan.at("x"), DType::f32);
  EXPECT_EQ(plan.at("w1"), DType::f32);     // masters
  EXPECT_EQ(plan.at("fc1"), DType::f32);    // the accumulator, which the bias joins
  EXPECT_EQ(plan.at("bias"), DType::bf16);  // rounded once behind it
  EXPECT_EQ(plan.at("relu"), DType::bf16);
  EXPECT_EQ(plan.at("fc2"), DType::bf16);
  EXPECT_EQ(plan.at("soft"), DType::f32);   // f32 inside, and only exp reads it
  EXPECT_EQ(plan.at("exp"), DType::f32);
}

TEST(AssignPrecision, ChangesNothingInFp32) {
  ir::Graph g = perceptron();
  const std::string before = ir::print(g);
  assign_precision(g, {});
  EXPECT_EQ(ir::print(g), before);
}

TEST(AssignPrecision, NetWithoutProductsStaysF32) {
  ir::Graph g;
  Value x = g.input("x", {DType::f32, {4, 8}});
  g.outputs = {{"y", ir::apply("Softmax", {ir::apply("Relu", {x})})}};
  const std::string before = ir::print(g);
  assign_precision(g, {.low = DType::f16});
  EXPECT_EQ(ir::print(g), before);
}

// Failure mode 22: -log(1 - sigmoid(x)) of a confident x. Rounded to 16 bits the probability would be 1.
TEST(AssignPrecision, ProbabilitiesUnderALogarithmStayF32) {
  ir::Graph g;
  Value x = g.input("x", {DType::f32, {4, 8}}), t = g.input("t", {DType::f32, {4, 8}});
  Value w = g.state("w", {DType::f32, {8, 8}}, ir::StateKind::parameter);
  Value h = named(g, "product", [&] { return ir::apply("MatMul", {x, w}); });
  Value p = named(g, "probability", [&] { return ir::sigmoid(h); });
  Value rest = named(g, "rest", [&] { return 1.0 - p; });
  Value gate = named(g, "gate", [&] { return ir::sigmoid(h); });
  g.outputs = {{"loss", t * ir::log(p) + (1.0 - t) * ir::log(rest)},
               {"p", p},
               {"z", ir::apply("MatMul", {gate, w})}};
  auto plan = plan_of(std::move(g), {.low = DType::f16});
  EXPECT_EQ(plan.at("product"), DType::f16);
  EXPECT_EQ(plan.at("probability"), DType::f32);
  EXPECT_EQ(plan.at("rest"), DType::f32);
  EXPECT_EQ(plan.at("gate"), DType::f16);
}

// Failure mode 21.
TEST(AssignPrecision, PositionsAreNotNarrowed) {
  ir::Graph g;
  Value ids = g.input("ids", {DType::i64, {4, 8}});
  Value w = g.state("w", {DType::f32, {8, 6}}, ir::StateKind::parameter);
  Value position = named(g, "position", [&] { return ir::cast(ids, DType::f32) * 0.5; });
  Value y = named(g, "product", [&] { return ir::apply("MatMul", {position, w}); });
  g.outputs = {{"y", y}};
  auto plan = plan_of(std::move(g), {.low = DType::bf16});
  EXPECT_EQ(plan.at("product"), DType::f32);
}

// Chosen by index or by condition, a position is still one; what an embedding looks up is not.
TEST(AssignPrecision, ChosenPositionsAreNotNarrowed) {
  ir::Graph g;
  Value ids = g.input("ids", {DType::i64, {4, 8}}), rows = g.input("rows", {DType::i64, {4}});
  Value mask = g.input("mask", {DType::boolean, {4, 8}});
  Value w = g.state("w", {DType::f32, {8, 8}}, ir::StateKind::parameter);
  Value x = g.input("x", {DType::f32, {4, 8}});
  Value position = ir::apply("Gather", {ir::cast(ids, DType::f32), rows});
  position = ir::where(mask, position, ir::constant_like(position, 0));
  Value looked_up = ir::apply("Gather", {ir::apply("MatMul", {x, w}), rows});
  g.outputs = {{"y", named(g, "positions",
                           [&] {
                             return ir::apply("MatMul", {position, w});
                           })},
               {"z", named(g, "rows", [&] {
                  return ir::apply("MatMul", {looked_up, w});
                })}};
  auto plan = plan_of(std::move(g), {.low = DType::bf16});
  EXPECT_EQ(plan.at("positions"), DType::f32);
  EXPECT_EQ(plan.at("rows"), DType::bf16);
}

TEST(AssignPrecision, OneCastPerValueIsShared) {
  ir::Graph g;
  Value x = g.input("x", {DType::f32, {4, 4}});
  Value w = g.state("w", {DType::f32, {4, 4}}, ir::StateKind::parameter);
  g.outputs = {{"y", ir::apply("MatMul", {ir::apply("MatMul", {x, w}), w})}};
  assign_precision(g, {.low = DType::bf16});
  int casts = 0;
  for (auto& node : g.nodes()) casts += ir::is_cast(*node);
  EXPECT_EQ(casts, 2);  // x and w
}

TEST(AssignPrecision, OverridesByNodeTypeAndGlob) {
  auto by_node = plan_of(perceptron(), {.low = DType::bf16, .overrides = {{"fc2", DType::f32}}});
  EXPECT_EQ(by_node.at("fc2"), DType::f32);
  EXPECT_EQ(by_node.at("bias"), DType::bf16);
  auto by_type = plan_of(perceptron(), {.low = DType::bf16, .overrides = {{"MatMul", DType::f32}}});
  EXPECT_EQ(by_type.at("fc1"), DType::f32);
  EXPECT_EQ(by_type.at("fc2"), DType::f32);
  auto by_glob = plan_of(perceptron(), {.low = DType::bf16, .overrides = {{"e*p", DType::bf16}}});
  EXPECT_EQ(by_glob.at("exp"), DType::bf16);
}

TEST(AssignPrecision, OverrideWithoutAMatchIsAnError) {
  ir::Graph g = perceptron();
  try {
    assign_precision(g, {.low = DType::bf16, .overrides = {{"fc9", DType::f32}}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("no node matches 'fc9'"));
  }
}

TEST(PlanText, ReadsBackAsOverrides) {
  std::vector<PlanRow> rows;
  ir::Graph g = perceptron();
  assign_precision(g, {.low = DType::bf16, .plan = &rows});
  std::string text = write_plan(rows, DType::bf16);
  EXPECT_TRUE(read_plan(text, rows, "plan.txt").empty());
  const size_t line = text.find("\nfc2 ");
  ASSERT_NE(line, std::string::npos);
  text.replace(text.find("bf16", line), 4, "f32 ");
  text += "override relu f32\n";
  const auto overrides = read_plan(text, rows, "plan.txt");
  ASSERT_EQ(overrides.size(), 2u);
  EXPECT_EQ(overrides[0].match, "fc2");
  EXPECT_EQ(overrides[0].dtype, DType::f32);
  EXPECT_EQ(overrides[1].match, "relu");
}

TEST(PlanText, ErrorsNameTheLine) {
  auto message = [](const char* text) -> std::string {
    try {
      read_plan(text, {}, "plan.txt");
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(message("# a\noverride x f99\n"), HasSubstr("plan.txt:2: 'f99' is not one of"));
  EXPECT_THAT(message("nothing MatMul f32\n"), HasSubstr("plan.txt:1: the model has no value 'nothing'"));
}

}  // namespace
}  // namespace mezzo::passes
