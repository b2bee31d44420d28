#include "frontend/aliases.h"

#include <unordered_map>
#include <unordered_set>

#include "frontend/metadata.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/tensor_reader.h"

namespace mezzo::frontend {
namespace {

// Nesting is bounded by kMaxGraphDepth.
void count_uses(const onnx::GraphProto& graph, std::unordered_map<std::string, int>& uses) {
  for (const auto& output : graph.output()) uses[output.name()]++;
  for (const auto& node : graph.node()) {
    for (const auto& input : node.input()) uses[input]++;
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) count_uses(attribute.g(), uses);
      for (const auto& inner : attribute.graphs()) count_uses(inner, uses);
    }
  }
}

}  // namespace

std::map<std::string, std::string> find_aliases(const ModelFile& model) {
  const onnx::GraphProto& graph = model.proto().graph();
  std::unordered_set<std::string> floats;  // initializers
  for (const auto& tensor : graph.initializer()) {
    std::optional<ir::DType> dtype = dtype_of(tensor.data_type());
    if (dtype && ir::is_float(*dtype)) floats.insert(tensor.name());
  }
  std::map<std::string, std::string> aliases;
  std::unordered_map<std::string, int> uses;
  for (const auto& node : graph.node()) {
    if (node.op_type() != "Identity" || node.input_size() != 1 || node.output_size() != 1) continue;
    const std::string &name = node.output(0), &of = node.input(0);
    if (is_made_up(name) || !floats.count(of) || comes_from_detach(node)) continue;
    if (uses.empty()) count_uses(graph, uses);
    if (uses[of] > 1) aliases[name] = of;
  }
  return aliases;
}

}  // namespace mezzo::frontend
