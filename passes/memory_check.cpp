#include "passes/memory_check.h"

#include <map>
#include <set>

#include "ir/op.h"
#include "passes/storage_classes.h"

namespace mezzo::passes {

using namespace ir;

namespace {

struct Range {
  int64_t begin, end;
};

class Execution {
 public:
  Execution(const Graph& graph, int64_t alignment) : graph_(graph), alignment_(alignment) {
    for (const Update& u : graph.updates) {
      Value v = root_of(u.value);
      state_of_.try_emplace({v.node->id(), v.index}, u.state);
    }
  }

  void run() {
    for (auto& node : graph_.nodes())
      if (is_launch(*node)) launch(*node);
    for (const Output& o : graph_.outputs) read(o.value, "an output", nullptr);
    for (const Update& u : graph_.updates) read(u.value, "an update", nullptr);
  }

 private:
  static bool is_arena(const Value& root) { return is_launch(*root.node); }

  int64_t offset(Value root) const {
    const auto& offsets = root.node->offsets;
    check(offsets.size() == static_cast<size_t>(root.node->output_count()),
          "memory plan: ", root.node->op().name, " has no offsets");
    return offsets[static_cast<size_t>(root.index)];
  }

  Range range(Value root) const {
    int64_t at = offset(root), bytes = root.type().bytes();
    check(at >= 0 && at % alignment_ == 0 && at + bytes <= graph_.arena_bytes, "memory plan: offset ", at,
          " of ", root.node->op().name, " is not in the arena or not aligned");
    return {at, at + bytes};
  }

  void launch(const Node& n) {
    std::set<std::pair<int, int>> inputs;
    for (const Value& v : n.inputs()) {
      if (!v) continue;
      read(v, n.op().name, &n);
      Value root = root_of(v);
      if (is_arena(root) && offset(root) != -2) inputs.insert({root.node->id(), root.index});
    }
    std::set<std::pair<int, int>> outputs;
    for (int k = 0; k < n.output_count(); k++) {
      Value v = n.out(k);
      if (offset(v) == -2) {
        overwrite_state(n, k);
        continue;
      }
      Range r = range(v);
      for (auto it = bytes_.begin(); it != bytes_.end(); it++) {
        if (it->second.end <= r.begin || it->first >= r.end) continue;
        check(!inputs.count(it->second.owner) && !outputs.count(it->second.owner), "memory plan: output ", k,
              " of ", n.op().name, " overlaps another value of the launch");
      }
      write(r, {n.id(), k});
      outputs.insert({n.id(), k});
    }
  }

  void overwrite_state(const Node& n, int k) {
    auto it = state_of_.find({n.id(), k});
    check(it != state_of_.end(), "memory plan: an in-place output of ", n.op().name, " belongs to no state");
    check(may_overwrite(n, k, *it->second), "memory plan: ", n.op().name, " reads state ",
          it->second->s("name"), " at other places than it writes");
    check(overwritten_.insert({it->second, std::pair(n.id(), k)}).second, "memory plan: state ",
          it->second->s("name"), " is overwritten twice");
  }

  void write(Range r, std::pair<int, int> owner) {
    if (r.begin == r.end) return;
    auto it = bytes_.lower_bound(r.begin);
    if (it != bytes_.begin()) {
      auto before = std::prev(it);
      if (before->second.end > r.begin) {
        Span rest = before->second;
        before->second.end = r.begin;
        if (rest.end > r.end) bytes_[r.end] = rest;
      }
    }
    for (it = bytes_.lower_bound(r.begin); it != bytes_.end() && it->first < r.end; it = bytes_.erase(it))
      if (it->second.end > r.end) bytes_[r.end] = it->second;
    bytes_[r.begin] = {r.end, owner};
  }

  void read(Value v, std::string_view who, const Node* reader) {
    Value root = root_of(v);
    if (is_state(*root.node)) {
      // The launch that overwrites it has been asked whether it may.
      check(!overwritten_.count(root.node), "memory plan: ", who, " reads state ", root.node->s("name"),
            " after its update");
      return;
    }
    if (!is_arena(root)) return;
    if (offset(root) == -2) {
      auto owner = overwritten_.find(state_of_.at({root.node->id(), root.index}));
      check(owner != overwritten_.end() && owner->second == std::pair(root.node->id(), root.index),
            "memory plan: ", who, " reads an in-place value that is not there");
      return;
    }
    Range r = range(root);
    if (r.begin == r.end) return;
    auto it = bytes_.find(r.begin);
    check(it != bytes_.end() && it->second.end == r.end &&
              it->second.owner == std::pair(root.node->id(), root.index),
          "memory plan: ", who, " (", reader ? reader->id() : -1,
          ") reads a value whose bytes were overwritten");
  }

  struct Span {
    int64_t end;
    std::pair<int, int> owner;  // node id, output
  };
  const Graph& graph_;
  int64_t alignment_;
  std::map<int64_t, Span> bytes_;  // by begin: the last writer of each range
  std::map<std::pair<int, int>, const Node*> state_of_;
  std::map<const Node*, std::pair<int, int>> overwritten_;  // looked up only
};

}  // namespace

void check_memory(const Graph& planned, int64_t alignment) { Execution(planned, alignment).run(); }

}  // namespace mezzo::passes
