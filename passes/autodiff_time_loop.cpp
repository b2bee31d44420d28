// autodiff_time_loop.cpp: backpropagation through time.
//
// The backward step finds the gradients of what its step left behind (carried from the step after), the
// carried values as the step found them (the forward loop keeps their history), the slices and invariants of
// the step, and what the step yielded. It computes again what lies between; a value that was yielded is not
// computed again, which is why a step yields what is expensive. An invariant's gradient is summed over the
// steps; where it is a product a'b of per-step rows, a and b are yielded instead and multiplied once for all
// steps.
#include "passes/autodiff_time_loop.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ir/op.h"
#include "ir/ops/time_loop.h"
#include "passes/differentiable.h"

namespace mezzo::passes {

using namespace ir;

namespace {

Graph without_ruleless_composites(const Graph& body) {
  Graph out = clone(body);
  auto ruleless = [](const Node& n) { return !n.op().grad && n.op().meaning == Meaning::expand; };
  while (std::any_of(out.nodes().begin(), out.nodes().end(), [&](auto& n) { return ruleless(*n); }))
    out = rewrite(out, [&](Graph& to, const Node& n, const Values& inputs) -> std::optional<Values> {
      return ruleless(n) ? std::optional(expand_node(to, n, inputs)) : std::nullopt;
    });
  return out;
}

Value zeros(Graph& graph, const Type& type) { return expand(graph.constant(0, type.dtype), type.dims); }

// The type in which a gradient is carried and summed.
Type gradient_type(const Type& t) { return {compute_type(t.dtype), t.dims}; }

class BackwardStep {
 public:
  BackwardStep(const Node& loop, const Values& dy, const std::vector<bool>& needs)
      : node_(loop),
        spec_(spec_of(loop)),
        dy_(dy),
        needs_(needs),
        primal_(without_ruleless_composites(*loop.body)) {
    step_->phase = Phase::backward;
    step_->origin = loop.origin;
  }

  Values run() {
    const size_t carried = spec_.carried.size(), scanned = spec_.scanned.size();
    for (size_t k = 0; k < carried; k++) {
      const Type& t = spec_.carried[k].type();
      const bool flows = is_float(t.dtype);
      Value start = dy_[k]  ? cast(dy_[k], compute_type(t.dtype))
                    : flows ? zeros(graph(), gradient_type(t))
                            : Value{};
      gradients_in_.push_back(flows ? add(carried_, gradient_type(t), start) : Value{});
    }
    copy_primal();
    seed();
    sweep();
    for (size_t k = 0; k < carried; k++)
      if (gradients_in_[k]) left_.push_back(gradient_or_zeros(inputs_[k]));
    Values out(node_.input_count());
    std::vector<std::pair<size_t, size_t>> yielded, summed;  // (input, number of yield or carried value)
    for (size_t i = carried; i < carried + scanned; i++)
      if (wanted(i)) yielded.emplace_back(i, yield(gradient_or_zeros(inputs_[i])));
    struct Product {
      size_t input, left, right;
    };
    std::vector<Product> products;
    for (size_t i = carried + scanned; i < node_.input_count(); i++) {
      if (!wanted(i)) continue;
      Value g = gradient(inputs_[i]);
      if (!g) continue;
      if (const Node& n = *g.node; is_dot(n) && !n.has(2) && n.in(0).rank() == 2 && n.in(1).rank() == 2 &&
                                   n.i("trans_a") != 0 && n.i("trans_b") == 0) {
        products.push_back({i, yield(n.in(0)), yield(n.in(1))});
        continue;
      }
      const Type type = gradient_type(node_.in_type(i));
      Value sum = add(carried_, type, zeros(graph(), type));
      summed.emplace_back(i, left_.size());
      left_.push_back(sum + cast(g, type.dtype));
    }
    TimeLoopResults results = finish();
    size_t next = 0;
    for (size_t k = 0; k < carried; k++)
      if (gradients_in_[k]) out[k] = results.last[next++];
    for (auto& [i, at] : yielded) out[i] = results.yields[at];
    for (auto& [i, at] : summed) out[i] = results.last[at];
    for (const Product& p : products)
      out[p.input] = dot(rows(results.yields[p.left]), rows(results.yields[p.right]),
                         {.trans_a = true, .out = compute_type(node_.in_type(p.input).dtype)});
    return out;
  }

