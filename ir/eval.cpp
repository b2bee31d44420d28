#include "ir/eval.h"

#include <cstring>
#include <unordered_map>

#include "ir/build.h"
#include "ir/eval_loops.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// What a value of `type` is held as.
Type held_type(Type type, EvalMode mode) {
  if (mode == EvalMode::exact && is_float(type.dtype)) type.dtype = DType::f64;
  return type;
}

// A tensor that lives elsewhere, at least as long as the evaluation.
TensorPtr borrow(const Tensor& t) { return TensorPtr(TensorPtr(), &t); }

TensorPtr hold(TensorPtr t, EvalMode mode) {
  DType dtype = held_type(t->type(), mode).dtype;
  return dtype == t->dtype() ? t : std::make_shared<const Tensor>(t->cast(dtype));
}

using Feed = std::function<TensorPtr(const Node& leaf)>;  // the value of an Input or State
using Held = std::vector<TensorPtr>;

constexpr int64_t kInlineConstant =
    16;  // an expansion may look at constants up to this size (exponents, bounds)

// The small graph a composite node stands for: inputs "0", "1", ...
Graph expansion_of(const Node& node) {
  Graph g;
  Scope scope(g, node);
  Values inputs;
  for (size_t i = 0; i < node.input_count(); i++) {
    Value v = node.in(i);
    if (!v) {
      inputs.emplace_back();
      continue;
    }
    TensorPtr known = constant_of(v);
    bool small = known && known->count() <= kInlineConstant;
    inputs.push_back(small ? g.constant(*known) : g.input(std::to_string(i), v.type()));
  }
  Values results = expand_node(g, node, std::move(inputs));
  for (size_t k = 0; k < results.size(); k++) {
    const Type& type = node.type(static_cast<int>(k));
    check(results[k].dims() == type.dims, node.op().name, ": its expansion gives ",
          to_string(results[k].type()), " instead of ", to_string(type));
    g.outputs.push_back({std::to_string(k), results[k]});
  }
  return g;
}

std::vector<Held> execute(const Graph& graph, const Feed& feed, EvalMode mode);

// The outputs of a graph whose Input leaves, told apart by `number`, are the given tensors.
Held execute_outputs(const Graph& graph, const Held& in, const std::function<size_t(const Node&)>& number,
                     EvalMode mode) {
  std::vector<Held> values = execute(
      graph, [&](const Node& leaf) { return in.at(number(leaf)); }, mode);
  std::unordered_map<const Node*, size_t> position;
  for (size_t i = 0; i < graph.size(); i++) position[graph.nodes()[i].get()] = i;
  Held out;
  for (const Output& o : graph.outputs)
    out.push_back(values[position.at(o.value.node)][static_cast<size_t>(o.value.index)]);
  return out;
}

Held execute_composite(const Node& node, const Held& in, EvalMode mode) {
  Graph g = expansion_of(node);
  return execute_outputs(
      g, in, [](const Node& leaf) { return std::stoul(leaf.s("name")); }, mode);
}

Held execute_kernel(const Node& node, const Held& in, EvalMode mode) {
  std::unordered_map<const Node*, size_t> numbers;
  for (auto& n : node.body->nodes())
    if (is_input(*n)) numbers.emplace(n.get(), numbers.size());
  return execute_outputs(
      *node.body, in, [&](const Node& leaf) { return numbers.at(&leaf); }, mode);
}

// Step by step. A slice of a scanned input is a tensor of its own.
Held execute_time_loop(const Node& node, const Held& in, EvalMode mode) {
  const auto carried = static_cast<size_t>(node.i("carried")), scanned = static_cast<size_t>(node.i("scanned"));
  const int64_t steps = node.i("steps");
  std::vector<Tensor> out;
  for (const Type& t : node.types()) out.emplace_back(held_type(t, mode));
  std::unordered_map<const Node*, size_t> numbers;
  for (auto& n : node.body->nodes())
    if (is_input(*n)) numbers.emplace(n.get(), numbers.size());
  Held now = in;
  for (int64_t k = 0; k < steps; k++) {
    const int64_t t = node.i("reverse") != 0 ? steps - 1 - k : k;
    for (size_t i = carried; i < carried + scanned; i++) {
      Type type = in[i]->type();
      type.dims.erase(type.dims.begin());
      Tensor slice(type);
      if (slice.bytes() > 0) std::memcpy(slice.data(), in[i]->data() + t * slice.bytes(), static_cast<size_t>(slice.bytes()));
      now[i] = std::make_shared<const Tensor>(std::move(slice));
    }
    Held results = execute_outputs(
        *node.body, now, [&](const Node& leaf) { return numbers.at(&leaf); }, mode);
    for (size_t r = 0; r < results.size(); r++) {
      if (r < carried) now[r] = results[r];
      Tensor& all = out[carried + r];
      if (results[r]->bytes() > 0)
        std::memcpy(all.data() + t * results[r]->bytes(), results[r]->data(), static_cast<size_t>(results[r]->bytes()));
    }
  }
  Held held(now.begin(), now.begin() + static_cast<int64_t>(carried));
  for (size_t k = carried; k < out.size(); k++) held.push_back(std::make_shared<const Tensor>(std::move(out[k])));
  return held;
}

