// memory_check.h: proves a memory plan by running it on names instead of numbers: who wrote each byte of the
// arena last?
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

// Throws InternalError when a launch would read bytes that another value has overwritten, when outputs of one
// launch overlap each other or its inputs, when a value lies outside of the arena, or when an in-place update
// hits a state whose old value is still wanted. `alignment` in bytes.
void check_memory(const ir::Graph& planned, int64_t alignment = 64);

}  // namespace mezzo::passes
