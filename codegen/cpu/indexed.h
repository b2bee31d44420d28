// indexed.h: launches for movement that follows indices in data, and for scans along an axis.
#pragma once
#include "codegen/cpu/launch.h"

namespace mezzo::codegen::cpu {

// Null for a node that is none of these.
std::unique_ptr<Launch> lower_indexed(const ir::Node& node, std::string name, Threads threads);

// One per op; `node` is such a one.
std::unique_ptr<Launch> lower_scatter(const ir::Node& node, Threads threads);
std::unique_ptr<Launch> lower_recurrence(const ir::Node& node, Threads threads);
std::unique_ptr<Launch> lower_top_k(const ir::Node& node, Threads threads);

}  // namespace mezzo::codegen::cpu
