#include "ir/graph.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "ir/op.h"

namespace mezzo::ir {
namespace {

constexpr std::array<std::string_view, 3> kPhases{"forward", "backward", "update"};
constexpr std::array<std::string_view, 8> kStateKinds{"parameter", "statistic", "slot",        "scaler",
                                                      "counter",   "key",       "accumulator", "copy"};

std::string where(const Graph& graph, const OpDef& op) {
  std::string names;
  for (const std::string& n : graph.origin) names += (names.empty() ? "" : ", ") + n;
  return names.empty() ? std::string(op.name) : concat(op.name, " '", names, "'");
}

}  // namespace

std::string_view name(Phase p) { return kPhases[static_cast<size_t>(p)]; }
std::string_view name(StateKind k) { return kStateKinds[static_cast<size_t>(k)]; }
std::optional<StateKind> parse_state_kind(std::string_view text) {
  for (size_t i = 0; i < kStateKinds.size(); i++)
    if (kStateKinds[i] == text) return static_cast<StateKind>(i);
  return std::nullopt;
}

Origin merge(const Origin& a, const Origin& b) {
  Origin out;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

const Attr& Node::attr(std::string_view name) const {
  if (auto it = attrs_.find(name); it != attrs_.end()) return it->second;
  for (const AttrSpec& spec : op_->attrs)
    if (spec.name == name && spec.presence == AttrSpec::defaulted) return spec.value;
  throw InternalError(concat(op_->name, " has no attribute '", name, "'"));
}

Graph::Graph(Graph&& other) noexcept { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
  nodes_ = std::move(other.nodes_);
  next_id_ = other.next_id_;
  name = std::move(other.name);
  outputs = std::move(other.outputs);
  updates = std::move(other.updates);
  tensors = std::move(other.tensors);
  scheduled = other.scheduled;
  arena_bytes = other.arena_bytes;
  phase = other.phase;
  origin = std::move(other.origin);
  adopt();
  return *this;
}

void Graph::adopt() {
  for (auto& node : nodes_) node->graph_ = this;
}

Node* Graph::add(const OpDef& op, Values inputs, Attrs attrs, std::unique_ptr<Graph> body) {
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  for (const Value& v : inputs)
    check(!v || &v.node->graph() == this, op.name, ": an input belongs to another graph");
  auto node = std::make_unique<Node>();
  node->op_ = &op;
  node->graph_ = this;
  node->id_ = next_id_++;
  node->inputs_ = std::move(inputs);
  node->attrs_ = std::move(attrs);
  node->body = std::move(body);
  node->phase = phase;
  node->origin = origin;
  for (auto& [key, value] : node->attrs_) {
    auto spec = std::find_if(op.attrs.begin(), op.attrs.end(), [&, &k = key](auto& s) { return s.name == k; });
    check(spec != op.attrs.end(), op.name, " has no attribute '", key, "'");
    check(spec->value.index() == value.index(), op.name, ": attribute '", key, "' has another type");
  }
  for (const AttrSpec& spec : op.attrs)
    if (spec.presence == AttrSpec::required && !node->has_attr(spec.name))
      require(false, where(*this, op), ": attribute '", spec.name, "' is missing");
  int given = static_cast<int>(node->inputs_.size());
  if (given < op.min_inputs || given > op.max_inputs)
    require(false, where(*this, op), ": ", given, " inputs, expected ", op.min_inputs,
            op.max_inputs == op.min_inputs ? "" : concat(" to ", op.max_inputs));
  for (int i = 0; i < op.min_inputs; i++)
    if (!node->has(static_cast<size_t>(i))) require(false, where(*this, op), ": input ", i, " is required");
  try {
    node->types_ = op.infer(*node);
  } catch (const Error& e) {
    if (!e.node().empty()) throw;
    throw Error(e.code(), concat(where(*this, op), ": ", e.what()), origin.empty() ? "" : origin.front(), e.hint());
  }
  nodes_.push_back(std::move(node));
  return nodes_.back().get();
}

Value Graph::input(std::string input_name, Type type) {
  return add(get_op("Input"), {},
             {{"name", std::move(input_name)}, {"dtype", type.dtype}, {"shape", std::move(type.dims)}})
      ->out();
}

Value Graph::state(std::string state_name, Type type, StateKind kind, double init) {
  return add(get_op("State"), {},
             {{"name", std::move(state_name)},
              {"dtype", type.dtype},
              {"shape", std::move(type.dims)},
              {"kind", std::string(ir::name(kind))},
              {"init", init}})
      ->out();
}

Value Graph::constant(Tensor value) {
  return add(get_op("Constant"), {}, {{"value", std::make_shared<const Tensor>(std::move(value))}})->out();
}

Value Graph::constant(double value, DType dtype, const Dims& dims) {
  return constant(Tensor::filled({dtype, dims}, value));
}

Node* Graph::find_input(std::string_view wanted) const {
  for (auto& node : nodes_)
    if (is_input(*node) && node->s("name") == wanted) return node.get();
  return nullptr;
}

Node* Graph::find_state(std::string_view wanted) const {
  for (auto& node : nodes_)
    if (is_state(*node) && node->s("name") == wanted) return node.get();
  return nullptr;
}

Value Graph::find_output(std::string_view wanted) const {
  for (const Output& o : outputs)
    if (o.name == wanted) return o.value;
  return {};
}

void Graph::remove_dead_nodes() {
  std::unordered_set<const Node*> live;
  for (const Output& o : outputs) live.insert(o.value.node);
  for (const Update& u : updates) live.insert({u.state, u.value.node});
  for (auto it = nodes_.rbegin(); it != nodes_.rend(); ++it) {
    if (is_input(**it)) live.insert(it->get());
    if (live.count(it->get()))
      for (const Value& v : (*it)->inputs())
        if (v) live.insert(v.node);
  }
  std::erase_if(nodes_, [&](auto& node) { return !live.count(node.get()); });
}

void Graph::reorder(const std::vector<Node*>& order) {
  check(order.size() == nodes_.size(), "reorder: not a permutation");
  std::unordered_map<const Node*, size_t> position;
  for (size_t i = 0; i < order.size(); i++) position[order[i]] = i;
  check(position.size() == nodes_.size(), "reorder: not a permutation");
  std::vector<std::unique_ptr<Node>> sorted(nodes_.size());
  for (auto& node : nodes_) {
    auto at = position.find(node.get());
    check(at != position.end(), "reorder: not a permutation");
    node->id_ = static_cast<int>(at->second);
    sorted[at->second] = std::move(node);
  }
  nodes_ = std::move(sorted);
  next_id_ = static_cast<int>(nodes_.size());
  for (auto& node : nodes_)
    for (const Value& v : node->inputs())
      check(!v || v.node->id_ < node->id_, "reorder: ", node->op().name, " before its input");
}

UseMap::UseMap(const Graph& graph) {
  int last = 0;
  for (auto& node : graph.nodes()) last = std::max(last, node->id());
  position_.assign(static_cast<size_t>(last) + 1, -1);
  for (auto& node : graph.nodes()) {
    position_[static_cast<size_t>(node->id())] = static_cast<int>(uses_.size());
    uses_.emplace_back(static_cast<size_t>(node->output_count()));
    external_.emplace_back(static_cast<size_t>(node->output_count()));
  }
  auto at = [&](Value v) { return static_cast<size_t>(position_[static_cast<size_t>(v.node->id())]); };
  for (auto& node : graph.nodes())
    for (size_t i = 0; i < node->input_count(); i++)
      if (Value v = node->in(i)) uses_[at(v)][static_cast<size_t>(v.index)].push_back({node.get(), i});
  for (const Output& o : graph.outputs) external_[at(o.value)][static_cast<size_t>(o.value.index)]++;
  for (const Update& u : graph.updates) external_[at(u.value)][static_cast<size_t>(u.value.index)]++;
}

const std::vector<Use>& UseMap::of(Value v) const {
  return uses_[static_cast<size_t>(position_[static_cast<size_t>(v.node->id())])][static_cast<size_t>(v.index)];
}

size_t UseMap::count(Value v) const {
  auto at = static_cast<size_t>(position_[static_cast<size_t>(v.node->id())]);
  return uses_[at][static_cast<size_t>(v.index)].size() + external_[at][static_cast<size_t>(v.index)];
}

Values copy_node(Graph& to, const Node& node, Values inputs) {
  Scope scope(to, node);
  Node* copy = to.add(node.op(), std::move(inputs), node.attrs(),
                      node.body ? std::make_unique<Graph>(clone(*node.body)) : nullptr);
  copy->offsets = node.offsets;
  Values out;
  for (int i = 0; i < copy->output_count(); i++) out.push_back(copy->out(i));
  return out;
}

Graph rewrite(const Graph& from, const Rule& rule) {
  Graph to;
  to.name = from.name;
  to.tensors = from.tensors;
  to.scheduled = from.scheduled;
  to.arena_bytes = from.arena_bytes;
  std::unordered_map<const Node*, Values> now;
  auto map = [&](Value v) { return v ? now.at(v.node).at(static_cast<size_t>(v.index)) : Value{}; };
  for (auto& node : from.nodes()) {
    Values inputs;
    for (const Value& v : node->inputs()) inputs.push_back(map(v));
    std::optional<Values> by;
    {
      Scope scope(to, *node);
      by = rule(to, *node, inputs);
    }
    now[node.get()] = by ? std::move(*by) : copy_node(to, *node, std::move(inputs));
    check(now[node.get()].size() == static_cast<size_t>(node->output_count()), "rewrite: ", node->op().name,
          " was replaced by another number of values");
  }
  for (const Output& o : from.outputs) to.outputs.push_back({o.name, map(o.value)});
  for (const Update& u : from.updates) to.updates.push_back({map({u.state, 0}).node, map(u.value), u.unconditional});
  to.remove_dead_nodes();
  return to;
}

Graph clone(const Graph& from) {
  return rewrite(from, [](Graph&, const Node&, const Values&) { return std::nullopt; });
}

}  // namespace mezzo::ir
