// fuse_flow.h: the graph as fusion sees it. *Units* are the nodes that compute: scalar ops, reductions, ops
// with a kernel of their own, and movement whose result somebody needs in memory. All other movement is free:
// it happens in the loads of the units that read through it.
#pragma once
#include "passes/fuse_axes.h"

namespace mezzo::passes::fusion {

enum class Role : uint8_t {
  leaf,    // Input, State, Constant
  kernel,  // launched on its own
  scalar,
  reduce,
  view,    // moves nothing: the same elements on the same axes
  repeat,  // broadcasts along axes
  movement,
};

// What a unit reads: output `value` of a leaf or unit, at the unit's own coordinates (`aligned`) or through
// movement.
struct Read {
  ir::Value value;
  bool aligned;
};

class Flow {
 public:
  explicit Flow(const ir::Graph&);

  const ir::Graph& graph() const { return graph_; }
  const Axes& axes() const { return axes_; }
  int size() const { return static_cast<int>(nodes_.size()); }
  const ir::Node& node(int at) const { return *nodes_[static_cast<size_t>(at)]; }
  int position(const ir::Node* n) const { return position_[static_cast<size_t>(n->id())]; }
  Role role(int at) const { return roles_[static_cast<size_t>(at)]; }
  bool is_unit(int at) const { return unit_[static_cast<size_t>(at)]; }
  // True for units that a Kernel may compute: all but kernel ops.
  bool is_fusible(int at) const { return is_unit(at) && role(at) != Role::kernel; }
  // The value must be in memory: a kernel op reads it or it leaves the graph.
  bool is_forced(int at) const { return forced_[static_cast<size_t>(at)]; }
  const AxisList& list(int at) const { return lists_[static_cast<size_t>(at)]; }
  const std::vector<Read>& reads(int at) const { return reads_[static_cast<size_t>(at)]; }
  const std::vector<int>& users(int at) const { return users_[static_cast<size_t>(at)]; }  // units, ascending

  // The value whose elements `v` has on its own axes, looking through views and repeats.
  ir::Value source(ir::Value v) const;
  // The value whose memory `v` shares: looks through everything that keeps the order.
  ir::Value stored(ir::Value v) const;
  // Leaves and units that `v` reads through movement, in order of first occurrence; `v` itself when it is
  // one.
  ir::Values origins(ir::Value v) const;
  // Axes that reduction `at` folds.
  const AxisList& folded(int at) const { return folded_[static_cast<size_t>(at)]; }
  // Machine operations per element of unit `at`, roughly.
  int flops(int at) const;
  int64_t bytes(ir::Value v) const { return v.type().bytes(); }

 private:
  void find_units();
  const ir::Graph& graph_;
  Axes axes_;
  std::vector<const ir::Node*> nodes_;
  std::vector<int> position_;
  std::vector<Role> roles_;
  std::vector<bool> unit_, forced_, order_;
  std::vector<AxisList> lists_, folded_;
  std::vector<std::vector<Read>> reads_;
  std::vector<std::vector<int>> users_;
};

}  // namespace mezzo::passes::fusion
