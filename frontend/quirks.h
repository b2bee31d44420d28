// quirks.h: the forms that operators had in older operator sets, and the few operators that are others in
// disguise.
#pragma once
#include "frontend/call.h"

namespace mezzo::frontend {

// Brings the call into the newest form of its operator: renames, moves and completes attributes, or builds
// the outputs itself (call.results).
void apply_quirks(Call& call);

}  // namespace mezzo::frontend
