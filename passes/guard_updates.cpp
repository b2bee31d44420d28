// guard_updates: update s = v -> update s = Where(finite, v, s), except for unconditional updates and copies:
// a copy becomes its guarded parameter, rounded.
#include <unordered_map>

#include "ir/build.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

void guard_updates(Graph& graph, const Options&) {
  Value finite = graph.find_output(kFinite);
  auto is_copy = [](const Update& u) { return u.state->s("kind") == ir::name(StateKind::copy); };
  std::unordered_map<const Node*, Value> guarded;
  for (Update& u : graph.updates) {
    if (u.unconditional || is_copy(u) || u.value == u.state->out()) continue;
    if (!finite)
      throw Error(ErrorCode::usage,
                  concat("nothing decides whether state ", u.state->s("name"), " is updated"), "",
                  "run scale_loss first");
    Scope scope(graph, Phase::update, u.value.node->origin);
    u.value = where(finite, u.value, u.state->out());
    guarded[u.state] = u.value;
  }
  // From the value that the parameter takes, so that one choice decides for both and the old copy is not
  // read.
  for (Update& u : graph.updates) {
    if (!is_copy(u)) continue;
    auto parameter = guarded.find(graph.find_state(copied_parameter(u.state->s("name"))));
    check(parameter != guarded.end(), "copy ", u.state->s("name"), " is updated without its parameter");
    Scope scope(graph, Phase::update, u.value.node->origin);
    u.value = cast(parameter->second, u.value.dtype());
  }
}

}  // namespace mezzo::passes
