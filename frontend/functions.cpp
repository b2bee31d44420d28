#include "frontend/functions.h"

#include <algorithm>
#include <functional>

#include "frontend/graph_check.h"
#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "mezzo/error.h"

namespace mezzo::frontend {
namespace {

std::string key_of(std::string_view domain, std::string_view name, std::string_view overload) {
  return concat(domain, '\n', name, '\n', overload);
}

using Rename = std::function<std::string(const std::string&)>;
using Bind = std::function<const onnx::AttributeProto*(const std::string&)>;

// Renames every value in `node` and its bodies, and replaces attributes that refer to an attribute of the
// call. Recursion is bounded by kMaxGraphDepth.
void instantiate(onnx::NodeProto& node, const Rename& rename, const Bind& bind) {
  for (auto& name : *node.mutable_input()) name = rename(name);
  for (auto& name : *node.mutable_output()) name = rename(name);
  for (int i = 0; i < node.attribute_size();) {
    onnx::AttributeProto& attribute = *node.mutable_attribute(i);
    if (!attribute.ref_attr_name().empty()) {
      const onnx::AttributeProto* bound = bind(attribute.ref_attr_name());
      if (!bound) {  // not given by the call, no default: the attribute is absent
        node.mutable_attribute()->DeleteSubrange(i, 1);
        continue;
      }
      std::string name = attribute.name();
      attribute = *bound;
      attribute.set_name(name);
    } else {
      auto in_graph = [&](onnx::GraphProto& graph) {
        for (auto& value : *graph.mutable_input()) value.set_name(rename(value.name()));
        for (auto& value : *graph.mutable_output()) value.set_name(rename(value.name()));
        for (auto& tensor : *graph.mutable_initializer()) tensor.set_name(rename(tensor.name()));
        for (auto& inner : *graph.mutable_node()) instantiate(inner, rename, bind);
      };
      if (attribute.has_g()) in_graph(*attribute.mutable_g());
      for (auto& graph : *attribute.mutable_graphs()) in_graph(graph);
    }
    i++;
  }
}

}  // namespace

FunctionLibrary::FunctionLibrary(const ModelFile& model) {
  for (const auto& proto : model.proto().functions()) {
    std::string key = key_of(canonical_domain(proto.domain()), proto.name(), proto.overload());
    Function function{&proto,
                      read_opsets(proto.opset_import(), concat("function '", printable(proto.name()), "'"))};
    // Files before IR 10 may leave a function's imports out: the model's count then.
    for (auto& [domain, version] : model.opsets()) function.opsets.emplace(domain, version);
    require(functions_.emplace(key, std::move(function)).second, "function '", printable(proto.name()),
            "' is defined twice");
  }
}

FunctionLibrary::~FunctionLibrary() = default;

FunctionLibrary::Function* FunctionLibrary::find(std::string_view domain, const onnx::NodeProto& node) {
  if (functions_.empty()) return nullptr;
  auto it = functions_.find(key_of(domain, node.op_type(), node.overload()));
  return it == functions_.end() ? nullptr : &it->second;
}

// Recursion ends at kMaxFunctionDepth; a function on a cycle counts as one node here and is refused by
// expand().
int64_t FunctionLibrary::size_of(std::string_view domain, const onnx::NodeProto& node, int depth) {
  Function* function = find(domain, node);
  if (!function || depth > kMaxFunctionDepth) return 1;
  if (function->size >= 0) return function->size;
  function->size = 1;
  int64_t size = 0;
  for (const auto& inner : function->proto->node())
    size = std::min(size + size_of(canonical_domain(inner.domain()), inner, depth + 1), kMaxNodes + 1);
  return function->size = size;
}

std::vector<FlatNode> list_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
                                 const Opsets& opsets, const std::string& prefix) {
  std::vector<FlatNode> out;
  size_t index = 0;
  for (const auto& node : nodes)
    out.push_back({std::shared_ptr<const onnx::NodeProto>(std::shared_ptr<void>(), &node),
                   prefix + node_label(node, index++), canonical_domain(node.domain()), &opsets});
  return out;
}