// Any node but Input and State.
Held execute_node(const Node& node, const Held& in, EvalMode mode) {
  const OpDef& op = node.op();
  if (is_constant(node)) return {hold(node.tensor("value"), mode)};
  if (is_kernel(node)) return execute_kernel(node, in, mode);
  if (is_time_loop(node)) return execute_time_loop(node, in, mode);
  if (op.meaning == Meaning::expand) return execute_composite(node, in, mode);
  check(op.meaning != Meaning::leaf, op.name, " has no value of its own");
  std::vector<Tensor> out;
  for (const Type& t : node.types()) out.emplace_back(held_type(t, mode));
  TensorRefs refs;
  for (const TensorPtr& t : in) refs.push_back(t.get());
  switch (op.meaning) {
    case Meaning::scalar: evaluate_scalar(node, refs, out[0]); break;
    case Meaning::index: evaluate_index(node, refs, out[0]); break;
    case Meaning::reduce: evaluate_reduce(node, refs, out[0]); break;
    default: op.evaluate(node, refs, out); break;
  }
  Held held;
  for (Tensor& t : out) held.push_back(std::make_shared<const Tensor>(std::move(t)));
  return held;
}

// Values by node position. A value is dropped after its last use unless it is an output or
// an update.
std::vector<Held> execute(const Graph& graph, const Feed& feed, EvalMode mode) {
  auto nodes = graph.nodes();
  std::unordered_map<const Node*, size_t> position;
  std::vector<size_t> uses(nodes.size(), 0);
  for (size_t i = 0; i < nodes.size(); i++) {
    position[nodes[i].get()] = i;
    for (const Value& v : nodes[i]->inputs())
      if (v) uses[position.at(v.node)]++;
  }
  for (const Output& o : graph.outputs) uses[position.at(o.value.node)]++;
  for (const Update& u : graph.updates) uses[position.at(u.value.node)]++;

  std::vector<Held> values(nodes.size());
  for (size_t i = 0; i < nodes.size(); i++) {
    const Node& node = *nodes[i];
    if (is_input(node) || is_state(node)) {
      values[i] = {hold(feed(node), mode)};
      continue;
    }
    Held in;
    for (const Value& v : node.inputs())
      in.push_back(v ? values[position.at(v.node)][static_cast<size_t>(v.index)] : nullptr);
    values[i] = execute_node(node, in, mode);
    for (const Value& v : node.inputs())
      if (v && --uses[position.at(v.node)] == 0) values[position.at(v.node)].clear();
  }
  return values;
}

Feed feed_from(const Graph& graph, const std::map<std::string, Tensor>& feeds, EvalMode mode) {
  return [&graph, &feeds, mode](const Node& leaf) -> TensorPtr {
    const std::string& name = leaf.s("name");
    auto it = feeds.find(name);
    if (it == feeds.end()) {
      require(is_state(leaf), "no value is given for input '", name, "'");
      if (auto start = graph.tensors.find(name);
          start != graph.tensors.end() && start->second.type() == leaf.type())
        return start->second.share();
      return std::make_shared<const Tensor>(initial_value(graph, leaf));
    }
    const Type& given = it->second.type();
    require(given == leaf.type() || given == held_type(leaf.type(), mode), "'", name, "' is ",
            to_string(given), ", expected ", to_string(leaf.type()));
    return borrow(it->second);
  };
}

}  // namespace

EvalResult evaluate(const Graph& graph, const std::map<std::string, Tensor>& feeds, EvalMode mode) {
  std::vector<Held> values = execute(graph, feed_from(graph, feeds, mode), mode);
  std::unordered_map<const Node*, size_t> position;
  for (size_t i = 0; i < graph.size(); i++) position[graph.nodes()[i].get()] = i;
  auto value = [&](Value v) -> const Tensor& {
    return *values[position.at(v.node)][static_cast<size_t>(v.index)];
  };
  EvalResult result;
  for (const Output& o : graph.outputs) result.outputs[o.name] = value(o.value);
  for (const Update& u : graph.updates) result.updates[u.state->s("name")] = value(u.value);
  return result;
}

std::vector<Tensor> evaluate_node(const Node& node, const std::vector<const Tensor*>& inputs, EvalMode mode) {
  Held in;
  for (const Tensor* t : inputs) in.push_back(t ? hold(borrow(*t), mode) : nullptr);
  in.resize(node.input_count());
  std::vector<Tensor> out;
  for (const TensorPtr& t : execute_node(node, in, mode)) out.push_back(*t);
  return out;
}

Tensor initial_value(const Graph& graph, const Node& state) {
  const std::string& name = state.s("name");
  auto it = graph.tensors.find(name);
  if (it == graph.tensors.end()) return Tensor::filled(state.type(), state.f("init"));
  require(it->second.type() == state.type(), "the start value of '", name, "' is ",
          to_string(it->second.type()), ", expected ", to_string(state.type()));
  return it->second.copy();
}

}  // namespace mezzo::ir
