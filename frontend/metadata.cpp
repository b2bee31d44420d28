#include "frontend/metadata.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "frontend/onnx.pb.h"

namespace mezzo::frontend {
namespace {

bool has_entry(const onnx::NodeProto& node, std::string_view key_part, std::string_view value_part) {
  return std::any_of(node.metadata_props().begin(), node.metadata_props().end(), [&](const auto& entry) {
    return std::string_view(entry.key()).find(key_part) != std::string_view::npos &&
           std::string_view(entry.value()).find(value_part) != std::string_view::npos;
  });
}

// The names in a list as Python prints it: ['a', 'b'].
std::vector<std::string> quoted_names(std::string_view list) {
  std::vector<std::string> names;
  for (size_t from = list.find('\''); from != std::string_view::npos; from = list.find('\'', from)) {
    const size_t to = list.find('\'', from + 1);
    if (to == std::string_view::npos) break;
    names.emplace_back(list.substr(from + 1, to - from - 1));
    from = to + 1;
  }
  return names;
}

// Parameters keep the dotted name of their module; the values that the exporter computed on the way have
// none. Its own constants are lifted tensors; tables of positions come from buffers, and mostly through
// sines.
bool from_parameter(const std::vector<std::string>& sources) {
  bool found = false;
  for (const std::string& source : sources) {
    if (source.starts_with("cos") || source.starts_with("sin")) return false;
    const size_t dot = source.rfind('.');
    if (dot == std::string::npos) continue;
    const std::string leaf = source.substr(dot + 1);
    const auto says = [&](std::string_view part) { return leaf.find(part) != std::string::npos; };
    found |= !says("lifted_tensor") && !says("_ids") && !says("position") && !says("mask") && !says("freq");
  }
  return found;
}

}  // namespace

bool comes_from_batch_norm(const onnx::NodeProto& node) {
  return has_entry(node, "class_hierarchy", "batchnorm");
}

bool comes_from_detach(const onnx::NodeProto& node) {
  return node.op_type() == "Identity" && has_entry(node, "fx_node", "target=torch.ops.aten.detach.");
}

std::map<std::string, Role> initializer_roles(const onnx::GraphProto& graph) {
  std::map<std::string, Role> roles;
  for (const auto& [name, sources] : folded_initializers(graph))
    if (from_parameter(sources)) roles[name] = Role::parameter;
  for (const auto& value : graph.value_info())
    for (const auto& entry : value.metadata_props()) {
      if (!entry.key().ends_with("InputSpec.kind")) continue;
      if (entry.value() == "PARAMETER") roles[value.name()] = Role::parameter;
      if (entry.value() == "BUFFER") roles[value.name()] = Role::buffer;
    }
  return roles;
}

std::map<std::string, std::vector<std::string>> folded_initializers(const onnx::GraphProto& graph) {
  std::set<std::string_view> initializers;
  for (const auto& tensor : graph.initializer()) initializers.insert(tensor.name());
  std::map<std::string, std::vector<std::string>> folded;
  for (const auto& value : graph.value_info())
    for (const auto& entry : value.metadata_props())
      if (entry.key().ends_with("folded_from") && initializers.count(value.name()))
        folded[value.name()] = quoted_names(entry.value());
  return folded;
}

}  // namespace mezzo::frontend
