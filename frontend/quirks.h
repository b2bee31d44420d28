// quirks.h: the forms that operators had in older operator sets, and the few operators that are others in
// disguise.
#pragma once
#include "frontend/call.h"

namespace mezzo::frontend {

// Brings the call into the newest form of its operator: renames, moves and completes attributes, or builds
// the outputs itself (call.results).
void apply_quirks(Call& call);

// What a quirk renames the operator to, or the operator itself; empty when a quirk builds it from others.
std::string_view newest_name(std::string_view op);

}  // namespace mezzo::frontend
