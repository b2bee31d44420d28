// attention.h: launches for the attention kernels, tile by tile: the scores never stand in memory.
#pragma once
#include "codegen/cpu/launch.h"

namespace mezzo::codegen::cpu {

// For is_attention and is_attention_gradient nodes; null for f64. The same result for every number of
// threads.
std::unique_ptr<Launch> lower_attention(const ir::Node& node, std::string name, Threads threads);

}  // namespace mezzo::codegen::cpu
