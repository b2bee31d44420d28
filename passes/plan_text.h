// plan_text.h: the precision plan as text that can be read, diffed, edited and fed back.
#pragma once
#include "passes/passes.h"

namespace mezzo::passes {

// One line per value: name, op, dtype, and the rule that decided behind '#'. Names are quoted where they hold
// blanks.
std::string write_plan(const std::vector<PlanRow>& rows, std::optional<ir::DType> low);

// Overrides from a plan file. `override PATTERN DTYPE` lines are taken as they are; value lines pin their
// value to the dtype they state, but only where it differs from the same line of `unedited` (what the rules
// give). Throws Error naming the line; `file` is for messages.
std::vector<PrecisionOverride> read_plan(std::string_view text, const std::vector<PlanRow>& unedited,
                                         std::string_view file);

}  // namespace mezzo::passes
