// objective.h: the number that training minimises, attached to an imported graph as output "loss".
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace mezzo::frontend {

// Semantics of the torch.nn losses with mean reduction. All but `output` take the model's first output and
// one more graph input, named by the labels key.
enum class Objective : uint8_t {
  cross_entropy,  // class ids (N, ...) against scores (N, C, ...); scores (..., C) when only that shape fits
  mse,            // targets of the output's shape, mean of squares
  l1,             // mean of absolute differences
  bce_with_logits,  // targets in [0, 1], output = logits
  output,           // the model's first output is the loss itself
};
std::string_view name(Objective);
std::optional<Objective> parse_objective(std::string_view);

struct ObjectiveOptions {
  Objective kind = Objective::cross_entropy;
  std::string labels_key = "labels";
  // What the labels of cross_entropy look like, when that is known from the data; without it (N, C, ...) is
  // assumed where the scores have a second axis.
  std::optional<ir::Type> labels;
  // cross_entropy: this part of the weight is spread evenly over all classes, 0 to 1.
  double label_smoothing = 0;
};

// Appends input `labels_key` and output "loss" (f32 or f64, no dims). Throws Error naming the output when it
// does not fit: not float, no class axis, not one number for Objective::output, or a labels key that is an
// input already.
void attach_objective(ir::Graph& graph, const ObjectiveOptions& options);

}  // namespace mezzo::frontend
