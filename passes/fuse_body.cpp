#include "passes/fuse_body.h"

#include <algorithm>
#include <map>

#include "ir/build.h"

namespace mezzo::passes::fusion {

using namespace ir;

namespace {

// A value in the coordinates of the loop nest, or (raw) in its own, because somebody reads it through
// movement.
struct Key {
  int at;
  int output;
  bool aligned;
  auto operator<=>(const Key&) const = default;
};

class SegmentBuilder {
 public:
  SegmentBuilder(const Flow& flow, const Segment& segment) : flow_(flow), s_(segment) {}

  void need(int unit) { work_.push_back({unit, 0, true}); }

  // Finds all values the outputs need; decides the dims of the nest.
  void explore() {
    while (!work_.empty()) {
      Key key = work_.back();
      work_.pop_back();
      if (!keys_.insert(key).second) continue;
      for (const Key& k : operands(key)) work_.push_back(k);
    }
    merge_axes();
  }

  const std::set<Key>& keys() const { return keys_; }
  bool is_load(const Key& k) const {
    Role role = flow_.role(k.at);
    return operands(k).empty() && role != Role::movement && role != Role::repeat && role != Role::view &&
           !inside(k);
  }
  Dims dims_of(const AxisList& list) const {
    Dims dims;
    for (const AxisList& merged : loops_) {
      bool has = std::find(list.begin(), list.end(), merged[0]) != list.end();
      dims.push_back(has ? flow_.axes().count(merged) : 1);
    }
    return dims;
  }
  // How an aligned load is declared: single numbers have rank 0.
  Dims load_dims(Value v) const {
    AxisList list = flow_.axes().of(v);
    return list.empty() ? Dims{} : dims_of(list);
  }

  Value build(const Key& key, Graph& body, const std::map<Key, Value>& built) const {
    const Node& n = flow_.node(key.at);
    std::vector<Key> from = operands(key);
    Values in;
    for (const Key& k : from) in.push_back(built.at(k));
    Role role = flow_.role(key.at);
    if (!key.aligned) return body.add(n.op(), std::move(in), n.attrs())->out();
    if (role == Role::view || role == Role::repeat) return in[0];
    if (role == Role::movement) return reshape(in[0], dims_of(flow_.list(key.at)));
    if (role == Role::scalar) {
      Value v = body.add(n.op(), std::move(in), n.attrs())->out();
      // What members see of others varies along all of its axes (Nest::spans), also behind a repeat.
      return s_.again.count(key.at) ? expand(v, dims_of(flow_.list(key.at))) : v;
    }
    Ints axes;
    for (size_t i = 0; i < loops_.size(); i++) {
      const AxisList& folded = flow_.folded(key.at);
      if (std::find(folded.begin(), folded.end(), loops_[i][0]) != folded.end())
        axes.push_back(static_cast<int64_t>(i));
    }
    // One element is its own fold, but a sum turns -0 into 0.
    if (axes.empty()) return n.op().reduce == Reduction::sum ? in[0] + 0.0 : in[0];
    Value full = expand(in[0], dims_of(flow_.axes().of(n.in(0))));
    return body.add(n.op(), {full}, {{"axes", axes}, {"keepdims", int64_t{1}}})->out();
  }

  Value output(int unit, const std::map<Key, Value>& built) const {
    return expand(built.at({unit, 0, true}), dims_of(flow_.list(unit)));
  }

 private:
  bool member(int at) const { return std::binary_search(s_.members.begin(), s_.members.end(), at); }
  bool inside(const Key& k) const { return (k.aligned && member(k.at)) || s_.again.count(k.at) > 0; }

  Key key(Value v, bool aligned) const { return {flow_.position(v.node), v.index, aligned}; }

  std::vector<Key> operands(const Key& k) const {
    const Node& n = flow_.node(k.at);
    std::vector<Key> out;
    switch (flow_.role(k.at)) {
      case Role::leaf:
      case Role::kernel: break;
      case Role::scalar:
      case Role::reduce:
        if (inside(k))
          for (const Value& v : n.inputs()) out.push_back(key(v, k.aligned));
        break;
      case Role::movement:
        if (k.aligned) {
          out.push_back({k.at, k.output, false});
          break;
        }
        [[fallthrough]];
      case Role::view:
      case Role::repeat:
        for (const Value& v : n.inputs()) out.push_back(key(v, k.aligned));
        break;
    }
    return out;
  }

