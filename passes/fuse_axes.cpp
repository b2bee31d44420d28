#include "passes/fuse_axes.h"

#include <algorithm>

namespace mezzo::passes::fusion {

using namespace ir;

bool is_sublist(const AxisList& part, const AxisList& whole) {
  size_t at = 0;
  for (int axis : whole)
    if (at < part.size() && part[at] == axis) at++;
  return at == part.size();
}

AxisList without(const AxisList& whole, const AxisList& part) {
  AxisList out;
  for (int axis : whole)
    if (std::find(part.begin(), part.end(), axis) == part.end()) out.push_back(axis);
  return out;
}

namespace {

Exprs coordinates(const Dims& dims) {
  Exprs at;
  for (size_t i = 0; i < dims.size(); i++) at.push_back(Expr::coordinate(static_cast<int>(i), dims[i]));
  return at;
}

// The only access of a movement op that reads one input without conditions.
std::optional<Exprs> plain_access(const Node& n) {
  if (n.op().meaning != Meaning::index || n.input_count() != 1) return std::nullopt;
  IndexMap map = n.op().index(n, coordinates(n.type().dims));
  if (map.value || map.accesses.size() != 1 || !map.accesses[0].when.empty()) return std::nullopt;
  return map.accesses[0].at;
}

}  // namespace

bool keeps_order(const Node& n) {
  if (is_reshape(n)) return true;
  if (n.op().meaning != Meaning::index || n.input_count() != 1 || n.type().count() != n.in_type(0).count())
    return false;
  auto at = plain_access(n);
  return at && linearize(*at, n.in_type(0).dims) == linearize(coordinates(n.type().dims), n.type().dims);
}

bool repeats(const Node& n) {
  auto at = plain_access(n);
  if (!at) return false;
  const Dims &in = n.in_type(0).dims, &out = n.type().dims;
  if (out.size() < in.size()) return false;
  Exprs to = coordinates(out);
  for (size_t i = 0; i < in.size(); i++) {
    size_t o = out.size() - in.size() + i;
    if (in[i] == 1 ? !(*at)[i].is_constant() : !(in[i] == out[o] && (*at)[i] == to[o])) return false;
  }
  return true;
}

Axes::Axes(const Graph& graph) {
  // A value whose list names an axis twice (x[:, None] - x[None, :]) cannot be placed in a loop nest by its
  // list. The Reshapes that put the same axis at two places are left out then, and stay movement.
  std::set<int> banned;
  for (bool again = true; again;) {
    build(graph, banned);
    again = false;
    std::set<int> twice;
    for (auto& node : graph.nodes())
      for (int k = 0; k < node->output_count(); k++) {
        AxisList list = of(node->out(k));
        std::sort(list.begin(), list.end());
        for (size_t i = 1; i < list.size(); i++)
          if (list[i] == list[i - 1]) twice.insert(list[i]);
      }
    if (twice.empty()) break;
    for (auto& node : graph.nodes()) {
      // Also one that failed half way may have joined axes.
      if (banned.count(node->id()) || !keeps_order(*node)) continue;
      AxisList list = of(node->out()), in = of(node->in(0));
      list.insert(list.end(), in.begin(), in.end());
      if (std::any_of(list.begin(), list.end(), [&](int axis) { return twice.count(axis) > 0; }))
        again |= banned.insert(node->id()).second;
    }
  }
}

void Axes::build(const Graph& graph, const std::set<int>& banned) {
  nodes_.clear();
  dims_.clear();
  for (auto& node : graph.nodes()) {
    dims_.resize(static_cast<size_t>(node->id()) + 1);
    for (const Type& t : node->types()) {
      auto& list = dims_[static_cast<size_t>(node->id())].emplace_back();
      for (int64_t extent : t.dims) list.push_back(extent == 1 ? -1 : make(extent));
    }
  }
  auto axis = [&](Value v, int dim) {
    return dims_[static_cast<size_t>(v.node->id())][static_cast<size_t>(v.index)][static_cast<size_t>(dim)];
  };
  // First what cannot fail: equal dims become one axis, nothing is split yet.
  for (auto& node : graph.nodes()) {
    Value out = node->output_count() > 0 ? node->out() : Value{};
    Meaning meaning = node->op().meaning;
    if (meaning == Meaning::scalar || (meaning == Meaning::index && repeats(*node))) {
      for (const Value& in : node->inputs())
        for (int d = 0; d < in.rank(); d++)
          if (int from = axis(in, d); from >= 0) unify({from}, {axis(out, out.rank() - in.rank() + d)});
    } else if (meaning == Meaning::reduce) {
      Ints folded = folded_axes(*node);
      for (int d = 0; d < node->in(0).rank(); d++)
        if (!std::binary_search(folded.begin(), folded.end(), d) && axis(node->in(0), d) >= 0)
          unify({axis(node->in(0), d)}, {axis(out, d)});
    }
  }
  for (auto& node : graph.nodes())
    if (node->op().meaning == Meaning::index && !banned.count(node->id()) && node->type().count() > 0 &&
        keeps_order(*node)) {
      AxisList in = of(node->in(0)), out = of(node->out());
      if (same_extents_refine(in, out)) unify(in, out);
    }
}

int Axes::make(int64_t extent) {
  int id = static_cast<int>(nodes_.size());
  nodes_.push_back({extent, id, {}});
  return id;
}

int Axes::find(int a) const {
  while (nodes_[static_cast<size_t>(a)].parent != a) {
    int& parent = nodes_[static_cast<size_t>(a)].parent;
    parent = nodes_[static_cast<size_t>(parent)].parent;
    a = parent;
  }
  return a;
}

void Axes::append(AxisList& out, int axis) const {
  std::vector<int> work{axis};
  while (!work.empty()) {
    int a = find(work.back());
    work.pop_back();
    const auto& parts = nodes_[static_cast<size_t>(a)].parts;
    if (parts.empty())
      out.push_back(a);
    else
      work.insert(work.end(), parts.rbegin(), parts.rend());
  }
}

AxisList Axes::of(Value v) const {
  AxisList out;
  for (int a : dims_[static_cast<size_t>(v.node->id())][static_cast<size_t>(v.index)])
    if (a >= 0) append(out, a);
  return out;
}

AxisList Axes::of_dim(Value v, int dim) const {
  AxisList out;
  int a = dims_[static_cast<size_t>(v.node->id())][static_cast<size_t>(v.index)][static_cast<size_t>(dim)];
  if (a >= 0) append(out, a);
  return out;
}

int64_t Axes::count(const AxisList& list) const {
  int64_t n = 1;
  for (int a : list) n *= extent(a);
  return n;
}

bool Axes::is_view(const Node& n) const { return keeps_order(n) && of(n.in(0)) == of(n.out()); }

// Whether the two lists have a common refinement.
bool Axes::same_extents_refine(const AxisList& a, const AxisList& b) const {
  size_t i = 0, j = 0;
  int64_t x = 1, y = 1;  // what is left of a[i-1] and b[j-1]
  while (true) {
    if (x == 1) x = i < a.size() ? extent(a[i++]) : 1;
    if (y == 1) y = j < b.size() ? extent(b[j++]) : 1;
    if (x == 1 || y == 1) return x == y;
    if (x % y != 0 && y % x != 0) return false;
    int64_t common = std::min(x, y);
    x /= common;
    y /= common;
  }
}

bool Axes::unify(AxisList a, AxisList b) {
  std::reverse(a.begin(), a.end());  // the next one to match is at the back
  std::reverse(b.begin(), b.end());
  auto next = [&](AxisList& list) {
    AxisList now;
    append(now, list.back());
    list.pop_back();
    list.insert(list.end(), now.rbegin(), now.rend());
    return list.back();
  };
  auto split = [&](AxisList& list, int64_t outer) {
    int whole = list.back();
    int64_t rest = extent(whole) / outer;
    std::vector<int> parts{make(outer), make(rest)};
    nodes_[static_cast<size_t>(whole)].parts = parts;
    list.back() = parts[1];
    list.push_back(parts[0]);
    return parts[0];
  };
  while (!a.empty() && !b.empty()) {
    int x = next(a), y = next(b);
    if (x != y) {
      if (extent(x) > extent(y) && extent(x) % extent(y) == 0) x = split(a, extent(y));
      if (extent(y) > extent(x) && extent(y) % extent(x) == 0) y = split(b, extent(x));
      // Splitting one may have split the other, when it occurs in both lists.
      x = next(a);
      y = next(b);
      if (extent(x) != extent(y)) return false;
      if (x != y) nodes_[static_cast<size_t>(x)].parent = y;
    }
    a.pop_back();
    b.pop_back();
  }
  return a.empty() && b.empty();
}

}  // namespace mezzo::passes::fusion
