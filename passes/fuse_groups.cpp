#include "passes/fuse_groups.h"

#include <algorithm>

namespace mezzo::passes::fusion {

using namespace ir;

namespace {

std::vector<int> united(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> out;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

}  // namespace

Groups::Groups(const Flow& flow) : flow_(flow), group_of_(static_cast<size_t>(flow.size()), -1) {}

// Positions do not bound the search: a group in between may be entered late and left early.
bool Groups::reaches(int from, int to) {
  search_++;
  seen_.resize(groups_.size(), 0);
  std::vector<int> work{from};
  seen_[static_cast<size_t>(from)] = search_;
  while (!work.empty()) {
    int g = work.back();
    work.pop_back();
    for (int unit : group(g).units)
      for (int user : flow_.users(unit)) {
        int next = group_of(user);
        if (next == to && g != from) return true;
        if (next < 0 || next == to || seen_[static_cast<size_t>(next)] == search_) continue;
        seen_[static_cast<size_t>(next)] = search_;
        work.push_back(next);
      }
  }
  return false;
}

bool Groups::entangled(int a, int b) { return reaches(a, b) || reaches(b, a); }

void Groups::absorb(int into, int other) {
  Group &a = group(into), &b = group(other);
  for (int unit : b.units) group_of_[static_cast<size_t>(unit)] = into;
  a.units = united(a.units, b.units);
  a.phase = std::max(a.phase, b.phase);
  b = Group{.alive = false};
}

// Makes one segment of two groups that have one each.
bool Groups::try_merge(int into, int other) {
  Group &a = group(into), &b = group(other);
  if (flow_.role(a.units[0]) == Role::kernel || flow_.role(b.units[0]) == Role::kernel) return false;
  Segment both;
  both.members = united(a.segments[0].members, b.segments[0].members);
  // The update waits for all gradients; what it adds to a backward kernel would wait there.
  auto is_update = [](const Group& g) { return g.phase == Phase::update; };
  auto is_number = [](const Group& g) { return g.segments[0].nest.domain.empty(); };
  if (is_update(a) != is_update(b) && !(is_number(a) && is_number(b))) return false;
  // What a group computes again was loaded until now; from members of the other it would follow them.
  for (auto [g, other_group] : {std::pair(&a, &b), std::pair(&b, &a)})
    for (int unit : g->segments[0].again)
      for (const Read& read : flow_.reads(unit))
        if (std::binary_search(other_group->segments[0].members.begin(),
                               other_group->segments[0].members.end(), flow_.position(read.value.node)))
          return false;
  std::function<bool(int)> leaves;
  if (!readers_.empty())
    leaves = [&](int unit) {
      if (flow_.is_forced(unit)) return true;
      for (int g : readers_[static_cast<size_t>(unit)])
        if (g != into && g != other) return true;
      return false;
    };
  auto nest = nest_of(flow_, both.members, leaves);
  if (!nest || entangled(into, other)) return false;
  both.nest = std::move(*nest);
  both.again = a.segments[0].again;
  both.again.insert(b.segments[0].again.begin(), b.segments[0].again.end());
  for (int unit : both.members) both.again.erase(unit);
  a.segments[0] = std::move(both);
  absorb(into, other);
  if (!readers_.empty()) {
    update_loads(other);
    update_loads(into);
  }
  return true;
}

// A group of its own.
void Groups::start(int unit, Phase phase) {
  group_of_[static_cast<size_t>(unit)] = static_cast<int>(groups_.size());
  groups_.push_back({{unit}, {}, phase, true});
  if (!flow_.is_fusible(unit)) return;
  auto nest = nest_of(flow_, {unit});
  const Node& n = flow_.node(unit);
  check(nest.has_value(), "fuse: ", n.op().name, " ", to_string(n.type()), " cannot stand alone in a kernel");
  groups_.back().segments = {{{unit}, {}, std::move(*nest)}};
}

void Groups::join_producers(int unit) {
  // The producer that saves most traffic first.
  std::vector<std::pair<int64_t, int>> producers;
  for (const Read& read : flow_.reads(unit)) {
    int from = flow_.position(read.value.node);
    if (read.aligned && flow_.is_fusible(from)) producers.push_back({-flow_.bytes(read.value), from});
  }
  std::sort(producers.begin(), producers.end());
  for (auto& [bytes, from] : producers) {
    int a = group_of(from), b = group_of(unit);
    if (a != b && group(a).alive) try_merge(std::min(a, b), std::max(a, b));
  }
}

void Groups::grow() {
  for (int at = 0; at < flow_.size(); at++) {
    if (!flow_.is_unit(at)) continue;
    start(at, flow_.node(at).phase);
    if (flow_.is_fusible(at)) join_producers(at);
  }
  // A value may have looked like an output while its consumers were not placed yet.
  for (int round = 0; round < 3 && settle(); round++) {
  }
}

bool Groups::settle() {
  bool changed = false;
  for (int at = 0; at < flow_.size(); at++) {
    if (!flow_.is_fusible(at)) continue;
    for (const Read& read : flow_.reads(at)) {
      int from = flow_.position(read.value.node);
      if (!read.aligned || !flow_.is_fusible(from)) continue;
      int a = group_of(from), b = group_of(at);
      if (a != b) changed |= try_merge(std::min(a, b), std::max(a, b));
    }
  }
  return changed;
}

ValueSet Groups::inputs(const Segment& s) const {
  ValueSet out{LessValue{&flow_}};
  std::vector<int> work = s.members;
  std::set<int> seen(work.begin(), work.end());
  while (!work.empty()) {
    int at = work.back();
    work.pop_back();
    for (const Read& read : flow_.reads(at)) {
      int from = flow_.position(read.value.node);
      bool inside = s.again.count(from) ||
                    (read.aligned && std::binary_search(s.members.begin(), s.members.end(), from));
      if (!inside)
        out.insert(read.value);
      else if (seen.insert(from).second)
        work.push_back(from);
    }
  }
  return out;
}

ValueSet Groups::inputs(const Group& g) const {
  ValueSet out{LessValue{&flow_}};
  for (const Segment& s : g.segments) out.merge(inputs(s));
  return out;
}

std::vector<int> Groups::outputs(const Group& g) const {
  std::vector<int> out;
  for (const Segment& s : g.segments)
    for (int unit : s.members)
      if (is_stored(unit)) out.push_back(unit);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace mezzo::passes::fusion
