// schedule.h: the learning rate of a step.
#pragma once
#include "ir/graph.h"
#include "mezzo/options.h"
#include "passes/passes.h"

namespace mezzo::runtime {

// The formulas that passes::lr_factor puts into a step, for the host.
class LrFactor {
 public:
  explicit LrFactor(const Schedule& schedule);
  // What the learning rate is multiplied by in the step that follows `committed` steps that were not skipped.
  double at(int64_t committed) const;

 private:
  static constexpr const char *kCommitted = "committed", *kFactor = "factor";
  ir::Graph graph_;  // no output: always 1
};

passes::ScheduleOptions schedule_options(const Schedule& schedule);
// Throws Error(usage) for a schedule that has no meaning.
void check_schedule(const Schedule& schedule);

}  // namespace mezzo::runtime
