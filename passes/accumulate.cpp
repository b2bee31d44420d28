// accumulate: one differentiated graph -> a micro-batch graph that adds to accumulators, and a graph that
// applies them.
#include <algorithm>
#include <unordered_map>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

namespace {

Value copy_state(Graph& to, const Graph& from, const Node& state, const std::string& name, StateKind kind) {
  auto start = from.tensors.find(state.s("name"));
  if (start != from.tensors.end()) to.tensors[name] = start->second;
  return to.state(name, state.type(), kind, state.f("init"));
}

// In `micro`, every state that a step commits is replaced by its pending twin, which starts a window from the
// committed value and is updated by every micro-batch; `apply` commits the twin.
void defer_commits(Graph& micro, Graph& apply) {
  std::vector<const Node*> committed;
  for (const Update& u : micro.updates) {
    if (u.unconditional) continue;
    committed.push_back(u.state);
    const std::string& name = u.state->s("name");
    Value state = copy_state(apply, micro, *u.state, name, *parse_state_kind(u.state->s("kind")));
    Value pending = copy_state(apply, micro, *u.state, name + kPendingSuffix, StateKind::accumulator);
    apply.updates.push_back({state.node, pending, false});
  }
  if (committed.empty()) return;
  Graph before = std::move(micro);
  std::unordered_map<const Node*, Node*> twin_of;  // by the node that stands for the state's value
  micro = rewrite(before, [&](Graph& to, const Node& node, const Values&) -> std::optional<Values> {
    if (std::find(committed.begin(), committed.end(), &node) == committed.end()) return std::nullopt;
    const std::string& name = node.s("name");
    Value state = copy_state(to, before, node, name, *parse_state_kind(node.s("kind")));
    Value pending = copy_state(to, before, node, name + kPendingSuffix, StateKind::accumulator);
    Value samples = find_or_make_state(to, kSampleCount, {DType::i64, {}}, StateKind::accumulator, 0);
    Value now = where(equal(samples, constant_like(samples, 0)), state, pending);
    twin_of[now.node] = pending.node;
    return Values{now};
  });
  for (Update& u : micro.updates) {
    auto twin = twin_of.find(u.state);
    if (twin != twin_of.end()) u = {twin->second, u.value, true};
  }
  micro.remove_dead_nodes();
}

// `sum += samples * v` in micro; returns the sum in apply, which starts the next window from zero.
Value sum_over_window(Graph& micro, Graph& apply, const std::string& name, Value v, int64_t samples) {
  Type type{compute_type(v.dtype()), v.dims()};
  Value in_micro = find_or_make_state(micro, name.c_str(), type, StateKind::accumulator, 0);
  v = cast(v, type.dtype);
  micro.updates.push_back(
      {in_micro.node, in_micro + (samples == 1 ? v : v * static_cast<double>(samples)), true});
  Value in_apply = apply.state(name, type, StateKind::accumulator);
  // Not in_apply * 0, which would keep a NaN for ever.
  apply.updates.push_back({in_apply.node, expand(constant_like(in_apply, 0), type.dims), true});
  return in_apply;
}

}  // namespace

Graph accumulate(Graph& micro, const Options& options) {
  check(options.samples > 0, "accumulate: a micro-batch needs at least one sample");
  Graph apply;
  apply.name = micro.name + "_apply";
  apply.phase = micro.phase = Phase::update;
  defer_commits(micro, apply);
  micro.phase = Phase::update;

  Value one = micro.constant(static_cast<double>(options.samples), DType::i64);
  Value samples = sum_over_window(micro, apply, kSampleCount, one, 1);
  Value count = cast(samples, DType::f32);
  Value loss = micro.find_output(kLoss);
  apply.outputs.push_back({kLoss, sum_over_window(micro, apply, kLossSum, loss, options.samples) /
                                      cast(count, compute_type(loss.dtype()))});
  for (size_t at : gradient_outputs(micro)) {
    const Output& gradient = micro.outputs[at];
    const Node* parameter = parameter_of(micro, gradient);
    if (options.optimizer) {
      // Keeps the parameter and its copies in the graph until add_optimizer updates them.
      Value kept = copy_state(apply, micro, *parameter, parameter->s("name"), StateKind::parameter);
      apply.updates.push_back({kept.node, kept, false});
      for (const Node* copy : copies_of(micro, parameter->s("name"))) {
        Value low = copy_state(apply, micro, *copy, copy->s("name"), StateKind::copy);
        apply.updates.push_back({low.node, low, false});
      }
    }
    Value sum =
        sum_over_window(micro, apply, parameter->s("name") + kGradSumSuffix, gradient.value, options.samples);
    apply.outputs.push_back({gradient.name, sum / cast(count, sum.dtype())});
  }
  std::erase_if(micro.outputs, [](const Output& o) { return o.name.starts_with(kGradPrefix); });
  std::erase_if(micro.updates, [](const Update& u) { return u.value == u.state->out(); });
  return apply;
}

}  // namespace mezzo::passes
