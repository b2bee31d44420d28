// metadata.h: what PyTorch's dynamo exporter tells in the metadata of nodes and values: where in the program
// they come from.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace mezzo::onnx {
class GraphProto;
class NodeProto;
}  // namespace mezzo::onnx

namespace mezzo::frontend {

// The node was made from a BatchNorm module, whatever its operator is now.
bool comes_from_batch_norm(const onnx::NodeProto& node);

// The node was made from Tensor.detach(). ONNX has no operator that stops a gradient: exporters write
// Identity.
bool comes_from_detach(const onnx::NodeProto& node);

// What a float initializer was in the program: an nn.Parameter, or a buffer, which no optimizer moves.
enum class Role { parameter, buffer };

// By initializer; those that the file tells nothing about are absent. What the exporter computed from a parameter is one:
// it has moved it, or added the 1 of a norm's offset weight.
std::map<std::string, Role> initializer_roles(const onnx::GraphProto& graph);

// By initializer that the exporter computed from others, the names of all values it was computed from.
std::map<std::string, std::vector<std::string>> folded_initializers(const onnx::GraphProto& graph);

}  // namespace mezzo::frontend
