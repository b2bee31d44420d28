// trainable.h: which of a model's float initializers training moves.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "frontend/metadata.h"
#include "ir/graph.h"

namespace mezzo::frontend {

struct ParameterRow {
  std::string name;
  ir::Type type;
  bool trainable;
  std::string reason;  // "parameter", "frozen by --freeze", "constant: ...", "BatchNorm statistic", ...
};

// Globs over initializer names (* and ?). `train` non-empty: only names that match one of them are trained,
// constants too when they are named. `freeze` wins over `train`.
struct TrainableRules {
  std::vector<std::string> train, freeze;
  std::map<std::string, Role> roles = {};  // what the file tells about initializers: Imported::roles
};

// One row per parameter and statistic state, in graph order. `reaches_loss` says whether a differentiable
// path leads from a state to the loss (empty: all do). Throws Error(usage) for a pattern that matches
// nothing, and when nothing is left to train.
std::vector<ParameterRow> select_trainable(const ir::Graph& graph, const TrainableRules& rules,
                                           const std::function<bool(const ir::Node&)>& reaches_loss = {});

// Parameter states that are not trainable become constants. Statistics stay.
void freeze_parameters(ir::Graph& graph, const std::vector<ParameterRow>& rows);

// Rows as an aligned table: name, type, yes/no, reason.
std::string to_text(const std::vector<ParameterRow>& rows);

}  // namespace mezzo::frontend
