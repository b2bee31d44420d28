// A classifier of many classes (product, bias, cross entropy) trained in 16 bits: the scores stand in memory
// in 16 bits only.
#include <gmock/gmock.h>

#include "passes/pipeline.h"
#include "passes/plan_memory.h"
#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;

constexpr int64_t kRows = 2048, kWidth = 64, kClasses = 8192;

Graph classifier(bool tied, bool bias) {
  Graph g;
  Value x = g.input("x", {DType::f32, {kRows, kWidth}}), labels = g.input("labels", {DType::i64, {kRows}});
  const Dims dims = tied ? Dims{kClasses, kWidth} : Dims{kWidth, kClasses};
  Value w = g.state("w", {DType::f32, dims}, StateKind::parameter, 0.01);
  Value scores = apply("MatMul", {x, tied ? transpose(w, {1, 0}) : w});
  if (bias) scores = scores + g.state("b", {DType::f32, {kClasses}}, StateKind::parameter);
  g.outputs.push_back({kLoss, apply_all("SoftmaxCrossEntropyLoss", {scores, labels})[0]});
  return g;
}

TEST(Classifier, HoldsItsScoresIn16BitsOnly) {
  for (DType low : {DType::bf16, DType::f16})
    for (bool tied : {false, true})
      for (bool bias : {false, true}) {
        SCOPED_TRACE(concat(name(low), tied ? " tied" : "", bias ? " with bias" : ""));
        Options o{.low = low, .optimizer = OptimizerOptions{.kind = OptimizerKind::adamw}};
        o.bias_in_products = true;  // as on the CPU
        if (low == DType::f16) o.loss_scale.kind = LossScaleKind::dynamic;
        Graph step = run_pipeline(classifier(tied, bias), o, {}).step;
        int of_scores = 0;
        for (auto& node : step.nodes())
          for (int k = 0; k < node->output_count(); k++) {
            const Type& type = node->type(k);
            if (type.count() < kRows * kClasses) continue;
            of_scores++;
            EXPECT_EQ(type.dtype, low) << print(*node);
          }
        EXPECT_LE(of_scores, 2);  // they and their gradient
        // Both are never more than twice 16 bits; the rest is of the size of the weight, three times in f32
        // at most.
        const MemoryReport memory = memory_report(step);
        EXPECT_LE(memory.arena, 2 * kRows * kClasses * 2 + 3 * kWidth * kClasses * 4 + kRows * kWidth * 16);
      }
}

}  // namespace
}  // namespace mezzo::passes
