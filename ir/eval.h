// eval.h: the meaning of every op, slow and obvious. Two modes: `exact` computes every float in f64 and rounds nothing
// (the oracle for gradients); `rounded` rounds every value to its declared type (the bit-exact oracle of strict mode).
#pragma once
#include <map>

#include "ir/graph.h"

namespace mezzo::ir {

enum class EvalMode : uint8_t { exact, rounded };

struct EvalResult {
  std::map<std::string, Tensor> outputs;  // by output name; f64 in exact mode where the type is float
  std::map<std::string, Tensor> updates;  // new state by state name
};

// Runs the whole graph. `feeds` holds every input by name, and states that shall not start from graph.tensors / init.
// Throws Error for a missing feed or one of another type. Composite ops run through their expansion, Kernels through
// their body.
EvalResult evaluate(const Graph& graph, const std::map<std::string, Tensor>& feeds, EvalMode mode);

// One node on given inputs (null = absent).
std::vector<Tensor> evaluate_node(const Node& node, const std::vector<const Tensor*>& inputs, EvalMode mode);

// The start value of a state leaf.
Tensor initial_value(const Graph& graph, const Node& state);

}  // namespace mezzo::ir
