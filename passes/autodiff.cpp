// autodiff: appends the backward graph of output "loss" and outputs `grad:<parameter>`. See docs/autodiff.md.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/autodiff_time_loop.h"
#include "passes/differentiable.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

namespace {

Value checked_loss(const Graph& graph) {
  Value loss = graph.find_output(kLoss);
  if (!loss)
    throw Error(ErrorCode::usage, "the graph has no output named loss", "", "attach an objective first");
  require(is_float(loss.dtype()) && loss.type().count() == 1, "the loss must be one float, it is ",
          to_string(loss.type()));
  return loss;
}

// Puts the formulas of every composite without a gradient rule that stands on the way to the loss in its
// place.
void expand_composites_without_rule(Graph& graph) {
  for (bool again = true; again;) {
    Differentiable paths(graph, checked_loss(graph));
    auto stands_for_formulas = [&](const Node& node) {
      return !node.op().grad && node.op().meaning == Meaning::expand && paths.carries(node);
    };
    again = false;
    for (auto& node : graph.nodes()) again = again || stands_for_formulas(*node);
    if (!again) return;
    graph = rewrite(graph, [&](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
      if (!stands_for_formulas(node)) return std::nullopt;
      return expand_node(to, node, inputs);
    });
  }
}

// The reverse sweep over the nodes that a graph has when it is made.
class Sweep {
 public:
  Sweep(Graph& graph, Value loss) : graph_(graph), paths_(graph, loss) {
    for (auto& node : graph.nodes()) nodes_.push_back(node.get());
    Scope scope(graph_, Phase::backward, loss.node->origin);
    contribute(loss, reshape(make_loss_seed(graph_, compute_type(loss.dtype())), loss.dims()));
  }

  // Visits every node, those that have no gradient too: behind them the sweep goes on with zeros.
  void run() {
    for (auto it = nodes_.rbegin(); it != nodes_.rend(); ++it)
      if ((*it)->input_count() > 0 && paths_.carries(**it)) visit(**it);
    std::reverse(obstacles_.begin(), obstacles_.end());
  }

  std::vector<Obstacle>& obstacles() { return obstacles_; }

  void add_outputs() {
    // By name: an order that no pass changes, see first_bad.
    std::vector<Node*> parameters = paths_.parameters();
    std::sort(parameters.begin(), parameters.end(),
              [](Node* a, Node* b) { return a->s("name") < b->s("name"); });
    for (Node* parameter : parameters) {
      if (paths_.tie(*parameter) == Differentiable::Tie::none) continue;
      Scope scope(graph_, Phase::backward, parameter->origin);
      Value g = gradient(parameter->out());
      if (!g) g = expand(graph_.constant(0, gradient_type(parameter->out())), parameter->type().dims);
      graph_.outputs.push_back({kGradPrefix + parameter->s("name"), g});
    }
  }

 private:
  // The dtype in which the finished gradient of `v` is kept: that of v, except that weights get theirs
  // unrounded.
  DType gradient_type(Value v) const { return paths_.is_weight(v) ? compute_type(v.dtype()) : v.dtype(); }

  // `v` in the type that rules compute in.
  Value widened(Value v) {
    if (!v || !is_low(v.dtype())) return v;
    Value& wide = wide_[v];
    if (!wide) wide = cast(v, DType::f32);
    return wide;
  }

  // Adds `part` to the gradient of `v`, after summing out (or filling in) what broadcasting did to its shape.
  void contribute(Value v, Value part) {
    if (part.dims() != v.dims()) {
      part = cast(part, compute_type(v.dtype()));
      part = sum_to(expand(part, broadcast(part.dims(), v.dims())), v.dims());
    }
    parts_[v].push_back(part);
  }