std::vector<FlatNode> FunctionLibrary::flatten(const std::vector<FlatNode>& nodes) {
  for (const FlatNode& node : nodes) {
    nodes_ += size_of(node.domain, *node.node, 0);
    require(nodes_ <= kMaxNodes, "the model has more than ", kMaxNodes,
            " nodes once its functions are inlined");
  }
  std::vector<FlatNode> flat;
  std::vector<const Function*> active;
  for (const FlatNode& node : nodes) expand(node, active, flat);
  std::vector<const onnx::NodeProto*> list;
  for (const FlatNode& node : flat) list.push_back(node.node.get());
  std::vector<FlatNode> ordered;
  for (size_t i : topological_order(list)) ordered.push_back(std::move(flat[i]));
  return ordered;
}

// Recursion is bounded by kMaxFunctionDepth.
void FunctionLibrary::expand(const FlatNode& call, std::vector<const Function*>& active,
                             std::vector<FlatNode>& out) {
  const Function* function = find(call.domain, *call.node);
  if (!function) {
    out.push_back(call);
    return;
  }
  const onnx::FunctionProto& proto = *function->proto;
  auto fail = [&](const std::string& why) {
    throw Error(ErrorCode::bad_input, concat("call of function '", printable(proto.name()), "': ", why),
                printable(call.label));
  };
  if (std::find(active.begin(), active.end(), function) != active.end()) fail("the function calls itself");
  if (active.size() >= static_cast<size_t>(kMaxFunctionDepth))
    fail(concat("functions call each other more than ", kMaxFunctionDepth, " deep"));
  const onnx::NodeProto& node = *call.node;
  if (node.input_size() > proto.input_size())
    fail(concat(node.input_size(), " inputs given, ", proto.input_size(), " taken"));
  if (node.output_size() > proto.output_size())
    fail(concat(node.output_size(), " outputs asked for, ", proto.output_size(), " defined"));

  std::map<std::string, std::string, std::less<>> names;
  for (int i = 0; i < proto.input_size(); i++)
    names[proto.input(i)] = i < node.input_size() ? node.input(i) : "";
  std::vector<std::pair<std::string, std::string>> copies;  // an output that is an input, or is listed twice
  for (int i = 0; i < proto.output_size() && i < node.output_size(); i++) {
    if (node.output(i).empty()) continue;
    auto [it, fresh] = names.emplace(proto.output(i), node.output(i));
    if (!fresh) copies.emplace_back(it->second, node.output(i));
  }
  // Names within an instance are unique by its number: two calls, or a call and the file, never meet.
  const std::string prefix = concat(call.label, "::", instances_++, "/");
  Rename rename = [&](const std::string& name) -> std::string {
    if (name.empty()) return name;
    auto it = names.find(name);
    return it == names.end() ? prefix + name : it->second;
  };
  Bind bind = [&](const std::string& name) -> const onnx::AttributeProto* {
    for (const auto& given : node.attribute())
      if (given.name() == name) return &given;
    for (const auto& defaulted : proto.attribute_proto())
      if (defaulted.name() == name) return &defaulted;
    return nullptr;
  };
  active.push_back(function);
  size_t index = 0;
  for (const auto& body_node : proto.node()) {
    auto copy = std::make_shared<onnx::NodeProto>(body_node);
    instantiate(*copy, rename, bind);
    expand({copy, concat(call.label, "/", node_label(body_node, index++)), canonical_domain(copy->domain()),
            &function->opsets},
           active, out);
  }
  active.pop_back();
  for (auto& [from, to] : copies) {
    auto copy = std::make_shared<onnx::NodeProto>();
    copy->set_op_type("Identity");
    copy->add_input(from);
    copy->add_output(to);
    out.push_back({copy, concat(call.label, "/", to), "", &function->opsets});
  }
}

}  // namespace mezzo::frontend
