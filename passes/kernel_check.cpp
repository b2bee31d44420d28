#include "passes/kernel_check.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "ir/op.h"
#include "ir/text.h"

namespace mezzo::passes {

using namespace ir;

namespace {

bool joins_nothing(const Node& n) { return is_constant(n) || (is_input(n) && n.type().rank() == 0); }

// Same rank as the domain, every extent that of the domain or 1.
bool aligned(const Dims& dims, const Dims& domain) {
  if (dims.size() != domain.size()) return false;
  for (size_t i = 0; i < dims.size(); i++)
    if (dims[i] != domain[i] && dims[i] != 1) return false;
  return true;
}

class SegmentCheck {
 public:
  SegmentCheck(const Graph& body, const std::vector<const Node*>& nodes, const UseMap& uses)
      : nodes_(nodes), uses_(uses) {
    std::set<const Node*> inside(nodes.begin(), nodes.end());
    for (const Output& o : body.outputs)
      if (inside.count(o.value.node)) outputs_.push_back(o.value);
  }

  void run() {
    if (outputs_.empty()) return;
    for (const Node* n : nodes_) {
      check_node(*n);
      bool after = n->op().meaning == Meaning::reduce;
      has_reductions_ |= after;
      for (const Value& v : n->inputs()) after |= reduced_.count(v.node) > 0;
      if (after) reduced_.insert(n);
    }
    find_domain();
    for (const Node* n : nodes_)
      if (reduced_.count(n)) check_reduced(*n);
    check_rows();
    for (const Value& v : outputs_)
      must(has_reductions_ ? aligned(v.dims(), domain_) : v.dims() == domain_, *v.node,
           has_reductions_ ? "outputs are aligned with the domain (rule 7)"
                           : "the domain is the shape of every output (rule 1)");
  }

 private:
  void must(bool ok, const Node& n, std::string_view rule) const {
    check(ok, "illegal kernel body: ", rule, "; ", n.op().name, " ",
          n.output_count() > 0 ? to_string(n.type()) : std::string(), ", domain ", to_string(domain_));
  }

  void check_node(const Node& n) const {
    Meaning m = n.op().meaning;
    must(is_input(n) || is_constant(n) || m == Meaning::scalar || m == Meaning::index || m == Meaning::reduce,
         n, "only scalar, index and reduce primitives");
    if (is_constant(n)) must(n.type().count() == 1, n, "a constant of more than one element is an input");
    if ((m == Meaning::scalar && !is_cast(n)) || m == Meaning::reduce) {
      must(!is_low(n.type().dtype), n, "no arithmetic on 16-bit floats");
      for (const Value& v : n.inputs()) must(!is_low(v.dtype()), n, "no arithmetic on 16-bit floats");
    }
  }

  void find_domain() {
    if (!has_reductions_) {
      domain_ = outputs_[0].dims();
      return;
    }
    auto take = [&](const Dims& dims) {
      if (domain_.empty()) domain_.assign(dims.size(), 1);
      if (dims.size() != domain_.size()) return;  // found by the checks that follow
      for (size_t i = 0; i < dims.size(); i++) domain_[i] = std::max(domain_[i], dims[i]);
    };
    for (const Node* n : nodes_)
      if (n->op().meaning == Meaning::reduce) take(n->in(0).dims());
    for (const Value& v : outputs_) take(v.dims());
  }

  void check_reduced(const Node& n) {
    Meaning m = n.op().meaning;
    must(m == Meaning::scalar || m == Meaning::reduce, n,
         "what depends on a reduction is scalar or reduce (rule 4)");
    if (m == Meaning::reduce) {
      must(n.i("keepdims") == 1 && !n.ints("axes").empty(), n, "reductions keep their dims (rule 3)");
      must(aligned(n.in(0).dims(), domain_), n, "what is folded is aligned with the domain (rule 3)");
      return;
    }
    for (const Value& v : n.inputs()) {
      bool number = v.rank() == 0 && !reduced_.count(v.node);
      must(number || (is_constant(*v.node) && v.type().count() == 1) || aligned(v.dims(), domain_), n,
           "operands behind a reduction are aligned with the domain (rule 4)");
    }
  }

  void check_rows() {
    // Backwards: values that something larger or another reduction sees.
    std::set<const Node*> escapes;
    for (size_t i = nodes_.size(); i-- > 0;) {
      const Node* n = nodes_[i];
      if (!reduced_.count(n)) continue;
      for (const Use& use : uses_.of(n->out()))
        if (use.node->op().meaning == Meaning::reduce || use.node->type().dims != n->type().dims ||
            escapes.count(use.node))
          escapes.insert(n);
    }
    std::optional<std::set<int64_t>> rows;
    for (const Node* n : nodes_) {
      if (n->op().meaning != Meaning::reduce || !escapes.count(n)) continue;
      std::set<int64_t> axes;
      for (int64_t a : n->ints("axes"))
        if (domain_[static_cast<size_t>(a)] > 1) axes.insert(a);
      if (!rows) rows = axes;
      must(*rows == axes, *n, "row reductions fold the same axes (rule 5)");
      for (int64_t a : axes)
        must(n->in(0).dims()[static_cast<size_t>(a)] == domain_[static_cast<size_t>(a)], *n,
             "a row reduction folds whole rows (rule 5)");
    }
  }

  const std::vector<const Node*>& nodes_;
  const UseMap& uses_;
  Values outputs_;
  std::set<const Node*> reduced_;
  bool has_reductions_ = false;
  Dims domain_;
};

}  // namespace

std::vector<std::vector<const Node*>> body_segments(const Graph& body) {
  std::vector<const Node*> nodes;
  std::map<int, size_t> at;
  for (auto& node : body.nodes()) {
    at[node->id()] = nodes.size();
    nodes.push_back(node.get());
  }
  std::vector<size_t> parent(nodes.size());
  std::iota(parent.begin(), parent.end(), size_t{0});
  auto find = [&](size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (size_t i = 0; i < nodes.size(); i++)
    for (const Value& v : nodes[i]->inputs())
      if (!joins_nothing(*v.node)) parent[find(at.at(v.node->id()))] = find(i);
  std::vector<std::vector<const Node*>> out;
  std::map<size_t, size_t> number;
  for (size_t i = 0; i < nodes.size(); i++) {
    if (joins_nothing(*nodes[i])) continue;
    auto [it, fresh] = number.try_emplace(find(i), out.size());
    if (fresh) out.emplace_back();
    out[it->second].push_back(nodes[i]);
  }
  return out;
}

void check_kernel(const Graph& body) {
  check(body.updates.empty() && !body.outputs.empty(), "illegal kernel body: no outputs, or updates");
  UseMap uses(body);
  for (auto& node : body.nodes())
    check(!is_constant(*node) || node->type().count() == 1,
          "illegal kernel body: a constant of more than one element is an input; ", to_string(node->type()));
  try {
    for (auto& segment : body_segments(body)) SegmentCheck(body, segment, uses).run();
  } catch (const InternalError& e) {
    throw InternalError(concat(e.what(), "\n", print(body)));
  }
}

}  // namespace mezzo::passes
