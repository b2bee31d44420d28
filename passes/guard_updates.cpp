// guard_updates: update s = v -> update s = Where(finite, v, s), except for unconditional updates.
#include "ir/build.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

void guard_updates(Graph& graph, const Options&) {
  Value finite = graph.find_output(kFinite);
  for (Update& u : graph.updates) {
    if (u.unconditional || u.value == u.state->out()) continue;
    if (!finite)
      throw Error(ErrorCode::usage,
                  concat("nothing decides whether state ", u.state->s("name"), " is updated"), "",
                  "run scale_loss first");
    Scope scope(graph, Phase::update, u.value.node->origin);
    u.value = where(finite, u.value, u.state->out());
  }
}

}  // namespace mezzo::passes
