// dump.h: what a compilation decided, as text: the precision plan and the memory plan. (The stages themselves
// are written by the pass runner.)
#pragma once
#include <string>

#include "ir/graph.h"

namespace mezzo::runtime {

// What a planned graph needs: the arena's size, the values that are live at the peak, and what lies outside
// the arena. All sizes in bytes.
struct MemorySummary {
  int64_t arena = 0;  // the plan's; once compiled, with the scratch of libraries and reductions
  int64_t max_live = 0, parameters = 0, other_state = 0, inputs = 0, constants = 0;
  int64_t total() const { return arena + parameters + other_state + inputs + constants; }
};
MemorySummary summarize_memory(const ir::Graph& planned);

// memory.txt: the summary, and the values at the peak, largest first.
std::string memory_text(const ir::Graph& planned);

}  // namespace mezzo::runtime
