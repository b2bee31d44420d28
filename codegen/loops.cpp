#include "codegen/loops.h"

#include <algorithm>
#include <numeric>

namespace mezzo::codegen {
namespace {

using ir::Dims;
using ir::Value;

[[noreturn]] void refuse(std::string reason) { throw Unsupported(std::move(reason)); }

bool is_reduction(const ir::Node& n) { return n.op().meaning == ir::Meaning::reduce; }

// Facts about the nodes of a body, by position.
struct Body {
  std::vector<const ir::Node*> nodes;
  std::unordered_map<const ir::Node*, int> position;
  std::vector<bool> uniform;   // made of rank-0 inputs and constants alone
  std::vector<int> component;  // segment of the node
  std::vector<std::vector<int>> users;

  explicit Body(const ir::Graph& g) {
    for (const auto& n : g.nodes()) {
      position[n.get()] = static_cast<int>(nodes.size());
      nodes.push_back(n.get());
    }
    users.resize(nodes.size());
    uniform.resize(nodes.size());
    component.resize(nodes.size());
    std::iota(component.begin(), component.end(), 0);
    for (size_t i = 0; i < nodes.size(); i++) {
      const ir::Node& n = *nodes[i];
      uniform[i] = ir::is_input(n) ? n.type().rank() == 0 : n.op().meaning != ir::Meaning::index;
      for (const Value& v : n.inputs()) {
        if (!v) refuse("an absent operand");
        int p = position.at(v.node);
        users[static_cast<size_t>(p)].push_back(static_cast<int>(i));
        if (!uniform[static_cast<size_t>(p)]) uniform[i] = false;
      }
      if (n.output_count() != 1) refuse(concat("operator '", n.op().name, "' with several results"));
      for (const Value& v : n.inputs())
        if (!uniform[static_cast<size_t>(position.at(v.node))])
          join(static_cast<int>(i), position.at(v.node));
    }
  }
  int at(Value v) const { return position.at(v.node); }
  int find(int i) {
    while (component[static_cast<size_t>(i)] != i) i = component[static_cast<size_t>(i)];
    return i;
  }
  void join(int a, int b) {
    a = find(a), b = find(b);
    component[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
  }
};

Dims axes_of(const ir::Node& n) {
  Dims axes = n.ints("axes");
  if (axes.empty() && n.i("noop_with_empty_axes") == 0)
    for (int64_t i = 0; i < n.in_type(0).rank(); i++) axes.push_back(i);
  for (int64_t& a : axes) a = ir::normalize_axis(a, n.in_type(0).rank());
  return axes;
}

// One segment being put together.
class Builder {
 public:
  Builder(Body& body, Segment& segment) : b_(body), s_(segment) {}

  void build(const std::vector<Result>& outputs) {
    s_.results = outputs;
    collect();
    find_domain();
    classify();
    order();
    place_results();
  }

 private:
  // The nodes the outputs need, in order.
  void collect() {
    std::vector<bool> needed(b_.nodes.size());
    std::vector<int> stack;
    for (const Result& r : s_.results) stack.push_back(b_.at(r.value));
    while (!stack.empty()) {
      int i = stack.back();
      stack.pop_back();
      if (needed[static_cast<size_t>(i)]) continue;
      needed[static_cast<size_t>(i)] = true;
      for (const Value& v : b_.nodes[static_cast<size_t>(i)]->inputs()) stack.push_back(b_.at(v));
    }
    for (size_t i = 0; i < needed.size(); i++)
      if (needed[i]) s_.nodes.push_back(b_.nodes[i]);
    for (const ir::Node* n : s_.nodes)
      if (is_reduction(*n)) reductions_.push_back(n);
  }

  void find_domain() {
    bool first = true;
    auto widen = [&](const Dims& dims) {
      if (first) s_.domain.assign(dims.size(), 1);
      first = false;
      if (s_.domain.size() != dims.size()) refuse("values of different ranks in one segment");
      for (size_t k = 0; k < dims.size(); k++) {
        if (dims[k] != 1 && s_.domain[k] != 1 && dims[k] != s_.domain[k])
          refuse("shapes that are not aligned");
        if (dims[k] != 1) s_.domain[k] = dims[k];
      }
    };
    for (const Result& r : s_.results) widen(r.value.dims());
    for (const ir::Node* n : reductions_) widen(n->in_type(0).dims);
    s_.folded.assign(s_.domain.size(), false);
  }

