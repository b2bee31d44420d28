#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

std::vector<size_t> gradient_outputs(const Graph& graph) {
  std::vector<size_t> out;
  for (size_t i = 0; i < graph.outputs.size(); i++)
    if (graph.outputs[i].name.starts_with(kGradPrefix)) out.push_back(i);
  return out;
}

Node* parameter_of(const Graph& graph, const Output& gradient) {
  Node* state =
      graph.find_state(std::string_view(gradient.name).substr(std::string_view(kGradPrefix).size()));
  check(state != nullptr, "output ", gradient.name, " belongs to no state");
  return state;
}

Value find_or_make_state(Graph& graph, const char* name, Type type, StateKind kind, double init) {
  if (Node* state = graph.find_state(name)) return state->out();
  return graph.state(name, std::move(type), kind, init);
}

std::string copy_name(const std::string& parameter, ir::DType low) {
  return concat(parameter, ".", ir::name(low));
}

std::string copied_parameter(const std::string& copy) { return copy.substr(0, copy.rfind('.')); }

std::vector<ir::Node*> copies_of(const ir::Graph& graph, const std::string& parameter) {
  std::vector<ir::Node*> out;
  for (ir::DType low : {ir::DType::bf16, ir::DType::f16})
    if (ir::Node* copy = graph.find_state(copy_name(parameter, low));
        copy && copy->s("kind") == ir::name(ir::StateKind::copy))
      out.push_back(copy);
  return out;
}

}  // namespace mezzo::passes
