#include "passes/fuse_nest.h"

#include <algorithm>

namespace mezzo::passes::fusion {

using namespace ir;

namespace {

constexpr int64_t kMaxLoneRow = 16384;  // elements; a longer row that is the only one wastes the machine
constexpr int kMaxRepeatedFlops = 6;    // work per element for values that vary along fewer axes

class Analysis {
 public:
  Analysis(const Flow& flow, const std::vector<int>& members, const std::function<bool(int)>& leaves)
      : flow_(flow), members_(members), leaves_(leaves) {}

  std::optional<Nest> run() {
    if (!find_domain() || !trace_values()) return std::nullopt;
    find_users();
    if (!classify_reductions() || !check_shapes() || !worth_it()) return std::nullopt;
    return std::move(nest_);
  }

 private:
  int index(const Node* n) const {
    int at = flow_.position(n);
    auto it = std::lower_bound(members_.begin(), members_.end(), at);
    return it != members_.end() && *it == at ? static_cast<int>(it - members_.begin()) : -1;
  }
  int at(size_t m) const { return members_[m]; }
  Role role(size_t m) const { return flow_.role(at(m)); }
  // Folding extents of 1 is no reduction.
  bool folds(size_t m) const { return !flow_.folded(at(m)).empty(); }
  const AxisList& list(size_t m) const { return flow_.list(at(m)); }
  // The list of what a reduction folds.
  AxisList operand(size_t m) const { return flow_.axes().of(flow_.node(at(m)).in(0)); }

  bool find_domain() {
    size_t count = members_.size();
    auto take = [&](const AxisList& list) {
      if (list.size() > nest_.domain.size()) nest_.domain = list;
    };
    for (size_t m = 0; m < count; m++) {
      take(list(m));
      if (folds(m)) take(operand(m));
    }
    for (size_t m = 0; m < count; m++)
      if (!is_sublist(list(m), nest_.domain) || (folds(m) && !is_sublist(operand(m), nest_.domain)))
        return false;
    return true;
  }

  // Spans, dependence on reductions, and the places that need a value in its full shape.
  bool trace_values() {
    for (size_t m = 0; m < members_.size(); m++) {
      AxisList span;
      bool reduced = folds(m);
      nest_.has_reductions |= reduced;
      for (const Read& read : flow_.reads(at(m))) {
        int from = index(read.value.node);
        if (from < 0) continue;
        if (!read.aligned) return false;  // a kernel cannot read at other places what it writes
        reduced = reduced || nest_.reduced[static_cast<size_t>(from)];
      }
      for (int axis : list(m)) {
        bool varies = folds(m) || role(m) == Role::movement;
        for (const Value& v : flow_.node(at(m)).inputs()) varies = varies || spans_axis(v, axis);
        if (varies) span.push_back(axis);
      }
      if (folds(m)) {
        Value v = flow_.node(at(m)).in(0);
        int from = index(flow_.source(v).node);
        if (from >= 0 && nest_.reduced[static_cast<size_t>(from)] &&
            nest_.spans[static_cast<size_t>(from)] != operand(m))
          return false;
      }
      if (reduced && role(m) == Role::repeat) return false;
      nest_.spans.push_back(std::move(span));
      nest_.reduced.push_back(reduced);
    }
    return true;
  }

  bool spans_axis(Value v, int axis) const {
    Value from = flow_.source(v);
    int m = index(from.node);
    const AxisList list = m >= 0 ? nest_.spans[static_cast<size_t>(m)] : flow_.axes().of(from);
    return std::find(list.begin(), list.end(), axis) != list.end();
  }

  // Which members are outputs; which reduced ones are seen by values of their own shape only, or by larger
  // ones.
  void find_users() {
    size_t count = members_.size();
    output_.assign(count, false);
    own_shape_only_.assign(count, true);
    broadcast_.assign(count, false);
    for (size_t m = count; m-- > 0;) {
      output_[m] = leaves_ ? leaves_(at(m)) : flow_.is_forced(at(m));
      for (int user : flow_.users(at(m))) {
        int u = index(&flow_.node(user));
        if (u < 0) {
          if (!leaves_) output_[m] = true;
          continue;
        }
        auto k = static_cast<size_t>(u);
        bool larger = !folds(k) && list(k) != list(m);
        if (folds(k) || larger || !own_shape_only_[k]) own_shape_only_[m] = false;
        if (larger || (!folds(k) && broadcast_[k])) broadcast_[m] = true;
      }
    }
  }

  bool classify_reductions() {
    bool found = false, wanted = false;
    for (size_t m = 0; m < members_.size(); m++) {
      if (!folds(m) || own_shape_only_[m]) continue;
      if (found && nest_.folded != flow_.folded(at(m))) return false;
      found = true;
      nest_.folded = flow_.folded(at(m));
      wanted = wanted || broadcast_[m];
    }
    rows_ = without(nest_.domain, nest_.folded);
    for (size_t m = 0; m < members_.size(); m++) {
      if (!folds(m)) continue;
      bool row = !nest_.folded.empty() && flow_.folded(at(m)) == nest_.folded;
      AxisList in = operand(m);
      if (row ? in != nest_.domain : !own_shape_only_[m]) return false;
      if (!row && in != nest_.domain && (nest_.folded.empty() || in != rows_)) return false;
    }
    if (nest_.folded.empty()) return true;
    // Folding columns for another reduction's sake (the norm of a bias gradient) keeps tasks from reading
    // along memory.
    bool inner = nest_.folded.back() == nest_.domain.back();
    if (!inner && !wanted) return false;
    return !rows_.empty() || flow_.axes().count(nest_.domain) <= kMaxLoneRow;
  }

  bool check_shapes() const {
    for (size_t m = 0; m < members_.size(); m++) {
      bool full = list(m) == nest_.domain, row = !nest_.folded.empty() && list(m) == rows_;
      if (!full && !row && !small_inputs_inside(m)) return false;
      if (!nest_.reduced[m]) {
        if (output_[m] && !full && !row) return false;
        continue;
      }
      if (!full && !row && !own_shape_only_[m]) return false;
      if (output_[m] && nest_.spans[m] != list(m)) return false;
    }
    return true;
  }

  // A small value joins the kernel of the big reduction it comes from, not one of several: the sum of many
  // norms would make their kernels a chain.
  bool small_inputs_inside(size_t m) const {
    if (folds(m)) return true;
    for (const Read& read : flow_.reads(at(m)))
      if (read.aligned && index(read.value.node) < 0 && flow_.is_fusible(flow_.position(read.value.node)) &&
          flow_.axes().of(read.value) == list(m))
        return false;
    return true;
  }

  bool worth_it() const {
    int repeated = 0;
    for (size_t m = 0; m < members_.size(); m++) {
      bool row = !nest_.folded.empty() && list(m) == rows_;
      if (!nest_.reduced[m] && list(m) != nest_.domain && !row) repeated += flow_.flops(at(m));
    }
    return repeated <= kMaxRepeatedFlops;
  }

  const Flow& flow_;
  const std::vector<int>& members_;
  const std::function<bool(int)>& leaves_;
  Nest nest_;
  AxisList rows_;
  std::vector<bool> output_, own_shape_only_, broadcast_;
};

}  // namespace

std::optional<Nest> nest_of(const Flow& flow, const std::vector<int>& members,
                            const std::function<bool(int)>& leaves) {
  return Analysis(flow, members, leaves).run();
}

}  // namespace mezzo::passes::fusion
