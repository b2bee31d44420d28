// graph.h: the intermediate representation. A Graph is a pure function (inputs, state) -> (outputs, new state): nodes
// in topological order, each with typed outputs, an origin (the ONNX nodes it stems from) and a phase.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <variant>

#include "ir/start_value.h"

namespace mezzo::ir {

struct OpDef;
class Node;
class Graph;

// One output of a node. A default-made Value is absent (an omitted optional input).
struct Value {
  Node* node = nullptr;
  int index = 0;
  explicit operator bool() const { return node != nullptr; }
  bool operator==(const Value&) const = default;
  const Type& type() const;
  const Dims& dims() const { return type().dims; }
  DType dtype() const { return type().dtype; }
  int rank() const { return type().rank(); }
};
using Values = std::vector<Value>;

struct ValueHash {
  size_t operator()(const Value& v) const { return std::hash<Node*>()(v.node) * 31 + static_cast<size_t>(v.index); }
};

using Ints = std::vector<int64_t>;
using Floats = std::vector<double>;
using Strings = std::vector<std::string>;
using Attr = std::variant<int64_t, double, std::string, Ints, Floats, Strings, DType, TensorPtr>;
using Attrs = std::map<std::string, Attr, std::less<>>;

enum class Phase : uint8_t { forward, backward, update };
std::string_view name(Phase);

// ONNX node names, sorted, without repetition.
using Origin = std::vector<std::string>;
Origin merge(const Origin& a, const Origin& b);

// In place of an offset: the output is written over the state that it updates.
inline constexpr int64_t kInPlace = -2;

// What a state leaf is for. Decides how it starts, whether the optimizer moves it and what a checkpoint calls it. A copy
// is always a parameter rounded to 16 bits.
enum class StateKind : uint8_t { parameter, statistic, slot, scaler, counter, key, accumulator, copy };
std::string_view name(StateKind);
std::optional<StateKind> parse_state_kind(std::string_view);

class Node {
 public:
  const OpDef& op() const { return *op_; }
  Graph& graph() const { return *graph_; }
  int id() const { return id_; }  // position of creation; unique in the graph, not printed

  const Values& inputs() const { return inputs_; }
  size_t input_count() const { return inputs_.size(); }
  // Input `i`; absent when it was omitted or lies behind the last one given.
  Value in(size_t i) const { return i < inputs_.size() ? inputs_[i] : Value{}; }
  bool has(size_t i) const { return static_cast<bool>(in(i)); }
  const Type& in_type(size_t i) const { return in(i).type(); }

  const std::vector<Type>& types() const { return types_; }
  int output_count() const { return static_cast<int>(types_.size()); }
  const Type& type(int output = 0) const { return types_[static_cast<size_t>(output)]; }
  Value out(int i = 0) const { return {const_cast<Node*>(this), i}; }

  // Attributes: what was set explicitly, else the default of the op's schema. Asking for an attribute without either
  // is an InternalError. has_attr: set explicitly.
  const Attrs& attrs() const { return attrs_; }
  bool has_attr(std::string_view name) const { return attrs_.find(name) != attrs_.end(); }
  const Attr& attr(std::string_view name) const;
  int64_t i(std::string_view name) const { return std::get<int64_t>(attr(name)); }
  double f(std::string_view name) const { return std::get<double>(attr(name)); }
  const std::string& s(std::string_view name) const { return std::get<std::string>(attr(name)); }
  const Ints& ints(std::string_view name) const { return std::get<Ints>(attr(name)); }
  const Floats& floats(std::string_view name) const { return std::get<Floats>(attr(name)); }
  DType dtype(std::string_view name) const { return std::get<DType>(attr(name)); }
  const TensorPtr& tensor(std::string_view name) const { return std::get<TensorPtr>(attr(name)); }
  void set_attr(std::string name, Attr value) { attrs_[std::move(name)] = std::move(value); }

  Phase phase = Phase::forward;
  Origin origin;
  // A Kernel's body: an ordinary graph whose inputs, in order, are this node's inputs.
  std::unique_ptr<Graph> body;
  // Arena byte offsets of the outputs, set by plan_memory: one per output, -1 = not in the arena, kInPlace.
  std::vector<int64_t> offsets;

