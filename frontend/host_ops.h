// host_ops.h: operators whose result is known at import: constants, sizes, and programs on sizes.
#pragma once
#include "frontend/call.h"

namespace mezzo::frontend {

// Evaluates Constant, Shape, Size, ConstantOfShape, Range, Gather, NonZero, Unique and EyeLike where their
// inputs are known; sets call.results. Leaves every other call as it is.
void evaluate_on_host(Call& call);

// One of them, in host_unique.cpp.
void unique(Call& call);

// Whether there is such an operator here at all.
bool is_host_op(std::string_view op);

}  // namespace mezzo::frontend
