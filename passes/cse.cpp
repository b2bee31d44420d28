// cse: nodes that do the same with the same inputs become one; the first one's phase stays, its origin grows
// (not a constant's: it would name half the model).
#include <algorithm>
#include <unordered_map>

#include "ir/op.h"
#include "ir/text.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::Node;
using ir::Value;
using ir::Values;

// Operations whose operands may change places without changing a bit (of anything but a NaN). min and max are
// not among them: of two zeros they return the first.
bool commutes(const Node& node) {
  if (node.op().meaning != ir::Meaning::scalar) return false;
  switch (node.op().scalar.code) {
    case ir::Code::add:
    case ir::Code::mul:
    case ir::Code::equal:
    case ir::Code::logical_and:
    case ir::Code::logical_or:
    case ir::Code::logical_xor:
    case ir::Code::bit_and:
    case ir::Code::bit_or:
    case ir::Code::bit_xor: return true;
    default: return false;
  }
}

// Equal for exactly those nodes that compute the same. `inputs` are values of the new graph.
std::string key_of(const Node& node, Values inputs) {
  auto before = [](const Value& a, const Value& b) {
    return std::pair(a.node->id(), a.index) < std::pair(b.node->id(), b.index);
  };
  if (commutes(node)) std::sort(inputs.begin(), inputs.end(), before);
  std::string key = signature(node);
  for (const Value& v : inputs)
    key += v ? " %" + std::to_string(v.node->id()) + "." + std::to_string(v.index) : " _";
  return key;
}

}  // namespace

void cse(Graph& graph, const Options&) {
  std::unordered_map<std::string, Node*> first;
  graph = rewrite(graph, [&](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
    if (is_input(node) || is_state(node)) return std::nullopt;
    auto [it, is_new] = first.try_emplace(key_of(node, inputs));
    if (is_new)
      it->second = copy_node(to, node, inputs)[0].node;
    else if (!is_constant(node))
      it->second->origin = ir::merge(it->second->origin, node.origin);
    Values out;
    for (int i = 0; i < node.output_count(); i++) out.push_back(it->second->out(i));
    return out;
  });
}

}  // namespace mezzo::passes
