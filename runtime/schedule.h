// schedule.h: the learning rate of a step.
#pragma once
#include "mezzo/options.h"

namespace mezzo::runtime {

// What the learning rate is multiplied by in the step that follows `committed` steps that were not skipped.
double lr_factor(const Schedule& schedule, int64_t committed);
// Throws Error(usage) for a schedule that has no meaning.
void check_schedule(const Schedule& schedule);

}  // namespace mezzo::runtime
