// text.h: the canonical text form of a graph. Values are numbered depth-first from the outputs (in execution order once
// the graph is scheduled), so equal graphs print equally whatever built them; it parses back to an equal graph.
#pragma once
#include "ir/graph.h"

namespace mezzo::ir {

using TensorMap = std::map<std::string, TensorPtr, std::less<>>;

struct PrintOptions {
  int64_t inline_limit = 16;  // constants with more elements are printed as @name, see elided_tensors
  bool origins = true;        // " ; from conv1, forward" behind each node
};
std::string print(const Graph& graph, const PrintOptions& options = {});

// The constants that print() elides, by the name it gives them (a hash of their content).
TensorMap elided_tensors(const Graph& graph, const PrintOptions& options = {});

// Throws Error naming line and column. `tensors` supplies elided constants; one that is missing is an Error.
Graph parse(std::string_view text, const TensorMap& tensors = {});

// Checks structure and re-infers every type; throws InternalError naming the first node that is wrong.
void verify(const Graph& graph);

}  // namespace mezzo::ir
