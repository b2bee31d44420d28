// The README's example of an op, compiled, evaluated and differentiated.
#include <gmock/gmock.h>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using namespace ir;

// README: begin
const OpDef softsign = {
    .name = "Softsign",
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = [](Graph&, const Node&, const Values& in) -> Values { return {in[0] / (abs(in[0]) + 1.0)}; },
};
// README: end

// Not registered: an operator of that name is, with a gradient rule of its own to compare with.
TEST(ReadmeOp, EqualsTheRegisteredOperatorInValueAndGradient) {
  std::vector<std::map<std::string, Tensor>> results;
  for (const OpDef* op : {&softsign, find_op("Softsign")}) {
    ASSERT_NE(op, nullptr);
    Graph g;
    Value w = g.state("w", {DType::f32, {4}}, StateKind::parameter);
    Value y = g.add(*op, {w})->out();
    g.outputs.push_back({"y", y});
    g.outputs.push_back({"loss", reduce_sum(y * y, {}, false)});
    autodiff(g, {});
    std::map<std::string, Tensor> feeds;
    feeds.emplace("w", Tensor::of({4}, {-2, -0.25, 0.5, 3}));
    results.push_back(evaluate(g, feeds, EvalMode::exact).outputs);
  }
  for (const char* output : {"y", "grad:w"})
    for (int64_t i = 0; i < 4; i++)
      EXPECT_NEAR(results[0].at(output).get(i), results[1].at(output).get(i), 1e-12) << output << i;
}

}  // namespace
}  // namespace mezzo::passes
