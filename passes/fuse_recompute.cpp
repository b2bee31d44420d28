// recompute: a value that crosses from one kernel to another costs a write and a read. Where it follows with
// few operations from values that are in memory anyway (the normalised activation from the activation and its
// statistics, a softmax from its logits, a mask from what it compares), the reader computes it again: same
// operations, same bits.
#include <algorithm>

#include "passes/fuse_groups.h"

namespace mezzo::passes::fusion {

using namespace ir;

namespace {

constexpr int kMaxFlopsAgain = 64;    // per element, when the work is done twice
constexpr int kMaxFlopsMoved = 256;   // when it only moves to its one reader
constexpr int kMaxFlopsRepeated = 4;  // when an element is needed several times

}  // namespace

// The units that compute `v` from what is in memory.
struct Groups::Chain {
  std::vector<int> units;
  std::vector<Value> bases;
  int flops = 0;
  bool exclusive = true;  // nobody else needs the units
};

bool Groups::is_stored(int unit) const {
  if (flow_.is_forced(unit) || flow_.role(unit) == Role::kernel || flow_.role(unit) == Role::leaf)
    return true;
  return !readers_[static_cast<size_t>(unit)].empty();
}

void Groups::count_readers() {
  loads_.assign(groups_.size(), ValueSet{LessValue{&flow_}});
  readers_.assign(static_cast<size_t>(flow_.size()), {});
  for (size_t g = 0; g < groups_.size(); g++) update_loads(static_cast<int>(g));
}

void Groups::update_loads(int g) {
  ValueSet& loads = loads_[static_cast<size_t>(g)];
  for (const Value& v : loads) readers_[static_cast<size_t>(flow_.position(v.node))].erase(g);
  loads = group(g).alive ? inputs(group(g)) : ValueSet{LessValue{&flow_}};
  for (const Value& v : loads) readers_[static_cast<size_t>(flow_.position(v.node))].insert(g);
}

Groups::Chain Groups::chain_of(int v) const {
  Chain chain;
  std::vector<int> work{v};
  std::set<int> seen{v};
  while (!work.empty()) {
    int at = work.back();
    work.pop_back();
    chain.units.push_back(at);
    chain.flops += flow_.flops(at);
    if (chain.flops > kMaxFlopsMoved) break;
    for (const Read& read : flow_.reads(at)) {
      int from = flow_.position(read.value.node);
      bool follow = read.aligned && flow_.role(from) == Role::scalar && flow_.list(from) == flow_.list(v) &&
                    !is_stored(from);
      if (!follow) {
        if (std::find(chain.bases.begin(), chain.bases.end(), read.value) == chain.bases.end())
          chain.bases.push_back(read.value);
      } else if (seen.insert(from).second) {
        work.push_back(from);
      }
    }
  }
  for (int unit : chain.units)
    for (int user : flow_.users(unit))
      if (unit != v && !seen.count(user)) chain.exclusive = false;
  std::sort(chain.units.begin(), chain.units.end());
  return chain;
}

// Whether the kernel that computes `unit` may write it: it has the shape of the loops or of the rows.
bool Groups::can_store(int unit) const {
  const Segment& home = groups_[static_cast<size_t>(group_of(unit))].segments[0];
  return nest_of(flow_, home.members, [&](int u) { return u == unit || is_stored(u); }).has_value();
}

// Lets every reader of `v` compute it, when that moves fewer bytes.
bool Groups::replace_reads(int v) {
  if (flow_.role(v) != Role::scalar || flow_.is_forced(v)) return false;
  std::set<int> readers = readers_[static_cast<size_t>(v)];
  if (readers.empty()) return false;
  Chain chain = chain_of(v);
  int home = group_of(v);
  bool used_at_home = false;
  for (int user : flow_.users(v)) used_at_home |= group_of(user) == home;
  bool moved = chain.exclusive && !used_at_home && readers.size() == 1;
  if (chain.flops > (moved ? kMaxFlopsMoved : kMaxFlopsAgain)) return false;

  Value value = flow_.node(v).out();
  int64_t before = flow_.bytes(value) * static_cast<int64_t>(1 + readers.size()), after = 0;
  // A kernel that makes nothing else disappears with its loads.
  std::vector<int> made = outputs(group(home));
  if (made == std::vector<int>{v})
    for (const Value& base : chain.bases)
      if (loads_[static_cast<size_t>(home)].count(base)) before += flow_.bytes(base);
  for (const Value& base : chain.bases) {
    if (is_stored(flow_.position(base.node))) continue;
    if (!can_store(flow_.position(base.node))) return false;
    after += flow_.bytes(base);
  }
  for (int reader : readers) {
    const Group& group = groups_[static_cast<size_t>(reader)];
    for (const Value& base : chain.bases)
      if (!loads_[static_cast<size_t>(reader)].count(base)) after += flow_.bytes(base);
    for (const Segment& s : group.segments) {
      if (chain.flops > kMaxFlopsRepeated && s.nest.domain != flow_.list(v)) {
        // Behind movement the domain has other axes: what counts is how often an element is read.
        bool once = true;
        for (int user : s.members)
          for (const Value& operand : flow_.node(user).inputs()) {
            Values from = flow_.origins(operand);
            if (std::find(from.begin(), from.end(), value) == from.end()) continue;
            int64_t reads = std::max(operand.type().count(), flow_.axes().count(s.nest.domain));
            once = once && reads <= value.type().count() + value.type().count() / 2;
          }
        if (!once) return false;
      }
    }
  }
  if (after >= before) return false;
  for (int reader : readers) {
    Segment& s = group(reader).segments[0];
    s.again.insert(chain.units.begin(), chain.units.end());
    update_loads(reader);
  }
  return true;
}

void Groups::recompute() {
  count_readers();
  for (int at = 0; at < flow_.size(); at++)
    if (flow_.is_fusible(at)) replace_reads(at);
  drop_dead();
}

// Forgets units that nobody reads any more. They still count for reachability, which is safe.
void Groups::drop_dead() {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t g = groups_.size(); g-- > 0;) changed |= prune(static_cast<int>(g));
  }
}

