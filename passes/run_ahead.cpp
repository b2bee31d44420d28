// run_ahead: see passes.h. Comes before guard_updates, which makes the updates of states that skipped steps
// leave alone depend on output `finite`.
#include "ir/build.h"
#include "ir/philox.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

void run_ahead(Graph& graph, const Options& options) {
  Value finite = graph.find_output(kFinite);
  if (!options.run_ahead || !finite) return;
  Scope scope(graph, Phase::update, {});
  Value hold = graph.state(kHold, {DType::boolean, {}}, StateKind::counter);
  Value free = logical_not(hold), commits = logical_and(finite, free);
  for (Update& u : graph.updates)
    if (u.unconditional && u.value != u.state->out()) u.value = where(free, u.value, u.state->out());
  for (Output& o : graph.outputs)
    if (o.name == kFinite) o.value = commits;
  graph.updates.push_back({hold.node, logical_not(commits), true});
  if (Node* key = graph.find_state(kRandomKey)) {
    Value one_draw = graph.constant(Tensor::of({2}, {0, 1}, DType::u32));
    graph.updates.push_back({key, where(free, key->out() + one_draw, key->out()), true});
  }
}

}  // namespace mezzo::passes