  // Neighbouring axes become one loop when every aligned value has both or none.
  void merge_axes() {
    const AxisList& domain = s_.nest.domain;
    std::vector<bool> apart(domain.size(), false);
    auto tell = [&](const AxisList& list) {
      auto has = [&](size_t i) { return std::find(list.begin(), list.end(), domain[i]) != list.end(); };
      for (size_t i = 1; i < domain.size(); i++)
        if (has(i - 1) != has(i)) apart[i] = true;
    };
    for (const Key& k : keys_) {
      if (!k.aligned) continue;
      Role role = flow_.role(k.at);
      if (role != Role::view && role != Role::repeat) tell(flow_.axes().of(flow_.node(k.at).out(k.output)));
      if (role == Role::reduce && inside(k)) tell(flow_.folded(k.at));
      // Movement computes with the dims it has: merged ones would have to be taken apart again for every
      // element.
      if (role == Role::movement)
        for (int d = 0; d < flow_.node(k.at).type().rank(); d++)
          tell(flow_.axes().of_dim(flow_.node(k.at).out(), d));
    }
    for (size_t i = 0; i < domain.size(); i++) {
      if (i == 0 || apart[i]) loops_.emplace_back();
      loops_.back().push_back(domain[i]);
    }
  }

  const Flow& flow_;
  const Segment& s_;
  std::vector<Key> work_;
  std::set<Key> keys_;
  std::vector<AxisList> loops_;
};

bool is_immediate(const Node& n) { return is_constant(n) && n.type().count() == 1; }

}  // namespace

Body build_body(const Groups& groups, const Group& group) {
  const Flow& flow = groups.flow();
  Body out{std::make_unique<Graph>(), {}, groups.outputs(group)};
  Graph& body = *out.graph;
  body.name = "body";
  std::vector<SegmentBuilder> builders;
  for (const Segment& s : group.segments) {
    SegmentBuilder b(flow, s);
    for (int unit : out.outputs)
      if (std::binary_search(s.members.begin(), s.members.end(), unit)) b.need(unit);
    b.explore();
    builders.push_back(std::move(b));
  }
  // One input per value: in its own dims when somebody reads it through movement, else in those of the nest.
  std::map<std::pair<int, int>, std::pair<Dims, Value>> loads;
  for (const SegmentBuilder& b : builders)
    for (const Key& k : b.keys()) {
      if (!b.is_load(k)) continue;
      const Node& n = flow.node(k.at);
      check(flow.role(k.at) == Role::leaf || flow.role(k.at) == Role::kernel || flow.is_unit(k.at),
            "fuse: a kernel loads what is not stored");
      if (is_immediate(n)) continue;
      auto [it, fresh] = loads.try_emplace({k.at, k.output}, b.load_dims(n.out(k.output)), Value{});
      if (!k.aligned && n.type(k.output).count() > 1) it->second.first = n.type(k.output).dims;
    }
  for (auto& [where, load] : loads) {
    Value v = flow.node(where.first).out(where.second);
    load.second = body.input("in" + std::to_string(out.inputs.size()), {v.dtype(), load.first});
    out.inputs.push_back({v, load.first});
  }
  std::map<int, Value> results;
  for (const SegmentBuilder& b : builders) {
    std::map<Key, Value> built;
    for (const Key& k : b.keys()) {
      const Node& n = flow.node(k.at);
      if (!b.is_load(k)) {
        built[k] = b.build(k, body, built);
        continue;
      }
      Value v = n.out(k.output);
      Dims dims = k.aligned ? b.load_dims(v) : v.dims();
      built[k] = is_immediate(n) ? body.constant(n.tensor("value")->reshaped(dims))
                                 : reshape(loads.at({k.at, k.output}).second, dims);
    }
    for (int unit : out.outputs)
      if (built.count({unit, 0, true})) results[unit] = b.output(unit, built);
  }
  for (int unit : out.outputs)
    body.outputs.push_back({"out" + std::to_string(body.outputs.size()), results.at(unit)});
  body.remove_dead_nodes();
  return out;
}

}  // namespace mezzo::passes::fusion
