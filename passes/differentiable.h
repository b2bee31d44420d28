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
  // Nodes whose gradient is zero almost everywhere (Floor, Sign ...) and that stand between a parameter and the
  // loss, in node order.
  std::vector<const ir::Node*> flat_nodes() const;

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

// A node that stands on a carrying way and has no gradient.
struct Obstacle {
  std::string op;
  ir::Origin origin;
  std::string why;
  std::vector<std::string> parameters;  // whose gradient would pass it, sorted
};
// All of them in node order, for a graph with output "loss". Works on a copy: some rules refuse only certain
// attributes, which shows when they are asked.
std::vector<Obstacle> missing_gradients(const ir::Graph& graph);

// "TopK (layer3/topk)": for errors and the report.
std::string describe(std::string_view op, const ir::Origin& origin);

}  // namespace mezzo::passes
