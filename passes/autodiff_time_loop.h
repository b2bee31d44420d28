// autodiff_time_loop.h: the gradient of a loop over time is a loop over time in the other direction.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

// Gradients of the inputs of a TimeLoop from those of its outputs (absent: none, or not needed). They are
// appended to the node's graph.
ir::Values differentiate_time_loop(const ir::Node& loop, const ir::Values& dy,
                                    const std::vector<bool>& needs);

}  // namespace mezzo::passes
