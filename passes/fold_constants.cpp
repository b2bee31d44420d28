// fold_constants: a node whose inputs are all constants becomes its value, as the reference evaluator
// computes it. What is larger than its inputs stays a formula: a broadcast or a coordinate is cheaper to
// compute than to load.
#include "ir/eval.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::Meaning;
using ir::Node;
using ir::Value;
using ir::Values;

constexpr int64_t kMaxBytes = int64_t{1} << 20;  // of one folded value
constexpr int64_t kMaxKernelElements = 4096;     // of the operands of a product: the evaluator is slow

bool worth_folding(const Node& node, const Values& inputs) {
  Meaning meaning = node.op().meaning;
  if (node.output_count() != 1 || inputs.empty() || meaning == Meaning::leaf || meaning == Meaning::expand)
    return false;
  int64_t most = 1, all = 0;
  for (const Value& v : inputs) {
    if (!v) continue;
    if (!is_constant(*v.node)) return false;
    most = std::max(most, v.type().count());
    all += v.type().count();
  }
  if (meaning == Meaning::kernel && all + node.type().count() > kMaxKernelElements) return false;
  bool joins = meaning == Meaning::index && inputs.size() > 1;
  return node.type().bytes() <= kMaxBytes && node.type().count() <= (joins ? all : most);
}

}  // namespace

void fold_constants(Graph& graph, const Options&) {
  graph = rewrite(graph, [](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
    if (!worth_folding(node, inputs)) return std::nullopt;
    std::vector<const ir::Tensor*> tensors;
    for (const Value& v : inputs) tensors.push_back(v ? ir::constant_of(v).get() : nullptr);
    return Values{to.constant(std::move(ir::evaluate_node(node, tensors, ir::EvalMode::rounded)[0]))};
  });
}

}  // namespace mezzo::passes