  // The finished gradient of `v`: its parts summed in f32 (f64 for f64) and rounded once; absent without
  // parts.
  Value gradient(Value v) {
    auto found = parts_.find(v);
    if (found == parts_.end()) return {};
    const Values& parts = found->second;
    Value sum = parts[0];
    for (size_t i = 1; i < parts.size(); i++)
      sum = cast(sum, compute_type(v.dtype())) + cast(parts[i], compute_type(v.dtype()));
    return cast(sum, gradient_type(v));
  }

  void visit(const Node& node) {
    Scope scope(graph_, Phase::backward, node.origin);
    bool as_stored = node.op().precision == Precision::low;
    Grad g{node, {}, {}, {}, {}};
    bool reached = false;
    for (int k = 0; k < node.output_count(); k++) {
      Value out = node.out(k), dy = gradient(out);
      reached = reached || dy;
      if (dy) dy = as_stored ? cast(dy, out.dtype()) : widened(dy);
      g.out.push_back(as_stored ? out : widened(out));
      g.dy.push_back(dy);
    }
    if (!reached) return;
    for (size_t i = 0; i < node.input_count(); i++) {
      g.in.push_back(as_stored ? node.in(i) : widened(node.in(i)));
      g.needs.push_back(Differentiable::carries(node, i) && paths_.carries(node.in(i)));
    }
    Values parts;
    try {
      if (is_time_loop(node))
        parts = differentiate_time_loop(node, g.dy, g.needs);
      else
        parts = (node.op().grad ? node.op().grad : not_differentiable)(g);
    } catch (const Error& e) {  // some rules refuse certain attributes only
      if (e.code() != ErrorCode::unsupported) throw;
      obstacles_.push_back({std::string(node.op().name), node.origin, e.what(), parameters_behind(node)});
      parts.resize(node.input_count());
      for (size_t i = 0; i < parts.size(); i++)
        if (g.needs[i])
          parts[i] = expand(graph_.constant(0, compute_type(node.in_type(i).dtype)), node.in_type(i).dims);
    }
    for (size_t i = 0; i < parts.size(); i++) {
      if (!parts[i]) continue;
      check(i < node.input_count(), node.op().name, " has a gradient for input ", i, ", which was not given");
      if (g.needs[i]) contribute(node.in(i), parts[i]);
    }
  }

  // The parameters whose gradient would pass `node`.
  std::vector<std::string> parameters_behind(const Node& node) const {
    std::vector<std::string> names;
    std::unordered_set<const Node*> seen{&node};
    for (std::vector<const Node*> open{&node}; !open.empty();) {
      const Node* at = open.back();
      open.pop_back();
      if (is_state(*at)) names.push_back(at->s("name"));
      for (size_t i = 0; i < at->input_count(); i++)
        if (Differentiable::carries(*at, i) && paths_.carries(at->in(i)) &&
            seen.insert(at->in(i).node).second)
          open.push_back(at->in(i).node);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  Graph& graph_;
  Differentiable paths_;
  std::vector<Node*> nodes_;
  std::unordered_map<Value, Values, ValueHash> parts_;
  std::unordered_map<Value, Value, ValueHash> wide_;
  std::vector<Obstacle> obstacles_;
};

}  // namespace

std::vector<Obstacle> missing_gradients(const Graph& graph) {
  Graph copy = clone(graph);
  expand_composites_without_rule(copy);
  Sweep sweep(copy, checked_loss(copy));
  sweep.run();
  return std::move(sweep.obstacles());
}

void autodiff(Graph& graph, const Options&) {
  expand_composites_without_rule(graph);
  Sweep sweep(graph, checked_loss(graph));
  sweep.run();
  if (const std::vector<Obstacle>& found = sweep.obstacles(); !found.empty()) {
    std::string list;
    for (const Obstacle& o : found) list += (list.empty() ? "" : ", ") + describe(o.op, o.origin);
    throw Error(ErrorCode::unsupported, concat("no gradient for ", list),
                found[0].origin.empty() ? "" : found[0].origin[0],
                "freeze the parameters behind it, or replace it in the model");
  }
  sweep.add_outputs();
  graph.remove_dead_nodes();
}

}  // namespace mezzo::passes
