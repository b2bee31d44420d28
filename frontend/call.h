// call.h: one ONNX node on its way into a Graph, in the form that quirks and host operators change.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "ir/graph.h"

namespace mezzo::onnx {
class GraphProto;
}

namespace mezzo::frontend {

class Knowledge;

// What BatchNormalization and Dropout do: what the file says, or training or inference whatever it says.
enum class Mode : uint8_t { as_exported, train, eval };

struct Call {
  ir::Graph& graph;
  std::string op;          // ONNX op type; a quirk may rename it
  std::string domain;      // "" is the default domain
  int64_t opset = 0;       // version of the domain
  std::string label;       // for messages
  ir::Values inputs = {};  // absent where omitted
  ir::Attrs attrs = {};    // as in the file: ints, floats, strings, tensors
  std::map<std::string, const onnx::GraphProto*> bodies = {};
  std::vector<bool> wanted = {};           // per output: it has a name
  std::optional<ir::Values> results = {};  // set by what has built the outputs itself
  Knowledge* knowledge = nullptr;          // what is known at import

  ir::Value in(size_t i) const { return i < inputs.size() ? inputs[i] : ir::Value{}; }
  // Integer attribute, or the default. Throws Error when it has another kind.
  int64_t integer(const char* name, int64_t otherwise) const;
  // The value of `v` when it follows from constants, weights as read and given inputs; null otherwise.
  ir::TensorPtr known(ir::Value v) const;
  bool has(const char* name) const { return attrs.find(name) != attrs.end(); }
};

// Throws Error(unsupported) naming the node.
[[noreturn]] void unsupported(const Call& call, const std::string& why, std::string hint = {});
// Throws Error(bad_input) naming the node.
[[noreturn]] void malformed(const Call& call, const std::string& why);

}  // namespace mezzo::frontend
