#include "codegen/emit.h"

#include <algorithm>

namespace mezzo::codegen {
namespace {

using ir::Expr;
using ir::Exprs;

// Depth of value() inside itself from which on operands are generated first, and the depth at which a body is
// refused: only movement under a condition or by computed indices (Pad, Concat, Gather) still nests the calls then.
constexpr int kRecursion = 64, kNesting = 1000;

size_t hash_of(const Expr& e) {
  auto h = static_cast<size_t>(e.constant());
  for (const Expr::Term& t : e.terms()) {
    size_t atom = static_cast<size_t>(t.atom.kind) * 7 + static_cast<size_t>(t.atom.number);
    if (t.atom.of) atom = atom * 31 + hash_of(*t.atom.of);
    h = h * 1000003 + atom * 131 + static_cast<size_t>(t.coefficient);
  }
  return h;
}

// Results that a 16-bit float holds exactly when the operands are such numbers: no rounding is due.
bool keeps_precision(ir::Code code) {
  switch (code) {
    case ir::Code::neg:
    case ir::Code::abs:
    case ir::Code::min:
    case ir::Code::max:
    case ir::Code::select:
    case ir::Code::cast:
    case ir::Code::floor:
    case ir::Code::ceil:
    case ir::Code::round:
    case ir::Code::trunc: return true;
    default: return false;
  }
}

}  // namespace

size_t Walk::KeyHash::operator()(const Key& k) const {
  size_t h = ir::ValueHash()(k.v) * 31 + static_cast<size_t>(k.when.id);
  for (const Expr& e : k.at) h = h * 1000003 + hash_of(e);
  return h;
}

Walk::Walk(Emitter& emitter, const ir::Graph& body) : emitter_(emitter), scopes_(1) {
  int inputs = 0, ids = 0;
  for (const auto& n : body.nodes()) ids = std::max(ids, n->id() + 1);
  reduced_.resize(static_cast<size_t>(ids));
  for (const auto& n : body.nodes()) {
    if (ir::is_input(*n)) input_number_[n.get()] = inputs++;
    bool reduced = n->op().meaning == ir::Meaning::reduce;
    for (const ir::Value& v : n->inputs()) reduced |= v && reduced_[static_cast<size_t>(v.node->id())];
    reduced_[static_cast<size_t>(n->id())] = reduced;
  }
}

void Walk::open(std::span<const int> coordinates) {
  scopes_.emplace_back();
  scopes_.back().coordinates.assign(coordinates.begin(), coordinates.end());
}

void Walk::close() { scopes_.pop_back(); }

int Walk::depth_of(const Expr& e) const {
  for (int d = depth(); d > 0; d--)
    for (int c : scopes_[static_cast<size_t>(d)].coordinates)
      if (e.uses(c)) return d;
  return 0;
}

int Walk::depth_of(const Key& key) const {
  int d = 0;
  for (const Expr& e : key.at) d = std::max(d, depth_of(e));
  if (key.when) d = std::max(d, test_depth_.at(key.when.id));
  if (reduced_[static_cast<size_t>(key.v.node->id())])
    for (int s = depth(); s > d; s--)
      if (!scopes_[static_cast<size_t>(s)].defined.empty()) d = s;
  return d;
}

const Walk::Stored* Walk::stored(const Key& key) const {
  for (const Scope& s : scopes_)
    for (const Stored& e : s.stored)
      if (e.key.v == key.v && e.key.at == key.at) return &e;
  return nullptr;
}

Reg Walk::value(ir::Value v, const Exprs& at, Reg when) {
  Key key{v, at, when};
  for (const Scope& s : scopes_)
    if (auto it = s.known.find(key); it != s.known.end()) return it->second;
  if (when) {  // read without a condition, it is also right where the condition holds
    Key always{v, at, {}};
    for (const Scope& s : scopes_)
      if (auto it = s.known.find(always); it != s.known.end()) return it->second;
  }
  if (nesting_ >= kRecursion) from_the_leaves_up(key);
  if (nesting_ >= kNesting) throw Unsupported("a body that is nested too deeply");
  nesting_++;
  int d = depth_of(key);
  int before = emitter_.go_to(d);
  Reg reg = generate(key);
  emitter_.go_to(before);
  nesting_--;
  scopes_[static_cast<size_t>(d)].known.emplace(std::move(key), reg);
  return reg;
}

bool Walk::is_known(const Key& key) const {
  for (const Scope& s : scopes_)
    if (s.known.contains(key) || (key.when && s.known.contains(Key{key.v, key.at, {}}))) return true;
  return false;
}

// What generate(key) will ask for, as far as that can be told without emitting anything: operands of scalar
// nodes, and of movement that reads without a condition.
std::vector<Walk::Key> Walk::operands_of(const Key& key) const {
  const ir::Node& n = *key.v.node;
  std::vector<Key> out;
  if (n.input_count() == 0 || stored(key)) return out;
  if (n.op().meaning == ir::Meaning::scalar) {
    for (const ir::Value& v : n.inputs())
      out.push_back({v, broadcast_coordinates(key.at, v.dims()), key.when});
  } else if (n.op().meaning == ir::Meaning::index) {
    ir::IndexMap map = n.op().index(n, key.at);
    if (map.value || map.accesses.size() != 1 || !map.accesses[0].lookups.empty()) return out;
    const ir::Access& a = map.accesses[0];
    if (std::all_of(a.when.begin(), a.when.end(), [](const ir::Condition& c) { return c.always(); }))
      out.push_back({n.in(a.input), a.at, key.when});
  }
  return out;
}

// Generates everything below `key` with a stack of its own, so that the depth of a body is not that of the
// calls.
void Walk::from_the_leaves_up(const Key& key) {
  std::vector<Key> open = operands_of(key);
  while (!open.empty()) {
    Key top = open.back();
    if (is_known(top)) {
      open.pop_back();
      continue;
    }
    size_t before = open.size();
    for (Key& operand : operands_of(top))
      if (!is_known(operand)) open.push_back(std::move(operand));
    if (open.size() > before) continue;
    open.pop_back();
    value(top.v, top.at, top.when);
  }
}

void Walk::define(ir::Value v, Reg reg) { scopes_.back().defined.emplace_back(v, reg); }

void Walk::define_stored(ir::Value v, const Exprs& at, int buffer, const Expr& offset, int64_t count) {
  scopes_.back().stored.push_back({{v, at, {}}, buffer, offset, count});
}

Reg Walk::generate(const Key& key) {
  const ir::Node& n = *key.v.node;
  if (const Stored* s = stored(key))
    return emitter_.load(s->buffer, ir::compute_type(key.v.dtype()), s->offset, s->count, key.when);
  if (ir::is_constant(n)) {
    if (n.type().count() != 1) throw Unsupported("a constant of many elements in a kernel body");
    return emitter_.constant(n.type().dtype, number_of(*n.tensor("value")));
  }
  if (ir::is_input(n))
    return emitter_.load(input_number_.at(&n), n.type().dtype, ir::linearize(key.at, n.type().dims),
                         n.type().count(), key.when);
  switch (n.op().meaning) {
    case ir::Meaning::scalar: return scalar(n, key);
    case ir::Meaning::index: return moved(n, key);
    case ir::Meaning::reduce:
      for (const Scope& s : scopes_)
        for (const auto& [v, reg] : s.defined)
          if (v == key.v) return reg;
      throw Unsupported("a reduction's result is wanted before it is known");
    default: throw Unsupported(concat("operator '", n.op().name, "' in a kernel body"));
  }
}

Reg Walk::scalar(const ir::Node& n, const Key& key) {
  std::vector<Reg> operands;
  for (const ir::Value& v : n.inputs())
    operands.push_back(value(v, broadcast_coordinates(key.at, v.dims()), key.when));
  const ir::Scalar& s = n.op().scalar;
  ir::DType type = n.type().dtype;
  if (s.code != ir::Code::program) {
    Reg r = emitter_.apply(s.code, type, n.in_type(0).dtype, operands);
    if (!ir::is_low(type) || keeps_precision(s.code)) return r;
    return emitter_.apply(ir::Code::cast, type, ir::DType::f32, {&r, 1});
  }
  if (type == ir::DType::f64) return emitter_.call_real(n.op(), operands);
  Reg r = run(s.program(), std::move(operands));
  return ir::is_low(type) ? emitter_.apply(ir::Code::cast, type, ir::DType::f32, {&r, 1}) : r;
}

Reg Walk::run(const ir::Program& program, std::vector<Reg> values) {
  std::vector<ir::DType> types(values.size(), program.parameter_type);
  for (const ir::Instruction& it : program.body) {
    if (it.a < 0) {
      ir::Number c{ir::round_to(it.constant, it.type),
                   ir::is_float(it.type) ? 0 : static_cast<int64_t>(it.constant)};
      values.push_back(emitter_.constant(it.type, c));
    } else {
      Reg operands[3];
      size_t count = 0;
      for (int v : {it.a, it.b, it.c})
        if (v >= 0) operands[count++] = values[static_cast<size_t>(v)];
      values.push_back(emitter_.apply(it.code, it.type, types[static_cast<size_t>(it.a)], {operands, count}));
    }
    types.push_back(it.type);
  }
  return values.back();
}

Reg Walk::test(const ir::Condition& c, Reg also) {
  int d = depth_of(c.value);
  if (also) d = std::max(d, test_depth_.at(also.id));
  Scope& scope = scopes_[static_cast<size_t>(d)];
  for (const Test& t : scope.tests)
    if (t.condition.value == c.value && t.condition.extent == c.extent && t.also == also) return t.result;
  int before = emitter_.go_to(d);
  Reg r = emitter_.inside(c, also);
  emitter_.go_to(before);
  test_depth_[r.id] = d;
  scope.tests.push_back({c, also, r});
  return r;
}

// The element of `indices` as a coordinate: counted from the end where it is negative, and brought into
// range. Computed as far out as the element is.
Expr Walk::looked_up(ir::Value indices, const Exprs& at, Reg when, int64_t extent) {
  if (extent == 1) return 0;
  const Reg found = value(indices, at, when);
  int d = depth_of(Key{indices, at, when});
  Scope& scope = scopes_[static_cast<size_t>(d)];
  for (const Computed& c : scope.computed)
    if (c.index == found && c.extent == extent) return c.coordinate;
  int before = emitter_.go_to(d);
  constexpr ir::DType kIndex = ir::DType::i64;
  auto apply = [&](ir::Code code, std::initializer_list<Reg> operands) {
    return emitter_.apply(code, kIndex, code == ir::Code::select ? ir::DType::boolean : kIndex,
                          {operands.begin(), operands.size()});
  };
  auto number = [&](int64_t v) { return emitter_.constant(kIndex, {0, v}); };
  Reg r = found;
  if (indices.dtype() != kIndex) r = emitter_.apply(ir::Code::cast, kIndex, indices.dtype(), {&found, 1});
  Reg operands[] = {r, number(0)};
  Reg negative = emitter_.apply(ir::Code::less, ir::DType::boolean, kIndex, operands);
  Reg index = apply(ir::Code::select, {negative, apply(ir::Code::add, {r, number(extent)}), r});
  index = apply(ir::Code::min, {apply(ir::Code::max, {index, number(0)}), number(extent - 1)});
  int coordinate = computed_++;
  emitter_.bind(coordinate, index);
  emitter_.go_to(before);
  scope.coordinates.push_back(coordinate);
  scope.computed.push_back({found, extent, Expr::coordinate(coordinate, extent)});
  return scope.computed.back().coordinate;
}

// The first access whose conditions hold, else the fill: a chain of selects, the last access innermost.
Reg Walk::moved(const ir::Node& n, const Key& key) {
  ir::IndexMap map = n.op().index(n, key.at);
  ir::DType type = n.type().dtype;
  if (map.value) {
    ir::DType whole = ir::is_integer(type) ? type : ir::DType::i64;
    Reg r = emitter_.number(*map.value, whole);
    return whole == type ? r : emitter_.apply(ir::Code::cast, type, whole, {&r, 1});
  }
  Reg result;
  for (size_t k = map.accesses.size(); k-- > 0;) {
    const ir::Access& a = map.accesses[k];
    Reg when = key.when, own;  // own: the conditions of this access alone
    bool never = false;
    for (const ir::Condition& c : a.when) {
      if (c.always()) continue;
      never |= c.value.max() < 0 || c.value.min() >= c.extent;
      if (never) break;
      own = test(c, own);
      when = key.when ? test(c, when) : own;
    }
    if (never) continue;
    Exprs at = a.at;
    for (const ir::Lookup& l : a.lookups)
      at[l.axis] = looked_up(n.in(l.input), l.at, when, n.in_type(a.input).dims[l.axis]);
    Reg r = value(n.in(a.input), at, when);
    if (own) {
      if (!result) result = emitter_.constant(type, {map.fill, static_cast<int64_t>(map.fill)});
      Reg operands[] = {own, r, result};
      r = emitter_.apply(ir::Code::select, type, ir::DType::boolean, operands);
    }
    result = r;
  }
  return result ? result : emitter_.constant(type, {map.fill, static_cast<int64_t>(map.fill)});
}

ir::Number number_of(const ir::Tensor& one) {
  if (ir::is_float(one.dtype())) return {one.get(0), 0};
  return {0, one.get_int(0)};
}

Exprs broadcast_coordinates(const Exprs& at, const ir::Dims& from) {
  Exprs out;
  for (size_t i = 0; i < from.size(); i++)
    out.push_back(from[i] == 1 ? Expr(0) : at[at.size() - from.size() + i]);
  return out;
}

Exprs coordinates(const ir::Dims& dims, int first) {
  Exprs out;
  for (size_t i = 0; i < dims.size(); i++)
    out.push_back(Expr::coordinate(first + static_cast<int>(i), dims[i]));
  return out;
}

bool fits_in_32_bits(const ir::Expr& e) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  int64_t reach = std::abs(e.constant());
  for (const ir::Expr::Term& t : e.terms()) {
    if (t.atom.of && (!fits_in_32_bits(*t.atom.of) || t.atom.number > kLimit)) return false;
    Expr atom = t.atom.kind == Expr::AtomKind::coordinate ? Expr(t.atom.extent) : *t.atom.of;
    int64_t most = std::max(std::abs(atom.min()), std::abs(atom.max()));
    if (std::abs(t.coefficient) > kLimit || most > kLimit) return false;
    reach += std::abs(t.coefficient) * most;
    if (reach > kLimit) return false;
  }
  return reach <= kLimit;
}

}  // namespace mezzo::codegen
