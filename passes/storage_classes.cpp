#include "passes/storage_classes.h"

#include <algorithm>
#include <set>

#include "ir/dot_epilogue.h"

namespace mezzo::passes {

using namespace ir;

bool is_launch(const Node& n) { return !is_input(n) && !is_state(n) && !is_constant(n) && !is_reshape(n); }

bool may_overwrite(const Node& launch, int output, const Node& state) {
  std::vector<size_t> readers;
  for (size_t i = 0; i < launch.input_count(); i++)
    if (launch.has(i) && root_of(launch.in(i)).node == &state) readers.push_back(i);
  if (readers.empty()) return true;
  if (overwrites_operand(launch)) return readers == std::vector<size_t>{3};
  if (!is_kernel(launch)) return false;
  std::vector<const Node*> inputs;
  for (auto& node : launch.body->nodes())
    if (is_input(*node)) inputs.push_back(node.get());
  // All that follows from the input stays at its element: scalar ops of the output's shape.
  const Dims& dims = launch.body->outputs[static_cast<size_t>(output)].value.dims();
  std::set<const Node*> from;
  for (size_t i : readers) {
    if (inputs.at(i)->type().dims != dims) return false;
    from.insert(inputs[i]);
  }
  for (auto& node : launch.body->nodes()) {
    bool reads = std::any_of(node->inputs().begin(), node->inputs().end(),
                             [&](const Value& v) { return from.count(v.node) > 0; });
    if (!reads) continue;
    if (node->op().meaning != Meaning::scalar || node->type().dims != dims) return false;
    from.insert(node.get());
  }
  // Results of rank 0 need not come from one loop: another one may be computed when this one is written
  // already.
  if (!dims.empty()) return true;
  for (size_t k = 0; k < launch.body->outputs.size(); k++)
    if (static_cast<int>(k) != output && from.count(launch.body->outputs[k].value.node)) return false;
  return true;
}

std::vector<int> positions(const Graph& graph) {
  std::vector<int> at;
  int next = 0;
  for (auto& node : graph.nodes()) {
    at.resize(std::max(at.size(), static_cast<size_t>(node->id()) + 1), -1);
    at[static_cast<size_t>(node->id())] = next++;
  }
  return at;
}

std::vector<std::pair<const Update*, Value>> in_place_candidates(const Graph& graph) {
  std::vector<std::pair<const Update*, Value>> out;
  // States whose old value is asked for after the step.
  std::set<const Node*> kept;
  for (const Output& o : graph.outputs) kept.insert(root_of(o.value).node);
  for (const Update& u : graph.updates) kept.insert(root_of(u.value).node);
  std::set<std::pair<const Node*, int>> taken;
  for (const Update& u : graph.updates) {
    Value v = root_of(u.value);
    bool first = taken.insert({v.node, v.index}).second;
    if (first && is_launch(*v.node) && !kept.count(u.state) && v.dtype() == u.state->type().dtype &&
        may_overwrite(*v.node, v.index, *u.state))
      out.push_back({&u, v});
  }
  return out;
}

}  // namespace mezzo::passes
