// kernel_check.h: checks a kernel body against rules 1 to 7 of codegen/README.md, from dims alone, knowing
// nothing of how fusion made it.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

// The segments of a body: nodes that hang together, not counting constants and rank-0 inputs, in node order.
std::vector<std::vector<const ir::Node*>> body_segments(const ir::Graph& body);

// Throws InternalError that quotes the rule and names the op.
void check_kernel(const ir::Graph& body);

}  // namespace mezzo::passes
