// functions.h: model-local functions are inlined at import.
#pragma once
#include <google/protobuf/repeated_ptr_field.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frontend/model_file.h"

namespace mezzo::onnx {
class FunctionProto;
class NodeProto;
}  // namespace mezzo::onnx

namespace mezzo::frontend {

// A node to import: of the file, or of an inlined function with its names made unique and attributes bound.
struct FlatNode {
  std::shared_ptr<const onnx::NodeProto> node;
  std::string label;   // the node's name; "call/inner" within a function; op_type_index without a name
  std::string domain;  // canonical
  const Opsets* opsets = nullptr;  // of the model or of the function the node stands in
};

class FunctionLibrary {
 public:
  explicit FunctionLibrary(const ModelFile& model);
  ~FunctionLibrary();

  // `nodes` (of the main graph or a body, their labels prefixed with `prefix`) with every call replaced by
  // the function's nodes, in an order in which they can run. Throws Error for functions that call themselves,
  // missing inputs, and more nodes than docs/limits.md allows.
  std::vector<FlatNode> flatten(const std::vector<FlatNode>& nodes);

 private:
  struct Function {
    const onnx::FunctionProto* proto;
    Opsets opsets;
    int64_t size = -1;  // nodes once inlined, at most kMaxNodes + 1; -1: not counted yet
  };
  // Nodes that one node stands for. Counted before anything is inlined: calls can double at every level.
  int64_t size_of(std::string_view domain, const onnx::NodeProto& node, int depth);
  void expand(const FlatNode& call, std::vector<const Function*>& active, std::vector<FlatNode>& out);
  Function* find(std::string_view domain, const onnx::NodeProto& node);
  std::map<std::string, Function> functions_;  // by domain, name, overload
  int64_t instances_ = 0, nodes_ = 0;
};

// The nodes of a graph as they are, before functions are inlined. The result refers to `nodes`.
std::vector<FlatNode> list_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
                                 const Opsets& opsets, const std::string& prefix);

}  // namespace mezzo::frontend
