// plan_epilogues moves roundings only: without any (exact mode), a graph means the same before and after it.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "ir/dot_epilogue.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"
#include "tests/paths.h"

namespace mezzo::passes {
namespace {

using ir::EvalMode;
using ir::Tensor;

std::map<std::string, Tensor> draw(const Graph& graph) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::map<std::string, Tensor> feeds;
  for (const auto& n : graph.nodes()) {
    if (!ir::is_input(*n) && !ir::is_state(*n)) continue;
    Tensor t(n->type());
    for (int64_t i = 0; i < t.count(); i++) t.set(i, uniform(random));
    feeds.emplace(n->s("name"), std::move(t));
  }
  return feeds;
}

double largest_difference(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  double most = 0;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, t] : a)
    for (int64_t i = 0; i < t.count(); i++) most = std::max(most, std::fabs(t.get(i) - b.at(name).get(i)));
  return most;
}

int epilogues(const Graph& graph) {
  int count = 0;
  for (const auto& n : graph.nodes()) count += ir::is_dot_epilogue(*n);
  return count;
}

TEST(PlanEpilogues, KeepTheExactMeaning) {
  int planned = 0;
  const auto folder = std::filesystem::path(MEZZO_SOURCE_DIR) / "tests/golden/passes/plan_epilogues";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(file.path().filename());
    std::ifstream in(file.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const Graph before = ir::parse(text.substr(0, text.find("----\n")));
    Graph after = ir::clone(before);
    run_pass(after, find_pass("plan_epilogues"), options_of_comments("options low=bf16 numerics=excess\n"));
    planned += epilogues(after);
    const auto feeds = draw(before);
    const auto a = ir::evaluate(before, feeds, EvalMode::exact),
               b = ir::evaluate(after, feeds, EvalMode::exact);
    // Constants of the written-out Gelu are f32, those of the op's formula f64.
    EXPECT_LT(largest_difference(a.outputs, b.outputs), 1e-6);
    EXPECT_LT(largest_difference(a.updates, b.updates), 1e-6);
  }
  EXPECT_GE(planned, 8);
}

// The accumulator of the product is f32, and so is what it adds to: the library's sum is rounded where the
// two ops' is.
TEST(PlanEpilogues, StrictAccumulationKeepsEveryBit) {
  const char* text = R"(graph main {
  input %x : bf16[8,16]
  input %dy : bf16[8,24]
  state $w.grad_sum kind="accumulator" : f32[16,24]
  %0 = Constant 8 : f32[]
  %1 = Dot(%x, %dy) trans_a=1 out=f32 : f32[16,24]
  %2 = Mul(%1, %0) : f32[16,24]
  %3 = Add($w.grad_sum, %2) : f32[16,24]
  update $w.grad_sum = %3 unconditional
}
)";
  const Graph before = ir::parse(text);
  Graph after = ir::clone(before);
  run_pass(after, find_pass("plan_epilogues"), {});
  EXPECT_EQ(epilogues(after), 1);
  const auto feeds = draw(before);
  EXPECT_EQ(ir::evaluate(before, feeds, EvalMode::rounded).updates,
            ir::evaluate(after, feeds, EvalMode::rounded).updates);
}

}  // namespace
}  // namespace mezzo::passes
