// storage_classes.h: which values share memory. A Reshape is an alias of its input; everything else that a
// launch writes has storage of its own, called its root.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

// A node that runs: no leaf and no alias.
bool is_launch(const ir::Node&);

// Whether `launch` may write output `output` over its inputs with storage `state`: a kernel that reads them
// only at the element it writes, or a launch that does not read them.
bool may_overwrite(const ir::Node& launch, int output, const ir::Node& state);

// Per node id: position of the node in the graph.
std::vector<int> positions(const ir::Graph&);

// The updates whose value could be computed in the storage of their state, provided that no launch behind the
// one that makes it reads the state: (update, launch output). At most one update per value.
std::vector<std::pair<const ir::Update*, ir::Value>> in_place_candidates(const ir::Graph&);

}  // namespace mezzo::passes
