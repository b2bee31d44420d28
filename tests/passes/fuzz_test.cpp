// Random graphs: what a pass makes of them computes the same bits, prints and parses back, and is a fixed
// point.
#include <gmock/gmock.h>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/pipeline.h"
#include "passes/simplify_rules.h"
#include "random_graph.h"

namespace mezzo::passes {
namespace {

constexpr int kSeeds = 400;
// Sizes grow with the seed, so that the first failure is a small graph.
int size_of(uint64_t seed) { return 1 + static_cast<int>(seed) / 16; }

std::string evaluation_difference(const Graph& a, const Graph& b, uint64_t seed) {
  auto feeds = ir::random_feeds(a, seed);
  ir::EvalResult x = evaluate(a, feeds, ir::EvalMode::rounded), y = evaluate(b, feeds, ir::EvalMode::rounded);
  for (auto& [name, tensor] : x.outputs)
    if (std::string d = ir::difference(tensor, y.outputs.at(name)); !d.empty()) return concat(name, ": ", d);
  return "";
}

class Fuzz : public testing::TestWithParam<const char*> {};

TEST_P(Fuzz, PassKeepsEveryBitAndIsAFixedPoint) {
  const PassRow& row = find_pass(GetParam());
  bool primitive = row.name != "expand";
  int changed = 0;
  for (uint64_t seed = 0; seed < kSeeds; seed++) {
    Graph before = ir::random_graph(seed, size_of(seed), primitive), after = clone(before);
    run_pass(after, row, {});
    changed += print(after) != print(before);
    ASSERT_EQ(evaluation_difference(before, after, seed), "") << "seed " << seed << "\n"
                                                              << print(before) << "becomes\n"
                                                              << print(after);
    std::string once = print(after);
    run_pass(after, row, {});
    ASSERT_EQ(print(after), once) << "the second run changes, seed " << seed;
  }
  EXPECT_GT(changed, kSeeds / 20) << "the graphs give this pass nothing to do";
}

std::string pass_name(const testing::TestParamInfo<const char*>& p) { return p.param; }

INSTANTIATE_TEST_SUITE_P(Passes, Fuzz, testing::Values("expand", "simplify", "fold_constants", "cse"), pass_name);

TEST(FuzzGraph, CleanUpPassesTogetherKeepEveryBit) {
  for (uint64_t seed = 0; seed < kSeeds; seed++) {
    Graph before = ir::random_graph(seed + 10000, size_of(seed), false), after = clone(before);
    for (const char* pass : {"expand", "simplify", "fold_constants", "cse", "simplify-2", "cse-2"})
      run_pass(after, find_pass(pass), {});
    ASSERT_EQ(evaluation_difference(before, after, seed), "") << "seed " << seed << "\n"
                                                              << print(before) << "becomes\n"
                                                              << print(after);
  }
}

TEST(FuzzGraph, PrintsAndParsesBack) {
  for (uint64_t seed = 0; seed < kSeeds; seed++) {
    Graph graph = ir::random_graph(seed, size_of(seed), false);
    std::string text = print(graph);
    Graph back = ir::parse(text, ir::elided_tensors(graph));
    ASSERT_EQ(print(back), text);
    ASSERT_EQ(evaluation_difference(graph, back, seed), "");
  }
}

// Both sides of every rule of the table on all pairs of awkward numbers, in every type the operations take.
TEST(RewriteRules, BothSidesAreEqual) {
  std::mt19937_64 random(7);
  for (const RewriteRule& rule : rewrite_rules()) {
    int types = 0;
    for (ir::DType dtype :
         {ir::DType::f32, ir::DType::f64, ir::DType::i32, ir::DType::i64, ir::DType::boolean}) {
      Graph graph;
      ir::Values variables;
      bool chosen = rule.from.code ==
                    ir::Code::select;  // the condition of a choice is the first variable unless constant
      bool condition = chosen && rule.from.arguments[0].kind != Term::boolean;
      for (int i = 0; i < rule.variables; i++)
        variables.push_back(
            graph.input(std::to_string(i), {condition && i == 0 ? ir::DType::boolean : dtype, {500}}));
      try {
        graph.outputs = {{"from", build_term(graph, rule.from, variables, dtype)},
                         {"to", build_term(graph, rule.to, variables, dtype)}};
      } catch (const Error&) {
        continue;  // not an operation of this type
      }
      types++;
      auto result = evaluate(graph, ir::random_feeds(graph, random()), ir::EvalMode::rounded).outputs;
      EXPECT_EQ(ir::difference(result.at("from"), result.at("to")), "") << rule.text << " in " << name(dtype);
    }
    EXPECT_GT(types, 0) << rule.text << " fits no type";
  }
}

}  // namespace
}  // namespace mezzo::passes
