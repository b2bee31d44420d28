#include "frontend/graph_check.h"

#include <set>
#include <unordered_map>
#include <unordered_set>

#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "mezzo/error.h"

namespace mezzo::frontend {
namespace {

using NameSet = std::unordered_set<std::string_view>;

// The names visible in a graph: its own and those of the graphs around it.
struct Scope {
  NameSet names;
  const Scope* outer = nullptr;
  bool sees(std::string_view name) const {
    for (const Scope* s = this; s; s = s->outer)
      if (s->names.count(name)) return true;
    return false;
  }
};

void check_name(std::string_view name, std::string_view what) {
  require(name.size() <= static_cast<size_t>(kMaxNameBytes), "the name of ", what, " '", printable(name),
          "' is longer than ", kMaxNameBytes, " bytes");
  require(is_clean_text(name), "the name of ", what, " '", printable(name), "' is not valid UTF-8 text");
}

[[noreturn]] void fail(const std::string& node, const std::string& why) {
  throw Error(ErrorCode::bad_input, why, printable(node),
              "the file breaks the rules of ONNX; export it again");
}

template <class F>
void for_each_body(const onnx::NodeProto& node, F f) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) f(attribute.g());
    for (const auto& graph : attribute.graphs()) f(graph);
  }
}

void define(Scope& scope, const std::string& name, std::string_view what, const std::string& node) {
  check_name(name, what);
  if (scope.outer && scope.outer->sees(name))
    fail(node, concat(what, " '", printable(name), "' is already defined in a graph around it"));
  if (!scope.names.insert(name).second) fail(node, concat(what, " '", printable(name), "' is defined twice"));
}

void check_graph(const onnx::GraphProto& graph, const Scope* outer, const std::string& where);

void check_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope) {
  size_t index = 0;
  std::vector<const onnx::NodeProto*> list;
  for (const auto& node : nodes) {
    std::string label = node_label(node, index++);
    check_name(node.name(), "a node");
    check_name(node.op_type(), "an op type");
    check_name(node.domain(), "a domain");
    if (node.op_type().empty()) fail(label, "a node has no op type");
    std::set<std::string_view> attributes;
    for (const auto& attribute : node.attribute()) {
      check_name(attribute.name(), "an attribute");
      check_name(attribute.ref_attr_name(), "an attribute");
      if (!attributes.insert(attribute.name()).second)
        fail(label, concat("attribute '", printable(attribute.name()), "' is given twice"));
    }
    for (const auto& output : node.output())
      if (!output.empty()) define(scope, output, "value", label);
    list.push_back(&node);
  }
  index = 0;
  for (const auto& node : nodes) {
    std::string label = node_label(node, index++);
    for (const auto& input : node.input())
      if (!input.empty() && !scope.sees(input))
        fail(label, concat(node.op_type(), " '", printable(label), "' uses '", printable(input),
                           "', which nothing defines"));
    for_each_body(node, [&](const onnx::GraphProto& body) { check_graph(body, &scope, label); });
  }
  topological_order(list);
}

void check_graph(const onnx::GraphProto& graph, const Scope* outer, const std::string& where) {
  Scope scope{{}, outer};
  NameSet inputs, initializers;
  for (const auto& input : graph.input()) {
    if (input.name().empty()) fail(where, "a graph input has no name");
    define(scope, input.name(), "input", where);
    inputs.insert(input.name());
  }
  auto add_initializer = [&](const std::string& name) {
    if (name.empty()) fail(where, "an initializer has no name");
    if (!initializers.insert(name).second)
      fail(where, concat("initializer '", printable(name), "' is given twice"));
    if (!inputs.count(name))
      define(scope, name, "initializer", where);  // an input may have its default value here
  };
  for (const auto& tensor : graph.initializer()) add_initializer(tensor.name());
  for (const auto& sparse : graph.sparse_initializer()) add_initializer(sparse.values().name());
  check_nodes(graph.node(), scope);
  NameSet outputs;
  for (const auto& output : graph.output()) {
    if (!scope.sees(output.name()))
      fail(where, concat("output '", printable(output.name()), "' is not defined"));
    if (!outputs.insert(output.name()).second)
      fail(where, concat("output '", printable(output.name()), "' is listed twice"));
  }
}

