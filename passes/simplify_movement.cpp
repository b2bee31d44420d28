// simplify_movement.cpp: movements that move nothing, that join, or that their consumer does by itself.
#include <numeric>

#include "ir/build.h"
#include "ir/eval.h"
#include "passes/simplify.h"

namespace mezzo::passes {
namespace {

using ir::Ints;
using ir::Node;
using ir::Value;
using ir::Values;

// Transpose that exchanges the last two axes and nothing else.
bool swaps_last_two(const Node& node) {
  if (!is_transpose(node) || node.type().rank() < 2) return false;
  Ints perm(static_cast<size_t>(node.type().rank()));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return permutation_of(node) == perm;
}

// Concat of those operands that have elements.
Value concat_without_nothing(const Site& site) {
  Values some;
  for (const Value& v : site.inputs)
    if (v.type().count() > 0) some.push_back(v);
  if (some.size() == site.inputs.size()) return {};
  return some.size() == 1 ? some[0] : ir::concat(some, site.node.i("axis"));
}

}  // namespace

// Row-major order is kept when the linear address read equals the linear address written.
Value drop_movement(const Site& site) {
  const Node& node = site.node;
  const ir::Dims& dims = node.type().dims;
  if (node.op().meaning != ir::Meaning::index || !site.inputs[0]) return {};
  if (is_reshape(node)) return site.inputs[0].dims() == dims ? site.inputs[0] : Value{};
  if (node.type().count() == 0 || node.type().count() != site.inputs[0].type().count()) return {};
  ir::Exprs at;
  for (int64_t d : dims)
    at.push_back(d == 1 ? ir::Expr(0) : ir::Expr::coordinate(static_cast<int>(at.size()), d));
  ir::IndexMap map = node.op().index(node, at);
  if (map.value || map.accesses.size() != 1 || map.accesses[0].input != 0) return {};
  if (!map.accesses[0].lookups.empty()) return {};
  for (const ir::Condition& condition : map.accesses[0].when)
    if (!condition.always()) return {};
  if (!(linearize(map.accesses[0].at, site.inputs[0].dims()) == linearize(at, dims))) return {};
  return ir::reshape(site.inputs[0], dims);
}

Value join_movements(const Site& site) {
  const Node& node = site.node;
  Value x = site.inputs[0];
  if (!x || x.node->input_count() == 0) return {};
  if (is_reshape(node) && is_reshape(*x.node)) return ir::reshape(x.node->in(0), node.type().dims);
  if (is_expand(node) && is_expand(*x.node)) return ir::expand(x.node->in(0), node.type().dims);
  if (is_transpose(node) && is_transpose(*x.node)) {
    Ints inner = permutation_of(*x.node), perm;
    for (int64_t p : permutation_of(node)) perm.push_back(inner[static_cast<size_t>(p)]);
    return ir::transpose(x.node->in(0), perm);
  }
  return {};
}

Value transpose_in_product(const Site& site) {
  if (!is_dot(site.node)) return {};
  Values inputs = site.inputs;
  ir::Attrs attrs = site.node.attrs();
  bool found = false;
  for (size_t i = 0; i < 2; i++) {
    if (!swaps_last_two(*inputs[i].node)) continue;
    std::string flag = i == 0 ? "trans_a" : "trans_b";
    inputs[i] = inputs[i].node->in(0);
    attrs[flag] = int64_t{site.node.i(flag) == 0};
    found = true;
  }
  return found ? site.to.add(site.node.op(), std::move(inputs), std::move(attrs))->out() : Value{};
}

Value transpose_of_product(const Site& site) {
  if (!swaps_last_two(site.node) || !is_dot(*site.node.in(0).node) || !site.sole_user(0)) return {};
  const Node& product = *site.inputs[0].node;
  if (!is_dot(product) || product.has(2)) return {};
  ir::Attrs attrs = product.attrs();
  attrs["trans_a"] = int64_t{product.i("trans_b") == 0};
  attrs["trans_b"] = int64_t{product.i("trans_a") == 0};
  return site.to.add(product.op(), {product.in(1), product.in(0)}, std::move(attrs))->out();
}

Value broadcast_implicitly(const Site& site) {
  if (site.node.op().meaning != ir::Meaning::scalar) return {};
  Values inputs = site.inputs;
  bool found = false;
  for (size_t i = 0; i < inputs.size(); i++) {
    if (!inputs[i] || !is_expand(*inputs[i].node)) continue;
    Value expanded = inputs[i];
    inputs[i] = expanded.node->in(0);
    ir::Dims dims;
    for (const Value& v : inputs)
      if (v) dims = ir::broadcast(dims, v.dims());
    bool same = dims == site.node.type().dims;
    if (!same) inputs[i] = expanded;
    found |= same;
  }
  return found ? site.to.add(site.node.op(), std::move(inputs), site.node.attrs())->out() : Value{};
}

Value compute_nothing(const Site& site) {
  const Node& node = site.node;
  const ir::Type& type = node.type();
  if (type.count() == 0) return site.to.constant(ir::Tensor(type));
  if (is_concat(node)) return concat_without_nothing(site);
  if (node.op().meaning != ir::Meaning::index && node.op().meaning != ir::Meaning::reduce) return {};
  for (const Value& v : site.inputs)
    if (v && v.type().count() > 0) return {};
  if (node.op().meaning == ir::Meaning::reduce) {
    const ir::Tensor nothing(site.inputs[0].type());
    return site.to.constant(std::move(ir::evaluate_node(node, {&nothing}, ir::EvalMode::rounded)[0]));
  }
  // Nothing to read from: all is what the movement fills in.
  ir::Exprs at;
  for (size_t i = 0; i < type.dims.size(); i++)
    at.push_back(ir::Expr::coordinate(static_cast<int>(i), type.dims[i]));
  return ir::expand(site.to.constant(node.op().index(node, at).fill, type.dtype), type.dims);
}

}  // namespace mezzo::passes
