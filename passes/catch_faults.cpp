// catch_faults: makes the counts of bad indices (OpDef::fault_output) outputs of the step, and keeps every
// state as it was where one of them is not 0: a step on wrong labels is no step, not even a skipped one, so
// its counters stay too.
#include <set>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

void catch_faults(Graph& graph, const Options&) {
  std::vector<Node*> counting;
  for (auto& node : graph.nodes())
    // An op that counts nothing (constant indices, checked when it was made) lacks the output.
    if (int k = node->op().fault_output; k >= 0 && k < node->output_count()) counting.push_back(node.get());
  Value clean;
  std::set<std::string> names;
  for (Node* node : counting) {
    Scope scope(graph, Phase::update, node->origin);
    const std::string first = node->origin.empty() ? std::string(node->op().name) : node->origin.front();
    std::string name = first;
    for (int k = 2; !names.insert(name).second; k++) name = mezzo::concat(first, "#", k);
    Value count = node->out(node->op().fault_output);
    graph.outputs.push_back({kFaultPrefix + name, count});
    Value none = equal(count, constant_like(count, 0));
    clean = clean ? logical_and(clean, none) : none;
  }
  if (!clean) return;
  Scope scope(graph, Phase::update, {});
  Value finite = graph.find_output(kFinite);
  for (Update& u : graph.updates) {
    if (u.value == u.state->out() || (finite && !u.unconditional)) continue;
    u.value = where(clean, u.value, u.state->out());
  }
  // guard_updates does the others.
  for (Output& o : graph.outputs)
    if (o.name == kFinite) o.value = logical_and(finite, clean);
}

}  // namespace mezzo::passes