 private:
  // An input of the backward step and what it stands for outside.
  struct Inlet {
    Value inside, outside;
  };
  using Inlets = std::vector<Inlet>;

  Graph& graph() { return node_.graph(); }

  Value add(Inlets& where, const Type& type, Value outside) {
    Value inside = step_->input(mezzo::concat("i", next_name_++), type);
    where.push_back({inside, outside});
    return inside;
  }
  Value add_slice(Value all) {
    Type type = all.type();
    type.dims.erase(type.dims.begin());
    return add(scanned_, type, all);
  }

  bool wanted(size_t i) const { return needs_[i] && is_float(node_.in_type(i).dtype); }

  // [steps, B, N] -> [steps * B, N]
  static Value rows(Value v) { return reshape(v, {v.dims()[0] * v.dims()[1], v.dims()[2]}); }

  // What the steps found carried value k to be: its history one step later.
  Value found(size_t k) {
    Value history = node_.out(static_cast<int>(spec_.carried.size() + k)), start = spec_.carried[k];
    Dims first{1};
    first.insert(first.end(), start.dims().begin(), start.dims().end());
    start = reshape(start, first);
    if (spec_.steps == 1) return start;
    if (spec_.reverse) return concat({slice(history, {1}, {spec_.steps}, {0}, {1}), start}, 0);
    return concat({start, slice(history, {0}, {spec_.steps - 1}, {0}, {1})}, 0);
  }

  void copy_primal() {
    const size_t carried = spec_.carried.size(), scanned = spec_.scanned.size();
    for (auto& n : primal_.nodes()) {
      if (!is_input(*n)) continue;
      const size_t i = inputs_.size();
      inputs_.push_back(n->out());
      Value v = i < carried             ? add_slice(found(i))
                : i < carried + scanned ? add_slice(node_.in(i))
                                        : add(invariant_, n->type(), node_.in(i));
      use_[n->out()] = v;
      if (is_float(n->type().dtype)) moving_.insert(n.get());
    }
    std::unordered_map<Value, Value, ValueHash> saved;
    for (size_t r = carried; r < primal_.outputs.size(); r++) {
      Value v = primal_.outputs[r].value;
      if (!is_input(*v.node)) saved.emplace(v, add_slice(node_.out(static_cast<int>(carried + r))));
    }
    for (auto& n : primal_.nodes()) {
      if (is_input(*n)) continue;
      Values in;
      for (const Value& v : n->inputs()) in.push_back(v ? use_.at(v) : v);
      Values out = copy_node(*step_, *n, in);
      out[0].node->phase = Phase::backward;
      copy_[n.get()] = out[0].node;
      for (int k = 0; k < n->output_count(); k++) {
        auto it = saved.find(n->out(k));
        use_[n->out(k)] = it == saved.end() ? out[static_cast<size_t>(k)] : it->second;
      }
      for (size_t i = 0; i < n->input_count(); i++)
        if (Differentiable::carries(*n, i) && moving_.count(n->in(i).node)) moving_.insert(n.get());
    }
  }

  void seed() {
    const size_t carried = spec_.carried.size();
    for (size_t r = 0; r < primal_.outputs.size(); r++) {
      Value v = primal_.outputs[r].value;
      if (r < carried && gradients_in_[r]) parts_[v].push_back(gradients_in_[r]);
      if (Value dy = dy_[carried + r]; dy && is_float(v.dtype())) parts_[v].push_back(add_slice(dy));
    }
  }

  Value widened(Value v) { return v && is_low(v.dtype()) ? cast(v, DType::f32) : v; }

  // Summed in f32 (f64 for f64); absent without parts.
  Value gradient(Value primal) {
    auto it = parts_.find(primal);
    if (it == parts_.end()) return {};
    const DType wide = compute_type(primal.dtype());
    Value sum = it->second[0];
    for (size_t i = 1; i < it->second.size(); i++) sum = cast(sum, wide) + cast(it->second[i], wide);
    return sum;
  }
  Value gradient_or_zeros(Value primal) {
    Value g = gradient(primal);
    return g ? cast(g, compute_type(primal.dtype())) : zeros(*step_, gradient_type(primal.type()));
  }

  void contribute(Value primal, Value part) {
    if (part.dims() != primal.dims()) {
      part = cast(part, compute_type(primal.dtype()));
      part = sum_to(expand(part, broadcast(part.dims(), primal.dims())), primal.dims());
    }
    parts_[primal].push_back(part);
  }

