// fuse_groups.h: the partition of the units into kernels. Built in four steps, each deterministic in node
// order: grow (consumers join their producers), recompute (cheap values are computed again where they are
// read, instead of being stored), merge_siblings (kernels that read the same data become one), bundle (small
// independent kernels become segments of one launch).
#pragma once
#include "passes/fuse_nest.h"

namespace mezzo::passes::fusion {

// One segment: a loop nest.
struct Segment {
  std::vector<int> members;  // units it computes, ascending
  std::set<int> again;       // units of other kernels that it computes for itself
  Nest nest;
};

struct Group {
  std::vector<int> units;  // all units that were put here, for reachability; ascending
  std::vector<Segment> segments;
  ir::Phase phase = ir::Phase::forward;  // the latest of its units
  bool alive = true;                     // computes something that somebody reads
};

struct LessValue {
  const Flow* flow;
  bool operator()(const ir::Value& a, const ir::Value& b) const {
    return std::pair(flow->position(a.node), a.index) < std::pair(flow->position(b.node), b.index);
  }
};
using ValueSet = std::set<ir::Value, LessValue>;

class Groups {
 public:
  explicit Groups(const Flow&);

  void grow();
  void recompute();
  void merge_siblings();
  void bundle();

  const Flow& flow() const { return flow_; }
  const std::vector<Group>& all() const { return groups_; }
  int group_of(int unit) const { return group_of_[static_cast<size_t>(unit)]; }
  // What a segment loads: leaves and units computed elsewhere.
  ValueSet inputs(const Segment&) const;
  ValueSet inputs(const Group&) const;
  // Units of the group that are read by others or leave the graph.
  std::vector<int> outputs(const Group&) const;

 private:
  Group& group(int g) { return groups_[static_cast<size_t>(g)]; }
  // A path from a to b or back that leaves both: one launch could not have both.
  bool entangled(int a, int b);
  bool reaches(int from, int to);
  bool try_merge(int into, int other);
  void absorb(int into, int other);
  bool settle();

  struct Chain;
  Chain chain_of(int v) const;
  bool replace_reads(int v);
  bool is_stored(int unit) const;
  bool can_store(int unit) const;
  void count_readers();
  void update_loads(int g);
  void drop_dead();
  bool prune(int g);
  void start(int unit, ir::Phase phase);
  void join_producers(int unit);
  void regroup(int g, const std::vector<int>& members);
  void merge_scalars();
  bool can_share_launch(int a, int b);

  const Flow& flow_;
  std::vector<Group> groups_;
  std::vector<int> group_of_;
  std::vector<int> seen_;  // per group: number of the last search that saw it
  int search_ = 0;
  // From recompute on: what each group loads, and per position the groups that load it.
  std::vector<ValueSet> loads_;
  std::vector<std::set<int>> readers_;
};

}  // namespace mezzo::passes::fusion
