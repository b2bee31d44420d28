// lr_factor.h: the schedule of the learning rate as a part of the step, so that no step waits for the host to
// tell it.
#pragma once
#include "ir/build.h"
#include "passes/passes.h"

namespace mezzo::passes {

// f64[]: what the learning rate is multiplied by in the step that follows `committed` (i64[]) steps that were
// not skipped. Null where that is always 1.
ir::Value lr_factor(ir::Value committed, const ScheduleOptions& schedule);

}  // namespace mezzo::passes