void check_function(const onnx::FunctionProto& function) {
  std::string where = function.name();
  check_name(function.name(), "a function");
  check_name(function.domain(), "a domain");
  Scope scope;
  for (const auto& input : function.input()) define(scope, input, "input", where);
  check_nodes(function.node(), scope);
  for (const auto& output : function.output())
    if (!scope.sees(output))
      fail(where, concat("output '", printable(output), "' of a function is not defined"));
}

// Adds what `graph` and its bodies use from outside it. Depth is bounded by kMaxGraphDepth.
void collect_captures(const onnx::GraphProto& graph, std::vector<std::string>& out) {
  NameSet local;
  for (const auto& input : graph.input()) local.insert(input.name());
  for (const auto& tensor : graph.initializer()) local.insert(tensor.name());
  for (const auto& node : graph.node())
    for (const auto& output : node.output()) local.insert(output);
  auto use = [&](const std::string& name) {
    if (!name.empty() && !local.count(name)) out.push_back(name);
  };
  for (const auto& node : graph.node()) {
    for (const auto& input : node.input()) use(input);
    std::vector<std::string> inner;
    for_each_body(node, [&](const onnx::GraphProto& body) { collect_captures(body, inner); });
    for (const auto& name : inner) use(name);
  }
  for (const auto& output : graph.output()) use(output.name());
}

}  // namespace

std::string node_label(const onnx::NodeProto& node, size_t index) {
  return node.name().empty() ? concat(node.op_type(), "_", index) : node.name();
}

std::vector<std::string> captured_names(const onnx::NodeProto& node) {
  std::vector<std::string> all, unique;
  for_each_body(node, [&](const onnx::GraphProto& body) { collect_captures(body, all); });
  std::unordered_set<std::string> seen;
  for (auto& name : all)
    if (seen.insert(name).second) unique.push_back(name);
  return unique;
}

std::vector<size_t> topological_order(const std::vector<const onnx::NodeProto*>& nodes) {
  std::unordered_map<std::string_view, size_t> producer;
  for (size_t i = 0; i < nodes.size(); i++)
    for (const auto& output : nodes[i]->output())
      if (!output.empty()) producer.emplace(output, i);
  std::vector<size_t> waiting(nodes.size(), 0);
  std::vector<std::vector<size_t>> consumers(nodes.size());
  for (size_t i = 0; i < nodes.size(); i++) {
    auto depend = [&](const std::string& name) {
      auto it = producer.find(name);
      if (it == producer.end()) return;
      waiting[i]++;
      consumers[it->second].push_back(i);
    };
    for (const auto& input : nodes[i]->input()) depend(input);
    for (const auto& name : captured_names(*nodes[i])) depend(name);
  }
  std::set<size_t> ready;  // the earliest in file order goes first
  for (size_t i = 0; i < nodes.size(); i++)
    if (waiting[i] == 0) ready.insert(i);
  std::vector<size_t> order;
  while (!ready.empty()) {
    size_t i = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(i);
    for (size_t c : consumers[i])
      if (--waiting[c] == 0) ready.insert(c);
  }
  if (order.size() == nodes.size()) return order;
  // Nodes behind a cycle wait too; walking back from one of them ends on the cycle itself.
  size_t at = 0;
  while (waiting[at] == 0) at++;
  std::vector<bool> visited(nodes.size(), false);
  while (!visited[at]) {
    visited[at] = true;
    auto previous = [&](const std::string& name) {
      auto it = producer.find(name);
      if (it == producer.end() || waiting[it->second] == 0) return false;
      at = it->second;
      return true;
    };
    bool moved = false;
    for (const auto& input : nodes[at]->input())
      if ((moved = previous(input))) break;
    if (!moved)
      for (const auto& name : captured_names(*nodes[at]))
        if (previous(name)) break;
  }
  std::string label = node_label(*nodes[at], at);
  fail(label, concat(nodes[at]->op_type(), " '", printable(label), "' depends on its own output"));
}

void check_model(const onnx::ModelProto& model) {
  check_graph(model.graph(), nullptr, "");
  for (const auto& entry : model.metadata_props()) check_name(entry.key(), "a metadata entry");
  for (const auto& function : model.functions()) check_function(function);
}

}  // namespace mezzo::frontend
