// merge_siblings: kernels that read the same data in the same order become one. bundle: launches that are
// small or come in large numbers (optimizer updates, norms, weight casts, arithmetic on single numbers)
// become segments of one.
#include <algorithm>

#include "passes/fuse_groups.h"

namespace mezzo::passes::fusion {

using namespace ir;

namespace {

bool is_scalar(const Value& v) { return v.type().count() == 1; }

}  // namespace

void Groups::merge_siblings() {
  merge_scalars();
  // Who reads a value, or the same movement of one, at the coordinates of its own loops.
  std::vector<std::set<int>> readers = readers_;
  for (int at = 0; at < flow_.size(); at++)
    if (flow_.is_fusible(at) && flow_.role(at) != Role::movement)
      for (const Value& v : flow_.node(at).inputs()) {
        int from = flow_.position(flow_.source(v).node);
        if (flow_.role(from) == Role::movement) readers[static_cast<size_t>(from)].insert(group_of(at));
      }
  for (int at = 0; at < flow_.size(); at++) {
    const AxisList& list = flow_.list(at);
    if (flow_.axes().count(list) < 2) continue;
    // Movement that is stored may be stored by whoever reads through it.
    if (flow_.is_unit(at) && flow_.role(at) == Role::movement)
      readers[static_cast<size_t>(at)].insert(group_of(at));
    std::vector<int> those(readers[static_cast<size_t>(at)].begin(), readers[static_cast<size_t>(at)].end());
    for (size_t i = 0; i < those.size(); i++)
      for (size_t j = i + 1; j < those.size(); j++) {
        const Group &a = group(those[i]), &b = group(those[j]);
        if (!a.alive || !b.alive || a.segments.empty() || b.segments.empty() || a.phase != b.phase) continue;
        if (a.segments[0].nest.domain != list || b.segments[0].nest.domain != list) continue;
        try_merge(those[i], those[j]);
      }
  }
  drop_dead();  // a value that one of two merged kernels loaded, and the other computes again
}

// Arithmetic on single numbers: one kernel, as far as the order allows.
void Groups::merge_scalars() {
  std::vector<int> taken;
  for (int g = 0; g < static_cast<int>(groups_.size()); g++) {
    const Group& now = group(g);
    if (!now.alive || now.segments.empty() || !now.segments[0].nest.domain.empty()) continue;
    bool merged = false;
    for (size_t k = 0; k < taken.size() && !merged; k++) merged = try_merge(taken[k], g);
    if (!merged) taken.push_back(g);
  }
}

// Segments of one launch may share single numbers only, and none may read what another writes.
bool Groups::can_share_launch(int a, int b) {
  const ValueSet &x = loads_[static_cast<size_t>(a)], &y = loads_[static_cast<size_t>(b)];
  for (const Value& v : x)
    if ((!is_scalar(v) && y.count(v)) || group_of(flow_.position(v.node)) == b) return false;
  for (const Value& v : y)
    if (group_of(flow_.position(v.node)) == a) return false;
  return !entangled(a, b);
}

void Groups::bundle() {
  // Kinds of kernels that come in large numbers: 1 the optimizer's, 2 copies of weights in another type.
  // Single-number kernels (3) go along with the optimizer's.
  auto kind = [&](int g) {
    const Group& now = group(g);
    if (!now.alive || now.segments.empty()) return 0;
    if (now.segments[0].nest.domain.empty()) return 3;
    if (now.phase == Phase::update) return 1;
    const ValueSet& loads = loads_[static_cast<size_t>(g)];
    int64_t read = 0, written = 0;
    for (const Value& v : loads) {
      if (!is_state(*v.node)) return 0;
      read += flow_.bytes(v);
    }
    for (int unit : outputs(now)) written += flow_.bytes(flow_.node(unit).out());
    return !now.segments[0].nest.has_reductions && written <= read ? 2 : 0;
  };
  std::vector<std::pair<int, int>> open;  // kind, group
  for (int g = 0; g < static_cast<int>(groups_.size()); g++) {
    int k = kind(g);
    if (k == 0) continue;
    bool merged = false;
    for (size_t i = 0; i < open.size() && !merged; i++) {
      auto [other, into] = open[i];
      bool fits = other == k || (k == 3 && other == 1) || (k == 1 && other == 3);
      if (!fits || (k == 3 && other == 3) || !can_share_launch(into, g)) continue;
      Group &a = group(into), &b = group(g);
      a.segments.insert(a.segments.end(), b.segments.begin(), b.segments.end());
      if (k == 1) open[i].first = 1;
      absorb(into, g);
      update_loads(g);
      update_loads(into);
      merged = true;
    }
    if (!merged) open.push_back({k, g});
  }
}

}  // namespace mezzo::passes::fusion