 private:
  friend class Graph;
  const OpDef* op_ = nullptr;
  Graph* graph_ = nullptr;
  int id_ = 0;
  Values inputs_;
  std::vector<Type> types_;
  Attrs attrs_;
};

inline const Type& Value::type() const { return node->type(index); }

struct Output {
  std::string name;
  Value value;
};

// `state = value` at the end of the step. Unconditional ones happen also when the step is skipped.
struct Update {
  Node* state;
  Value value;
  bool unconditional = false;
};

class Graph {
 public:
  Graph() = default;
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  // Appends a node. Inputs must be values of this graph; types are inferred by the op's shape rule, whose Errors come
  // out naming the op and the current origin.
  Node* add(const OpDef& op, Values inputs, Attrs attrs = {}, std::unique_ptr<Graph> body = nullptr);

  // Leaves. `state`'s start value is tensors[name] when there is one, else `init` everywhere.
  Value input(std::string name, Type type);
  Value state(std::string name, Type type, StateKind kind, double init = 0);
  Value constant(Tensor value);
  Value constant(double value, DType dtype = DType::f32, const Dims& dims = {});

  // Nodes in creation order, which is topological. Kernel graphs: the order of execution, once `scheduled`.
  std::span<const std::unique_ptr<Node>> nodes() const { return nodes_; }
  size_t size() const { return nodes_.size(); }
  Node* find_input(std::string_view name) const;
  Node* find_state(std::string_view name) const;
  Value find_output(std::string_view name) const;

  std::string name = "main";
  std::vector<Output> outputs;
  std::vector<Update> updates;
  // Start values of states by name. Not part of the text form.
  std::map<std::string, StartValue> tensors;
  bool scheduled = false;   // node order is the order of execution
  int64_t arena_bytes = 0;  // set by plan_memory

  // Phase and origin that nodes added from now on get. See Scope.
  Phase phase = Phase::forward;
  Origin origin;

  // Drops nodes that no output or update needs; inputs stay. Keeps the order of the rest.
  void remove_dead_nodes();
  // Puts the nodes into `order` (a permutation of all nodes, topological).
  void reorder(const std::vector<Node*>& order);

 private:
  void adopt();
  std::vector<std::unique_ptr<Node>> nodes_;
  int next_id_ = 0;
};

// While alive, new nodes of `graph` get this phase and origin.
class Scope {
 public:
  Scope(Graph& graph, Phase phase, Origin origin) : graph_(graph), phase_(graph.phase), origin_(graph.origin) {
    graph.phase = phase;
    graph.origin = std::move(origin);
  }
  Scope(Graph& graph, const Node& like) : Scope(graph, like.phase, like.origin) {}
  ~Scope() {
    graph_.phase = phase_;
    graph_.origin = std::move(origin_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Graph& graph_;
  Phase phase_;
  Origin origin_;
};

// Uses of every value, in node order: consumers as (node, input position); graph outputs and updates are not listed.
struct Use {
  Node* node;
  size_t input;
};
class UseMap {
 public:
  explicit UseMap(const Graph&);
  const std::vector<Use>& of(Value v) const;
  // Number of uses, counting graph outputs and updates.
  size_t count(Value v) const;

 private:
  std::vector<std::vector<std::vector<Use>>> uses_;   // [node position][output]
  std::vector<std::vector<size_t>> external_;
  std::vector<int> position_;                          // node id -> position
};

// The one way passes change graphs: copies `from` node by node, in order. `rule(to, node, inputs)` returns the values
// that stand for the node's outputs in the new graph, or nothing to copy the node as it is. New nodes get the phase and
// origin of the node they replace. Outputs, updates, names and tensors are carried over; dead nodes are dropped.
using Rule = std::function<std::optional<Values>(Graph& to, const Node& node, const Values& inputs)>;
Graph rewrite(const Graph& from, const Rule& rule);
// Appends a copy of `node` with these inputs (attributes, phase, origin, body, offsets included).
Values copy_node(Graph& to, const Node& node, Values inputs);
Graph clone(const Graph& from);

}  // namespace mezzo::ir
