// fuse_body.h: a group as a kernel body.
#pragma once
#include "passes/fuse_groups.h"

namespace mezzo::passes::fusion {

struct Body {
  std::unique_ptr<ir::Graph> graph;
  // What the body's inputs stand for: values of the fused graph, and the dims the body sees them with (same
  // elements).
  std::vector<std::pair<ir::Value, ir::Dims>> inputs;
  std::vector<int> outputs;  // units, in order of the body's outputs
};

// Builds the body in coordinates of the loop nests; neighbouring axes that nothing tells apart become one.
Body build_body(const Groups& groups, const Group& group);

}  // namespace mezzo::passes::fusion