bool Groups::prune(int g) {
  if (!group(g).alive || group(g).segments.empty()) return false;
  Segment& s = group(g).segments[0];
  std::set<int> live, again;
  std::vector<int> work;
  for (int unit : s.members)
    if (is_stored(unit) && live.insert(unit).second) work.push_back(unit);
  while (!work.empty()) {
    int at = work.back();
    work.pop_back();
    for (const Read& read : flow_.reads(at)) {
      int from = flow_.position(read.value.node);
      bool member = read.aligned && std::binary_search(s.members.begin(), s.members.end(), from);
      bool fresh = member && live.insert(from).second;
      if (s.again.count(from)) fresh |= again.insert(from).second;
      if (fresh) work.push_back(from);
    }
  }
  if (live.size() == s.members.size()) return false;
  std::vector<int> members(live.begin(), live.end());
  if (members.empty()) {
    group(g).alive = false;
  } else {
    auto nest = nest_of(flow_, members, [&](int unit) { return is_stored(unit); });
    if (!nest) {
      s.again = std::move(again);
      regroup(g, members);
      return true;
    }
    s = {std::move(members), std::move(again), std::move(*nest)};
    Phase phase = Phase::forward;
    for (int unit : s.members) phase = std::max(phase, flow_.node(unit).phase);
    group(g).phase = phase;
  }
  update_loads(g);
  return true;
}

// What is left of a group may be no segment any more: two shapes that only a reduction held together.
void Groups::regroup(int g, const std::vector<int>& members) {
  Phase phase = group(g).phase;
  std::set<int> again = group(g).segments[0].again;
  group(g).alive = false;
  update_loads(g);
  for (int unit : members) {
    std::erase(group(g).units, unit);
    start(unit, phase);
    groups_.back().segments[0].again = again;
    loads_.push_back(ValueSet{LessValue{&flow_}});
  }
  for (int unit : members) update_loads(group_of(unit));
  for (int unit : members) join_producers(unit);
}

}  // namespace mezzo::passes::fusion
