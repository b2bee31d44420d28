#include "passes/simplify.h"

namespace mezzo::passes {
namespace {

constexpr int kMaxRounds = 50;
constexpr SimplifyRule kRules[] = {
    compute_nothing, drop_cast,           round_in_producer,    sink_widening_casts,  hoist_narrowing_cast,
    drop_movement,   join_movements,      transpose_in_product, transpose_of_product, broadcast_implicitly,
    apply_table,     multiply_by_inverse,
};

}  // namespace

// Rounds of one rule per node until none applies. Every rule makes the graph smaller or moves a node in one
// direction, so that this ends; the bound is for safety.
void simplify(Graph& graph, const Options&) {
  bool changed = true;
  for (int round = 0; changed && round < kMaxRounds; round++) {
    changed = false;
    ir::UseMap uses(graph);
    graph = rewrite(
        graph, [&](Graph& to, const ir::Node& node, const ir::Values& inputs) -> std::optional<ir::Values> {
          if (node.output_count() != 1 || inputs.empty() || node.body) return std::nullopt;
          for (SimplifyRule rule : kRules)
            if (ir::Value by = rule({to, node, inputs, uses})) {
              check(by.type() == node.type(), "simplify: ", node.op().name, " was replaced by another type");
              changed = true;
              return ir::Values{by};
            }
          return std::nullopt;
        });
  }
}

}  // namespace mezzo::passes
