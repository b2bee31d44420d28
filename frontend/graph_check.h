// graph_check.h: the structure of a model: every name defined once and used only where it is visible, no
// cycles.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace mezzo::onnx {
class GraphProto;
class ModelProto;
class NodeProto;
}  // namespace mezzo::onnx

namespace mezzo::frontend {

// Checks the main graph, all bodies of control flow and all local functions. Throws Error naming node and
// value.
void check_model(const onnx::ModelProto& model);

// Names that `node`'s bodies (If branches ...) use without defining them, each once, in order of first use.
std::vector<std::string> captured_names(const onnx::NodeProto& node);

// The order in which the nodes can run, as positions in `nodes`: file order where that is topological
// already, and stable otherwise. Throws Error naming a node on a cycle. Names that no node defines count as
// available.
std::vector<size_t> topological_order(const std::vector<const onnx::NodeProto*>& nodes);

// How messages call a node: its name, or op_type_index when it has none.
std::string node_label(const onnx::NodeProto& node, size_t index);

}  // namespace mezzo::frontend
