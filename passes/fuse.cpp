// fuse: scalar, index and reduce primitives -> Kernel nodes. What remains outside of Kernels: leaves, ops
// with a kernel of their own, and Reshapes, which are aliases.
#include <algorithm>
#include <map>
#include <queue>

#include "ir/build.h"
#include "passes/fuse_body.h"
#include "passes/kernel_check.h"
#include "passes/passes.h"

namespace mezzo::passes {

using namespace ir;
using namespace fusion;

namespace {

// Copies the graph kernel by kernel.
class Assembly {
 public:
  explicit Assembly(const Groups& groups) : groups_(groups), flow_(groups.flow()) {}

  Graph run() {
    const Graph& from = flow_.graph();
    to_.name = from.name;
    to_.tensors = from.tensors;
    for (int at = 0; at < flow_.size(); at++)
      if (flow_.role(at) == Role::leaf) record(at, copy_node(to_, flow_.node(at), {}));
    for (int g : in_order()) emit(g);
    for (const Output& o : from.outputs) to_.outputs.push_back({o.name, use(o.value)});
    for (const Update& u : from.updates)
      to_.updates.push_back({use(u.state->out()).node, use(u.value), u.unconditional});
    to_.remove_dead_nodes();
    return std::move(to_);
  }

 private:
  // Topological, smallest position first.
  std::vector<int> in_order() const {
    size_t count = groups_.all().size();
    std::vector<int> missing(count, 0), order;
    std::vector<std::set<int>> next(count);
    for (size_t g = 0; g < count; g++)
      for (int from : needs(static_cast<int>(g)))
        if (next[static_cast<size_t>(from)].insert(static_cast<int>(g)).second) missing[g]++;
    std::priority_queue<std::pair<int, int>, std::vector<std::pair<int, int>>, std::greater<>> ready;
    auto push = [&](int g) { ready.push({groups_.all()[static_cast<size_t>(g)].units.back(), g}); };
    size_t alive = 0;
    for (size_t g = 0; g < count; g++) {
      if (!groups_.all()[g].alive) continue;
      alive++;
      if (missing[g] == 0) push(static_cast<int>(g));
    }
    while (!ready.empty()) {
      int g = ready.top().second;
      ready.pop();
      order.push_back(g);
      for (int n : next[static_cast<size_t>(g)])
        if (--missing[static_cast<size_t>(n)] == 0) push(n);
    }
    check(order.size() == alive, "fuse: the kernels depend on each other in a cycle");
    return order;
  }

  std::set<int> needs(int g) const {
    const Group& group = groups_.all()[static_cast<size_t>(g)];
    std::set<int> out;
    if (!group.alive) return out;
    auto need = [&](Value v) {
      int at = flow_.position(v.node);
      if (flow_.is_unit(at)) out.insert(groups_.group_of(at));
    };
    if (group.segments.empty())
      for (const Read& read : flow_.reads(group.units[0])) need(read.value);
    for (const Value& v : groups_.inputs(group)) need(v);
    return out;
  }

  void record(int at, const Values& values) {
    for (size_t k = 0; k < values.size(); k++) now_[{at, static_cast<int>(k)}] = values[k];
  }

  // The value in the new graph with the elements of `stored` (a leaf or unit), as `dims`.
  Value view(Value stored, const Dims& dims) {
    Value v = now_.at({flow_.position(stored.node), stored.index});
    if (v.dims() == dims) return v;
    Value& cached = views_[{v.node->id(), v.index, dims}];
    if (!cached) cached = reshape(v, dims);
    return cached;
  }
  Value use(Value old) { return old ? view(flow_.stored(old), old.dims()) : old; }

  void emit(int g) {
    const Group& group = groups_.all()[static_cast<size_t>(g)];
    if (group.segments.empty()) {
      const Node& n = flow_.node(group.units[0]);
      Scope scope(to_, n);
      Values inputs;
      for (const Value& v : n.inputs()) inputs.push_back(use(v));
      record(group.units[0], copy_node(to_, n, std::move(inputs)));
      return;
    }
    Origin origin;
    for (const Segment& s : group.segments)
      for (int unit : s.members) origin = merge(origin, flow_.node(unit).origin);
    Scope scope(to_, group.phase, std::move(origin));
    Body body = build_body(groups_, group);
    check_kernel(*body.graph);
    Values inputs;
    for (auto& [v, dims] : body.inputs) inputs.push_back(view(v, dims));
    Node* kernel = add_kernel(to_, std::move(inputs), std::move(body.graph));
    for (size_t k = 0; k < body.outputs.size(); k++) {
      const Node& n = flow_.node(body.outputs[k]);
      Value v = reshape(kernel->out(static_cast<int>(k)), n.type().dims);
      record(body.outputs[k], {v});
    }
  }

  const Groups& groups_;
  const Flow& flow_;
  Graph to_;
  std::map<std::pair<int, int>, Value> now_;
  std::map<std::tuple<int, int, Dims>, Value> views_;
};

}  // namespace

void fuse(Graph& graph, const Options&) {
  graph.remove_dead_nodes();
  Flow flow(graph);
  Groups groups(flow);
  groups.grow();
  groups.recompute();
  groups.merge_siblings();
  groups.bundle();
  graph = Assembly(groups).run();
}

}  // namespace mezzo::passes
