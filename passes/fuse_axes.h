// fuse_axes.h: which axes of different values are the same loop. Two dims get one axis when a scalar op, a
// reduction or a Reshape that only splits and merges dims carries coordinates from one to the other
// unchanged. A dim that some Reshape splits is a list of axes for everybody, so that [B*T, C] and [B, T, C]
// become the same list.
#pragma once
#include <set>
#include <span>

#include "ir/op.h"

namespace mezzo::passes::fusion {

using AxisList = std::vector<int>;  // outermost first; dims of extent 1 have no axis

// True when every element of `part` occurs in `whole`, in the same order.
bool is_sublist(const AxisList& part, const AxisList& whole);
// `whole` without the elements of `part`.
AxisList without(const AxisList& whole, const AxisList& part);

// Output and input have the same elements in row-major order: Reshape, and what amounts to it.
bool keeps_order(const ir::Node&);
// Repeats its input along axes without reading any element outside of it (Expand).
bool repeats(const ir::Node&);

class Axes {
 public:
  explicit Axes(const ir::Graph&);

  // The axes of a value, or of one of its dims.
  AxisList of(ir::Value v) const;
  AxisList of_dim(ir::Value v, int dim) const;
  int64_t extent(int axis) const { return nodes_[static_cast<size_t>(axis)].extent; }
  int64_t count(const AxisList&) const;  // product of the extents
  // True for a node whose output has the axes of its input, so that it moves nothing.
  bool is_view(const ir::Node&) const;

 private:
  struct Axis {
    int64_t extent;
    int parent;              // union-find; itself at the root
    std::vector<int> parts;  // not empty: stands for these, outermost first
  };
  void build(const ir::Graph&, const std::set<int>& banned);
  bool unify(AxisList a, AxisList b);
  int find(int axis) const;
  void append(AxisList& out, int axis) const;
  int make(int64_t extent);
  bool same_extents_refine(const AxisList& a, const AxisList& b) const;

  mutable std::vector<Axis> nodes_;                  // find() shortens paths
  std::vector<std::vector<std::vector<int>>> dims_;  // [node id][output] -> one axis per dim, -1 for extent 1
};

}  // namespace mezzo::passes::fusion
