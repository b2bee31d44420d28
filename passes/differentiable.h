// differentiable.h: which values carry gradient: those on a way over float edges from a parameter to the
// loss. Serves the reverse sweep and the trainability report.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

class Differentiable {
 public:
  // How strongly a value is tied to the loss: not at all; only by ways that pass an op which is flat almost
  // everywhere, so that its gradient is zero; or by a way that carries gradient.
  enum class Tie : uint8_t { none, flat, full };

  // Keeps pointers into `graph`; nodes added later count as carrying nothing.
  Differentiable(const ir::Graph& graph, ir::Value loss);

  // The gradient of `v` is wanted: it depends on a parameter and its tie to the loss is full.
  bool carries(ir::Value v) const;
  // The gradient of some output of `node` is wanted.
  bool carries(const ir::Node& node) const;
  // The edge into `node` at `input` carries gradient: both ends are float and the op does not rule it out.
  static bool carries(const ir::Node& node, size_t input);

  // `v` is a function of parameters and constants only (a weight, its cast, its transpose ...).
  bool is_weight(ir::Value v) const;

  Tie tie(const ir::Node& parameter) const;
  // Float parameter states in node order.
  const std::vector<ir::Node*>& parameters() const { return parameters_; }
  // Nodes that stand on a carrying way and have no gradient, in node order.
  std::vector<const ir::Node*> obstacles() const;

 private:
  struct Facts {
    bool trained = false;   // depends on a parameter over float edges
    bool weight = false;    // depends on nothing but parameters and constants
    std::vector<Tie> ties;  // per output
  };
  const Facts* facts(const ir::Node& node) const;
  const ir::Graph& graph_;
  std::vector<Facts> facts_;  // by node id
  std::vector<ir::Node*> parameters_;
};

// One line per node, "TopK (layer3/topk)": for errors and the report.
std::string describe(const ir::Node& node);

// Error(unsupported) naming all of them at once; returns if there are none.
void refuse(const std::vector<const ir::Node*>& obstacles);

}  // namespace mezzo::passes
