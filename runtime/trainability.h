// trainability.h: everything that stands between a file and its training, in one report (`mezzo check`).
#pragma once
#include <functional>
#include <optional>

#include "frontend/findings.h"
#include "passes/passes.h"
#include "runtime/step_graph.h"

namespace mezzo::runtime {

struct Trainability {
  std::vector<frontend::Finding> findings;  // obstacles first, then warnings, then notes
  // Empty when an error ended the examination before they were known.
  std::vector<frontend::ParameterRow> parameters;
  std::vector<passes::PlanRow> plan;
  std::optional<Error> error;  // that ended it; among the findings, too
  bool trainable() const;
  int count(frontend::Finding::Level) const;
};

// `signature` is asked for the shapes; what it throws becomes a finding, like every Error of the import, the
// objective and the precision plan.
Trainability examine(const LoadedModel& model, const CompileOptions& options,
                     const std::function<Signature()>& signature);

}  // namespace mezzo::runtime
