// time_loop.h: the launch of a loop over time, on any backend.
#pragma once
#include "codegen/launch.h"

namespace mezzo::codegen {

// The step becomes a list of launches of its own, made by `lowering`, and runs once per step on slices of the
// node's operands. Constants of a step have one element, so that kernels hold them.
std::unique_ptr<Launch> lower_time_loop(const ir::Node& node, std::unique_ptr<Lowering> lowering,
                                         std::string name);

}  // namespace mezzo::codegen