  // A reduction is a row reduction when its result goes on to a larger value or to another reduction.
  bool feeds_row(const ir::Node* reduction) const {
    std::vector<int> stack{b_.position.at(reduction)};
    std::vector<bool> seen(b_.nodes.size());
    while (!stack.empty()) {
      int i = stack.back();
      stack.pop_back();
      for (int u : b_.users[static_cast<size_t>(i)]) {
        const ir::Node& user = *b_.nodes[static_cast<size_t>(u)];
        if (is_reduction(user) || user.type().dims != reduction->type().dims) return true;
        if (user.op().meaning != ir::Meaning::scalar) refuse("a reduction's result is moved");
        if (!seen[static_cast<size_t>(u)]) stack.push_back(u);
        seen[static_cast<size_t>(u)] = true;
      }
    }
    return false;
  }

  void classify() {
    for (const ir::Node* n : reductions_) {
      if (n->i("keepdims") == 0) refuse("a reduction without keepdims");
      (feeds_row(n) ? row_ : free_).push_back(n);
    }
    for (const ir::Node* n : row_)
      for (int64_t a : axes_of(*n)) s_.folded[static_cast<size_t>(a)] = true;
    if (row_.empty() && !free_.empty() && fold_as_rows())
      for (int64_t a : axes_of(*free_[0])) s_.folded[static_cast<size_t>(a)] = true;
    // What lies within a row is a row reduction too.
    for (const ir::Node* n : free_)
      if (within_row(*n) && row_like(*n)) row_.push_back(n);
    std::erase_if(free_,
                  [&](const ir::Node* n) { return std::find(row_.begin(), row_.end(), n) != row_.end(); });
    for (const ir::Node* n : row_) {
      if (!row_like(*n)) refuse("row reductions over different axes");
      for (size_t k = 0; k < s_.domain.size(); k++)
        if (s_.folded[k] && n->in_type(0).dims[k] != s_.domain[k])
          refuse("a row reduction of a part of the row");
    }
  }
  bool within_row(const ir::Node& n) const {
    for (int64_t a : axes_of(n))
      if (!s_.folded[static_cast<size_t>(a)] && n.in_type(0).dims[static_cast<size_t>(a)] != 1) return false;
    return true;
  }
  bool row_like(const ir::Node& n) const {
    std::vector<bool> axes(s_.domain.size());
    for (int64_t a : axes_of(n)) axes[static_cast<size_t>(a)] = true;
    for (size_t k = 0; k < s_.domain.size(); k++)
      if (s_.domain[k] != 1 && axes[k] != s_.folded[k]) return false;
    return true;
  }

  // Free reductions only: whether a task shall own whole reductions, or whether all tasks add up partial
  // results. The latter costs a second stage, the former needs enough results to share out, near to each
  // other in memory.
  bool fold_as_rows() const {
    for (const ir::Node* n : free_)
      if (axes_of(*n) != axes_of(*free_[0]) || n->in_type(0).dims != s_.domain) return false;
    std::vector<bool> axes(s_.domain.size());
    for (int64_t a : axes_of(*free_[0])) axes[static_cast<size_t>(a)] = true;
    int64_t total = 1, kept = 1;
    bool last_folded = false;
    for (size_t k = 0; k < s_.domain.size(); k++) {
      if (s_.domain[k] == 1) continue;
      total *= s_.domain[k];
      if (!axes[k]) kept *= s_.domain[k];
      last_folded = axes[k];
    }
    if (total <= 32768) return true;
    if (last_folded) return kept >= 16;
    return total <= 262144 || total / std::max<int64_t>(kept, 1) <= 16;
  }

  // Passes: a row reduction's result is known one pass after the one that folds it.
  void order() {
    std::vector<int> ready(b_.nodes.size());
    after_free_.assign(b_.nodes.size(), false);
    for (const ir::Node* n : s_.nodes) {
      auto i = static_cast<size_t>(b_.position.at(n));
      for (const Value& v : n->inputs()) {
        ready[i] = std::max(ready[i], ready[static_cast<size_t>(b_.at(v))]);
        if (after_free_[static_cast<size_t>(b_.at(v))]) after_free_[i] = true;
      }
      if (!is_reduction(*n)) continue;
      if (after_free_[i]) refuse("a reduction of a free reduction");
      FoldedValue f{n->out(), n->in(0), n->op().reduce, ready[i], false};
      bool row = std::find(row_.begin(), row_.end(), n) != row_.end();
      if (!row) {
        f.per_row = is_per_row(n->in_type(0).dims);
        check_shape(n->in_type(0).dims, f.per_row);
        after_free_[i] = true;
      }
      (row ? s_.row : s_.free).push_back(f);
      if (row) ready[i]++;
      if (!f.per_row) s_.passes = std::max(s_.passes, f.pass + 1);
    }
    ready_ = std::move(ready);
  }

