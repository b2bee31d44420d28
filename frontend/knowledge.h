// knowledge.h: what the importer can compute on the host while it builds a graph.
#pragma once
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "ir/graph.h"

namespace mezzo::frontend {

class Knowledge {
 public:
  Knowledge(const ir::Graph& graph, const std::map<std::string, ir::TensorPtr>& inputs)
      : graph_(graph), inputs_(inputs) {}

  // The value when it follows from constants, weights as read, and inputs whose value was given; null
  // otherwise.
  ir::TensorPtr value(ir::Value v);
  // Whether `v` is computed from weights that training may move: float initializers, but for numbers under
  // names that exporters make up.
  bool depends_on_weights(ir::Value v) const;
  // The outputs of a node on known inputs, in the rounded semantics; empty when that costs more than
  // docs/limits.md allows, or when the node cannot be evaluated.
  std::vector<ir::TensorPtr> evaluate(const ir::Node& node, const std::vector<ir::TensorPtr>& inputs);
  // Inputs whose values were used, by name.
  const std::set<std::string>& used_inputs() const { return used_; }

 private:
  ir::TensorPtr leaf(const ir::Node& node);
  const ir::Graph& graph_;
  const std::map<std::string, ir::TensorPtr>& inputs_;
  std::unordered_map<const ir::Node*, std::vector<ir::TensorPtr>> memo_;
  std::set<std::string> used_;
  int64_t work_ = 0;  // elements produced so far
};

}  // namespace mezzo::frontend
