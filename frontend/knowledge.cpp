#include "frontend/knowledge.h"

#include <algorithm>
#include <unordered_set>

#include "frontend/limits.h"
#include "frontend/names.h"
#include "ir/eval.h"
#include "ir/op.h"

namespace mezzo::frontend {
namespace {

// Ops whose work per element is unbounded (a matrix product, a window) may only be small.
constexpr int64_t kMaxHeavyElements = 1 << 16;

bool light(const ir::OpDef& op) {
  return op.meaning == ir::Meaning::scalar || op.meaning == ir::Meaning::index ||
         op.meaning == ir::Meaning::reduce;
}

}  // namespace

ir::TensorPtr Knowledge::leaf(const ir::Node& node) {
  if (ir::is_constant(node)) return node.tensor("value");
  if (ir::is_state(node)) {
    auto it = graph_.tensors.find(node.s("name"));
    // A larger one is in no shape program; reading it would be in vain.
    const bool small = it != graph_.tensors.end() && it->second.type().count() <= kMaxFoldedElements;
    return small ? it->second.share() : nullptr;
  }
  if (ir::is_input(node)) {
    auto it = inputs_.find(node.s("name"));
    if (it == inputs_.end() || !it->second || it->second->type() != node.type()) return nullptr;
    used_.insert(it->first);
    return it->second;
  }
  return nullptr;
}

std::vector<ir::TensorPtr> Knowledge::evaluate(const ir::Node& node,
                                               const std::vector<ir::TensorPtr>& inputs) {
  int64_t elements = 0;
  auto add = [&](const ir::Type& type) { elements += std::min(type.count(), kMaxFoldedElements + 1); };
  for (const ir::Type& type : node.types()) add(type);
  for (const ir::TensorPtr& t : inputs)
    if (t) add(t->type());
  if (elements > (light(node.op()) ? kMaxFoldedElements : kMaxHeavyElements) ||
      work_ + elements > kMaxFoldedWork)
    return {};
  work_ += elements;
  std::vector<const ir::Tensor*> raw;
  for (const ir::TensorPtr& t : inputs) raw.push_back(t.get());
  std::vector<ir::TensorPtr> out;
  for (ir::Tensor& t : ir::evaluate_node(node, raw, ir::EvalMode::rounded))
    out.push_back(std::make_shared<const ir::Tensor>(std::move(t)));
  return out;
}

bool Knowledge::depends_on_weights(ir::Value v) const {
  std::unordered_set<const ir::Node*> seen;
  std::vector<const ir::Node*> reached{v.node};
  while (!reached.empty()) {
    const ir::Node* node = reached.back();
    reached.pop_back();
    if (!seen.insert(node).second) continue;
    if (ir::is_state(*node) && ir::is_float(node->type().dtype) &&
        (node->type().count() > 1 || !is_made_up(node->s("name"))))
      return true;
    for (const ir::Value& in : node->inputs())
      if (in) reached.push_back(in.node);
  }
  return false;
}

ir::TensorPtr Knowledge::value(ir::Value v) {
  if (!v) return nullptr;
  if (ir::is_constant(*v.node)) return leaf(*v.node);
  // Depth-first over what v depends on, without recursion.
  std::vector<const ir::Node*> stack{v.node};
  while (!stack.empty()) {
    const ir::Node* node = stack.back();
    if (memo_.count(node)) {
      stack.pop_back();
      continue;
    }
    if (node->input_count() == 0) {
      // Iota and its like have no inputs but are no leaves.
      ir::TensorPtr t = leaf(*node);
      bool computed = !t && node->op().meaning != ir::Meaning::leaf;
      memo_[node] = computed ? evaluate(*node, {}) : t ? std::vector{t} : std::vector<ir::TensorPtr>{};
      stack.pop_back();
      continue;
    }
    bool waits = false, unknown = false;
    for (const ir::Value& in : node->inputs()) {
      if (!in) continue;
      auto it = memo_.find(in.node);
      if (it == memo_.end()) {
        stack.push_back(in.node);
        waits = true;
        break;  // one at a time: most chains end at data, and then the rest is not needed
      }
      unknown |= it->second.empty();
      if (unknown) break;
    }
    if (waits) continue;
    std::vector<ir::TensorPtr> inputs, outputs;
    if (!unknown) {
      for (const ir::Value& in : node->inputs())
        inputs.push_back(in ? memo_.at(in.node).at(static_cast<size_t>(in.index)) : nullptr);
      outputs = evaluate(*node, inputs);
    }
    memo_[node] = std::move(outputs);
    stack.pop_back();
  }
  const auto& outputs = memo_.at(v.node);
  return outputs.empty() ? nullptr : outputs.at(static_cast<size_t>(v.index));
}

}  // namespace mezzo::frontend