  bool is_per_row(const Dims& dims) const {
    bool rows = false;
    for (size_t k = 0; k < dims.size(); k++)
      if (s_.folded[k] && s_.domain[k] != 1) {
        rows = true;
        if (dims[k] != 1) return false;
      }
    return rows;
  }
  // Every element of the domain (or every row) must make exactly one element.
  void check_shape(const Dims& dims, bool per_row) const {
    for (size_t k = 0; k < dims.size(); k++)
      if (dims[k] != s_.domain[k] && !(per_row && s_.folded[k]))
        refuse("a value that broadcasts into the domain");
  }

  void place_results() {
    for (Result& r : s_.results) {
      auto i = static_cast<size_t>(b_.at(r.value));
      if (after_free_[i]) {
        r.when = When::combine;
        continue;
      }
      bool per_row = is_per_row(r.value.dims());
      check_shape(r.value.dims(), per_row);
      r.when = per_row ? When::row : When::pass;
      r.pass = ready_[i];
      if (!per_row) s_.passes = std::max(s_.passes, r.pass + 1);
    }
  }

  Body& b_;
  Segment& s_;
  std::vector<const ir::Node*> reductions_, row_, free_;
  std::vector<int> ready_;
  std::vector<bool> after_free_;
};

}  // namespace

std::vector<Segment> find_segments(const ir::Graph& body, bool may_split) {
  Body b(body);
  // Outputs by component, in order of the first output. Uniform values have components of their own.
  std::vector<std::pair<int, std::vector<Result>>> groups;
  for (size_t k = 0; k < body.outputs.size(); k++) {
    Value v = body.outputs[k].value;
    int root = b.find(b.at(v));
    auto it = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == root; });
    if (it == groups.end()) it = groups.insert(groups.end(), {root, {}});
    it->second.push_back({static_cast<int>(k), v, When::pass, 0});
  }
  std::vector<Segment> segments;
  for (auto& [root, outputs] : groups) {
    try {
      Segment together;
      Builder(b, together).build(outputs);
      segments.push_back(std::move(together));
    } catch (const Unsupported&) {
      if (!may_split || outputs.size() == 1) throw;
      for (const Result& r : outputs) {
        segments.emplace_back();
        Builder(b, segments.back()).build({r});
      }
    }
  }
  return segments;
}

std::string segment_text(const ir::Graph& body, const Segment& segment) {
  std::unordered_map<const ir::Node*, size_t> number;
  std::string text;
  for (const ir::Node* n : segment.nodes) {
    text += concat("%", number.size(), " = ", n->op().name);
    number.emplace(n, number.size());
    for (const Value& v : n->inputs()) text += concat(" %", number.at(v.node));
    for (const auto& [key, attr] : n->attrs()) {
      if (ir::is_input(*n)) break;  // its name means nothing here
      text += concat(" ", key, "=");
      if (auto i = std::get_if<int64_t>(&attr)) text += concat(*i);
      if (auto d = std::get_if<double>(&attr)) text += concat(std::hexfloat, *d);
      if (auto s = std::get_if<std::string>(&attr)) text += *s;
      if (auto v = std::get_if<ir::Ints>(&attr)) text += ir::to_string(*v);
      if (auto v = std::get_if<ir::Floats>(&attr))
        for (double d : *v) text += concat(std::hexfloat, d, ",");
      if (auto t = std::get_if<ir::DType>(&attr)) text += ir::name(*t);
      if (auto t = std::get_if<ir::TensorPtr>(&attr); t && *t && (*t)->count() == 1)
        text += concat(std::hexfloat, number_of(**t).real, "/", number_of(**t).integer);
    }
    text += concat(" : ", ir::to_string(n->type()), "\n");
  }
  for (const Result& r : segment.results) text += concat("store %", number.at(r.value.node), "\n");
  (void)body;
  return text;
}

}  // namespace mezzo::codegen