  void sweep() {
    for (auto it = primal_.nodes().rbegin(); it != primal_.nodes().rend(); ++it) {
      const Node& n = **it;
      if (is_input(n) || !moving_.count(&n)) continue;
      const bool as_stored = n.op().precision == ir::Precision::low;
      Grad g{*copy_.at(&n), {}, {}, {}, {}};
      bool reached = false;
      for (int k = 0; k < n.output_count(); k++) {
        Value out = use_.at(n.out(k)), dy = gradient(n.out(k));
        reached |= static_cast<bool>(dy);
        g.out.push_back(as_stored ? out : widened(out));
        g.dy.push_back(dy ? as_stored ? cast(dy, out.dtype()) : widened(dy) : dy);
      }
      if (!reached) continue;
      for (size_t i = 0; i < n.input_count(); i++) {
        Value in = n.has(i) ? use_.at(n.in(i)) : Value{};
        g.in.push_back(as_stored ? in : widened(in));
        g.needs.push_back(Differentiable::carries(n, i) && moving_.count(n.in(i).node));
      }
      check(n.op().grad, "a step has ", n.op().name, ", which has no gradient");
      Values parts = n.op().grad(g);
      for (size_t i = 0; i < parts.size(); i++)
        if (parts[i] && g.needs[i]) contribute(n.in(i), parts[i]);
    }
  }

  size_t yield(Value v) {
    yields_.push_back(v);
    return yields_.size() - 1;
  }

  // Inlets that the step does not read are left out.
  TimeLoopResults finish() {
    for (const Values* values : {&left_, &yields_})
      for (const Value& v : *values) step_->outputs.push_back({mezzo::concat("o", step_->outputs.size()), v});
    step_->remove_dead_nodes();
    UseMap uses(*step_);
    TimeLoopSpec spec{{}, {}, {}, spec_.steps, !spec_.reverse};
    std::unordered_set<const Node*> kept;
    auto take = [&](const Inlets& inlets, Values& to, bool always) {
      for (const Inlet& inlet : inlets) {
        if (!always && uses.count(inlet.inside) == 0) continue;
        kept.insert(inlet.inside.node);
        to.push_back(inlet.outside);
      }
    };
    take(carried_, spec.carried, true);
    take(scanned_, spec.scanned, false);
    take(invariant_, spec.invariant, false);
    // Inputs in the order in which the node gives them.
    Graph ordered;
    std::unordered_map<const Node*, Value> now;
    for (const Inlets* inlets : {&carried_, &scanned_, &invariant_})
      for (const Inlet& inlet : *inlets)
        if (kept.count(inlet.inside.node))
          now[inlet.inside.node] = ordered.input(inlet.inside.node->s("name"), inlet.inside.type());
    std::unordered_map<const Node*, Values> copies;
    auto map = [&](Value v) {
      return !v || is_input(*v.node) ? (v ? now.at(v.node) : v)
                                     : copies.at(v.node)[static_cast<size_t>(v.index)];
    };
    for (auto& n : step_->nodes()) {
      if (is_input(*n)) continue;
      Values in;
      for (const Value& v : n->inputs()) in.push_back(map(v));
      copies[n.get()] = copy_node(ordered, *n, std::move(in));
    }
    for (const Output& o : step_->outputs) ordered.outputs.push_back({o.name, map(o.value)});
    return time_loop(spec, std::make_unique<Graph>(std::move(ordered)));
  }

  const Node& node_;
  const TimeLoopSpec spec_;
  const Values& dy_;
  const std::vector<bool>& needs_;
  Graph primal_;
  std::unique_ptr<Graph> step_ = std::make_unique<Graph>();
  int next_name_ = 0;
  Inlets carried_, scanned_, invariant_;
  Values gradients_in_;  // per carried value: its gradient after the step; absent for integers
  Values inputs_;        // of primal_
  std::unordered_map<Value, Value, ValueHash> use_;  // primal value -> what the step reads in its place
  std::unordered_map<const Node*, Node*> copy_;
  std::unordered_set<const Node*> moving_;  // nodes of primal_ that depend on a float input
  std::unordered_map<Value, Values, ValueHash> parts_;
  Values left_, yields_;
};

}  // namespace

Values differentiate_time_loop(const Node& loop, const Values& dy, const std::vector<bool>& needs) {
  return BackwardStep(loop, dy, needs).run();
}

}  // namespace mezzo::passes
