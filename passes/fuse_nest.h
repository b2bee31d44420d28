// fuse_nest.h: whether a set of units can be one segment of a kernel body (codegen/README.md), and its loop
// nest.
#pragma once
#include "passes/fuse_flow.h"

namespace mezzo::passes::fusion {

struct Nest {
  AxisList domain;  // loops, outermost first
  AxisList folded;  // the axes of row reductions; empty without them
  bool has_reductions = false;
  std::vector<AxisList>
      spans;  // per member: the axes its value varies along, less than its list behind a repeat
  std::vector<bool> reduced;  // per member: depends on a reduction of the set
};

// `members`: positions of fusible units, ascending. `leaves` says which members must be written to memory; by
// default those that are forced or used outside of the set. Nothing when the set is not legal or clearly bad:
// whole-tensor row reductions that leave one task, columns folded only for the sake of another reduction,
// much work repeated per element.
std::optional<Nest> nest_of(const Flow& flow, const std::vector<int>& members,
                            const std::function<bool(int)>& leaves = nullptr);

}  // namespace mezzo::passes::fusion
