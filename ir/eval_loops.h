// eval_loops.h: the evaluator's loops over elements, one per meaning. Inputs and `out` hold floats as f64 in
// exact mode, else as declared; `out` is allocated.
#pragma once
#include "ir/graph.h"

namespace mezzo::ir {

using TensorRefs = std::vector<const Tensor*>;  // null = absent

// 16-bit floats are computed in f32 and rounded once.
void evaluate_scalar(const Node& node, const TensorRefs& in, Tensor& out);
void evaluate_index(const Node& node, const TensorRefs& in, Tensor& out);
// Sums and products run in row-major order: in f32 for f32 and 16-bit floats, f64 for f64, exact (wrapping)
// for integers; one rounding at the end. max and min as the machine operations: NaN wins.
void evaluate_reduce(const Node& node, const TensorRefs& in, Tensor& out);

}  // namespace mezzo::ir
