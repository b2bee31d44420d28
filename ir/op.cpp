#include "ir/op.h"

#include <array>
#include <map>

namespace mezzo::ir {
namespace {

std::map<std::string_view, const OpDef*>& registry() {
  static std::map<std::string_view, const OpDef*> ops;
  return ops;
}

constexpr std::array<std::string_view, 8> kPrecisions{"unset", "low",    "bounded", "unbounded",
                                                      "full",  "widest", "pass",    "fixed"};

}  // namespace

std::string_view name(Precision p) { return kPrecisions[static_cast<size_t>(p)]; }

RegisterOp::RegisterOp(const OpDef& op) {
  check(registry().emplace(op.name, &op).second, "two definitions of op ", op.name);
}

const OpDef* find_op(std::string_view name) {
  auto it = registry().find(name);
  return it == registry().end() ? nullptr : it->second;
}

const OpDef& get_op(std::string_view name) {
  const OpDef* op = find_op(name);
  check(op, "no op named ", name);
  return *op;
}

std::vector<const OpDef*> all_ops() {
  std::vector<const OpDef*> out;
  for (auto& [_, op] : registry()) out.push_back(op);
  return out;
}

Values not_differentiable(Grad& g) {
  throw Error(ErrorCode::unsupported, concat(g.node.op().name, " has no gradient"),
              g.node.origin.empty() ? "" : g.node.origin.front(),
              "freeze the parameters behind it, or train a model without it");
}

Values zero_gradient(Grad& g) { return Values(g.node.input_count()); }

TensorPtr constant_of(Value v) { return v && is_constant(*v.node) ? v.node->tensor("value") : nullptr; }

Ints inverse(const Ints& perm) {
  Ints out(perm.size());
  for (size_t i = 0; i < perm.size(); i++) out[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return out;
}

std::vector<Type> same_as_input(const Node& n) { return {n.in_type(0)}; }

std::vector<Type> broadcast_inputs(const Node& n) {
  Type t = n.in_type(0);
  for (size_t i = 1; i < n.input_count(); i++) {
    if (!n.has(i)) continue;
    require(n.in_type(i).dtype == t.dtype, "input ", i, " is ", name(n.in_type(i).dtype), ", input 0 is ",
            name(t.dtype));
    t.dims = broadcast(t.dims, n.in_type(i).dims);
  }
  return {t};
}

}  // namespace mezzo::ir
