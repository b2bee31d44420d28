// simplify_casts.cpp: casts that cancel, join their producer, or change places with movement.
#include "ir/build.h"
#include "passes/simplify.h"

namespace mezzo::passes {
namespace {

using ir::DType;
using ir::Node;
using ir::Value;
using ir::Values;

// Significant bits and bits of the exponent's range that a float type has.
struct FloatShape {
  int precision, range;
};
FloatShape shape_of(DType t) {
  switch (t) {
    case DType::f64: return {53, 11};
    case DType::f32: return {24, 8};
    case DType::bf16: return {8, 8};
    default: return {11, 5};
  }
}

int value_bits(DType t) { return 8 * ir::byte_size(t) - (ir::is_signed(t) ? 1 : 0); }

// Every value of `from` is a value of `to`.
bool widens(DType from, DType to) {
  if (from == to || from == DType::boolean) return true;
  if (to == DType::boolean) return false;
  if (ir::is_float(from)) {
    FloatShape a = shape_of(from), b = shape_of(to);
    return ir::is_float(to) && a.precision <= b.precision && a.range <= b.range;
  }
  if (ir::is_float(to)) {
    FloatShape b = shape_of(to);
    return value_bits(from) <= b.precision && value_bits(from) < (1 << (b.range - 1));
  }
  return value_bits(from) <= value_bits(to) && (!ir::is_signed(from) || ir::is_signed(to));
}

bool is_float_widening(const Node& node) {
  return is_cast(node) && ir::is_float(node.in_type(0).dtype) && node.in_type(0).dtype != node.type().dtype &&
         widens(node.in_type(0).dtype, node.type().dtype);
}

Value cast_by(const Site& site, const Node& like, Value v, DType to) {
  ir::Attrs attrs = like.attrs();
  attrs["to"] = to;
  return site.to.add(like.op(), {v}, std::move(attrs))->out();
}

int64_t elements_read(const Node& node) {
  int64_t n = 0;
  for (const Value& v : node.inputs()) n += v.type().count();
  return n;
}

}  // namespace

bool moves(const Node& node, DType dtype) {
  if (node.op().meaning != ir::Meaning::index || node.input_count() == 0) return false;
  for (const Value& v : node.inputs())
    if (v.dtype() != node.type().dtype) return false;  // indices
  ir::Exprs at;
  for (int64_t d : node.type().dims) at.push_back(ir::Expr::coordinate(static_cast<int>(at.size()), d));
  ir::IndexMap map = node.op().index(node, at);
  return !map.value && ir::round_to(map.fill, dtype) == map.fill;
}

Value drop_cast(const Site& site) {
  if (!is_cast(site.node)) return {};
  Value x = site.inputs[0];
  DType to = site.node.type().dtype;
  if (x.dtype() == to) return x;
  if (!is_cast(*x.node) || !widens(x.node->in_type(0).dtype, x.dtype())) return {};
  Value inner = x.node->in(0);
  return inner.dtype() == to ? inner : cast_by(site, site.node, inner, to);
}

Value round_in_producer(const Site& site) {
  if (!is_cast(site.node) || !site.sole_user(0)) return {};
  Node& product = *site.inputs[0].node;
  DType to = site.node.type().dtype;
  if (product.op().precision != ir::Precision::low || product.op().meaning != ir::Meaning::kernel) return {};
  if (&site.node.in(0).node->op() != &product.op())
    return {};  // it may have users that the old value had not
  if (!product.has_attr("out") || !ir::is_low(to) || product.in_type(0).dtype != to) return {};
  if (product.type().dtype != ir::compute_type(to)) return {};
  ir::Attrs attrs = product.attrs();
  attrs.erase("out");
  ir::Scope scope(site.to, product);
  return site.to.add(product.op(), product.inputs(), std::move(attrs))->out();
}

Value sink_widening_casts(const Site& site) {
  for (const Value& v : site.inputs)
    if (!v || !is_float_widening(*v.node) ||
        v.node->in_type(0).dtype != site.inputs[0].node->in_type(0).dtype)
      return {};
  const Node& cast = *site.inputs[0].node;
  if (!moves(site.node, cast.in_type(0).dtype)) return {};
  if (site.node.type().count() > elements_read(site.node)) return {};
  Values narrow;
  for (const Value& v : site.inputs) narrow.push_back(v.node->in(0));
  Value moved = site.to.add(site.node.op(), std::move(narrow), site.node.attrs())->out();
  return cast_by(site, cast, moved, site.node.type().dtype);
}

Value hoist_narrowing_cast(const Site& site) {
  if (!is_cast(site.node) || !site.sole_user(0)) return {};
  Node& movement = *site.inputs[0].node;
  DType from = site.inputs[0].dtype(), to = site.node.type().dtype;
  if (!ir::is_float(from) || !ir::is_float(to) || from == to || !widens(to, from)) return {};
  if (!moves(movement, to) || elements_read(movement) > movement.type().count()) return {};
  Values narrow;
  for (const Value& v : movement.inputs()) narrow.push_back(cast_by(site, site.node, v, to));
  ir::Scope scope(site.to, movement);
  return site.to.add(movement.op(), std::move(narrow), movement.attrs())->out();
}

}  // namespace mezzo::passes
