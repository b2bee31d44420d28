#include "passes/fuse_flow.h"

#include <algorithm>

namespace mezzo::passes::fusion {

using namespace ir;

Flow::Flow(const Graph& graph) : graph_(graph), axes_(graph) {
  for (auto& node : graph.nodes()) {
    int at = size();
    position_.resize(static_cast<size_t>(node->id()) + 1, -1);
    position_[static_cast<size_t>(node->id())] = at;
    nodes_.push_back(node.get());
    lists_.push_back(node->output_count() > 0 ? axes_.of(node->out()) : AxisList{});
    folded_.emplace_back();
    order_.push_back(keeps_order(*node));
    Meaning meaning = node->op().meaning;
    check(meaning != Meaning::expand, "fuse: ", node->op().name, " was not expanded");
    Role role = Role::leaf;
    if (meaning == Meaning::scalar) {
      role = Role::scalar;
    } else if (meaning == Meaning::reduce) {
      role = Role::reduce;
      check(node->i("keepdims") == 1, "fuse: a reduction that drops its dims was not expanded");
      for (int64_t a : folded_axes(*node)) {
        AxisList part = axes_.of_dim(node->in(0), static_cast<int>(a));
        folded_.back().insert(folded_.back().end(), part.begin(), part.end());
      }
    } else if (meaning == Meaning::index) {
      bool view = order_.back() && axes_.of(node->in(0)) == lists_.back();
      role = view ? Role::view : repeats(*node) ? Role::repeat : Role::movement;
    } else if (meaning == Meaning::kernel || node->body) {
      role = Role::kernel;
    }
    roles_.push_back(role);
  }
  find_units();
}

Value Flow::source(Value v) const {
  for (Role r = role(position(v.node)); r == Role::view || r == Role::repeat; r = role(position(v.node)))
    v = v.node->in(0);
  return v;
}

Value Flow::stored(Value v) const {
  while (order_[static_cast<size_t>(position(v.node))]) v = v.node->in(0);
  return v;
}

Values Flow::origins(Value v) const {
  Values out, work{v};
  std::set<const Node*> seen;
  while (!work.empty()) {
    Value at = work.back();
    work.pop_back();
    Role r = role(position(at.node));
    if (r == Role::view || r == Role::repeat || r == Role::movement) {
      if (!seen.insert(at.node).second) continue;
      work.insert(work.end(), at.node->inputs().rbegin(), at.node->inputs().rend());
    } else if (std::find(out.begin(), out.end(), at) == out.end()) {
      out.push_back(at);
    }
  }
  return out;
}

int Flow::flops(int at) const {
  const Node& n = node(at);
  if (n.op().meaning != Meaning::scalar) return 1;
  const Scalar& s = n.op().scalar;
  switch (s.code) {
    case Code::program: return s.program ? static_cast<int>(s.program().body.size()) : 20;
    case Code::div:
    case Code::sqrt:
    case Code::fmod:
    case Code::mod: return 4;
    default: return 1;
  }
}

void Flow::find_units() {
  auto count = static_cast<size_t>(size());
  unit_.assign(count, false);
  forced_.assign(count, false);
  reads_.assign(count, {});
  users_.assign(count, {});
  auto force = [&](Value v) {
    auto at = static_cast<size_t>(position(stored(v).node));
    if (roles_[at] == Role::leaf) return;
    unit_[at] = forced_[at] = true;
  };
  for (size_t i = 0; i < count; i++) {
    if (roles_[i] == Role::scalar || roles_[i] == Role::reduce || roles_[i] == Role::kernel) unit_[i] = true;
    if (roles_[i] == Role::kernel)
      for (const Value& v : nodes_[i]->inputs())
        if (v) force(v);
  }
  for (const Output& o : graph_.outputs) force(o.value);
  for (const Update& u : graph_.updates) force(u.value);

  for (size_t i = 0; i < count; i++) {
    if (!unit_[i]) continue;
    for (Value v : nodes_[i]->inputs()) {
      if (!v) continue;
      if (roles_[i] == Role::kernel) {
        reads_[i].push_back({stored(v), false});
        continue;
      }
      Value from = source(v);
      bool aligned = role(position(from.node)) != Role::movement && roles_[i] != Role::movement;
      for (const Value& o : origins(v)) reads_[i].push_back({o, aligned});
    }
    for (const Read& r : reads_[i]) {
      auto& users = users_[static_cast<size_t>(position(r.value.node))];
      if (users.empty() || users.back() != static_cast<int>(i)) users.push_back(static_cast<int>(i));
    }
  }
}

}  // namespace mezzo::passes::fusion
