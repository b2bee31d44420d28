#include "passes/differentiable.h"

#include <algorithm>

#include "ir/op.h"

namespace mezzo::passes {

using namespace ir;

namespace {

bool is_parameter(const Node& node) { return is_state(node) && node.s("kind") == name(StateKind::parameter); }

bool any_float_output(const Node& node) {
  return std::any_of(node.types().begin(), node.types().end(),
                     [](const Type& t) { return is_float(t.dtype); });
}

}  // namespace

Differentiable::Differentiable(const Graph& graph, Value loss) : graph_(graph) {
  int last = -1;
  for (auto& node : graph.nodes()) last = std::max(last, node->id());
  facts_.resize(static_cast<size_t>(last + 1));
  for (auto& node : graph.nodes()) {
    Facts& f = facts_[static_cast<size_t>(node->id())];
    f.ties.assign(node->types().size(), Tie::none);
    if (is_parameter(*node) && any_float_output(*node)) {
      f = {true, true, std::move(f.ties)};
      parameters_.push_back(node.get());
      continue;
    }
    f.weight = !is_input(*node) && !is_state(*node);
    for (size_t i = 0; i < node->input_count(); i++) {
      if (!node->has(i)) continue;
      const Facts& from = facts_[static_cast<size_t>(node->in(i).node->id())];
      f.weight = f.weight && from.weight;
      f.trained = f.trained || (from.trained && carries(*node, i));
    }
    f.trained = f.trained && any_float_output(*node);
  }
  facts_[static_cast<size_t>(loss.node->id())].ties[static_cast<size_t>(loss.index)] = Tie::full;
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node& node = **it;
    Tie tie = Tie::none;
    for (int k = 0; k < node.output_count(); k++)
      if (is_float(node.type(k).dtype))
        tie = std::max(tie, facts_[static_cast<size_t>(node.id())].ties[static_cast<size_t>(k)]);
    if (node.op().grad == zero_gradient) tie = std::min(tie, Tie::flat);
    for (size_t i = 0; i < node.input_count(); i++) {
      if (!carries(node, i)) continue;
      Tie& to =
          facts_[static_cast<size_t>(node.in(i).node->id())].ties[static_cast<size_t>(node.in(i).index)];
      to = std::max(to, tie);
    }
  }
}

const Differentiable::Facts* Differentiable::facts(const Node& node) const {
  auto at = static_cast<size_t>(node.id());
  return at < facts_.size() ? &facts_[at] : nullptr;
}

bool Differentiable::carries(Value v) const {
  const Facts* f = v ? facts(*v.node) : nullptr;
  return f && f->trained && is_float(v.dtype()) && f->ties[static_cast<size_t>(v.index)] == Tie::full;
}

bool Differentiable::carries(const Node& node) const {
  for (int k = 0; k < node.output_count(); k++)
    if (carries(node.out(k))) return true;
  return false;
}

bool Differentiable::carries(const Node& node, size_t input) {
  const std::vector<int>& never = node.op().no_grad_inputs;
  return node.has(input) && is_float(node.in_type(input).dtype) &&
         std::find(never.begin(), never.end(), static_cast<int>(input)) == never.end();
}

bool Differentiable::is_weight(Value v) const {
  const Facts* f = v ? facts(*v.node) : nullptr;
  return f && f->weight;
}

Differentiable::Tie Differentiable::tie(const Node& parameter) const {
  const Facts* f = facts(parameter);
  return f ? f->ties[0] : Tie::none;
}

std::vector<const Node*> Differentiable::flat_nodes() const {
  std::vector<const Node*> out;
  for (auto& node : graph_.nodes()) {
    if (node->input_count() == 0 || node->op().grad != zero_gradient) continue;
    const Facts& f = *facts(*node);
    if (f.trained && std::any_of(f.ties.begin(), f.ties.end(), [](Tie t) { return t != Tie::none; }))
      out.push_back(node.get());
  }
  return out;
}

std::string describe(std::string_view op, const Origin& origin) {
  std::string names;
  for (const std::string& n : origin) names += (names.empty() ? "" : ", ") + n;
  return names.empty() ? std::string(op) : concat(op, " (", names, ")");
}

}  // namespace mezzo::passes
