// recognize: what exporters write for an op that their opset lacks (its record says how) -> the op. Before
// precision is assigned: the classes of the single steps (a variance's square, a division) would keep whole
// layers in f32. Never needed for correctness.
#include <algorithm>
#include <unordered_map>

#include "ir/build.h"
#include "ir/pattern.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::Node;
using ir::Value;
using ir::Values;

constexpr int kMaxRounds = 4;  // what is recognized may be a part of something else

struct Form {
  const ir::Decomposition* decomposition;
  ir::Pattern pattern;
};

std::vector<Form> all_forms() {
  std::vector<Form> forms;
  for (const ir::OpDef* op : ir::all_ops())
    if (op->decompositions)
      for (const ir::Decomposition& d : op->decompositions())
        forms.push_back({&d, ir::parse_pattern(d.pattern)});
  return forms;
}

struct Found {
  const ir::Decomposition* decomposition;
  ir::Match match;
};
using Plan = std::unordered_map<const Node*, Found>;  // by root; looked up only

// Nobody outside of the match reads what is inside.
bool is_closed(const ir::UseMap& uses, const Node* root, const ir::Match& match) {
  for (const Node* node : match.nodes()) {
    if (node == root) continue;
    for (int k = 0; k < node->output_count(); k++) {
      const auto& readers = uses.of(node->out(k));
      if (uses.count(node->out(k)) != readers.size()) return false;
      if (std::any_of(readers.begin(), readers.end(),
                      [&](auto& use) { return !match.nodes().count(use.node); }))
        return false;
    }
  }
  return true;
}

// From the last node to the first: the whole before its parts.
Plan find_all(const ir::Graph& graph, const std::vector<Form>& forms) {
  Plan plan;
  ir::UseMap uses(graph);
  std::set<const Node*> taken;
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node* node = it->get();
    if (node->output_count() == 0 || node->input_count() == 0 || taken.count(node)) continue;
    for (const Form& form : forms) {
      std::optional<ir::Match> match = ir::match(form.pattern, node->out());
      // What is only looked through is no root: the node behind it is.
      if (!match || match->value(form.pattern.root).node != node) continue;
      if (!is_closed(uses, node, *match) || (form.decomposition->fits && !form.decomposition->fits(*match)))
        continue;
      taken.insert(match->nodes().begin(), match->nodes().end());
      plan.emplace(node, Found{form.decomposition, std::move(*match)});
      break;
    }
  }
  return plan;
}

}  // namespace

void recognize(Graph& graph, const Options&) {
  const std::vector<Form> forms = all_forms();
  for (int round = 0; round < kMaxRounds; round++) {
    Plan plan = find_all(graph, forms);
    if (plan.empty()) return;
    std::unordered_map<Value, Value, ir::ValueHash> now;
    graph = rewrite(graph, [&](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
      for (size_t i = 0; i < inputs.size(); i++) now.emplace(node.in(i), inputs[i]);
      auto found = plan.find(&node);
      if (found == plan.end()) return std::nullopt;
      const ir::Match& match = found->second.match;
      ir::Origin origin;
      for (const Node* part : match.nodes()) origin = ir::merge(origin, part->origin);
      ir::Scope scope(to, node.phase, std::move(origin));
      Values by = found->second.decomposition->build(to, match, [&](Value v) { return now.at(v); });
      for (size_t k = 0; k < by.size(); k++)
        check(!by[k] || by[k].type() == node.type(static_cast<int>(k)), "recognize: ", node.op().name,
              " was replaced by another type");
      return by;
    });
  }
}

}  // namespace mezzo::passes
