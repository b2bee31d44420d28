// text_emitter.cpp: scopes, index arithmetic and memory as text. The arithmetic is in text_codes.cpp.
#include "codegen/cuda/text_emitter.h"

namespace mezzo::codegen::cuda {

using ir::DType;
using ir::Expr;

Reg TextEmitter::keep(std::string text, DType type) {
  regs_.push_back({std::move(text), type, depth_});
  return {static_cast<int>(regs_.size()) - 1};
}

Reg TextEmitter::let(DType type, const std::string& value) {
  std::string name = fresh("v");
  line(concat("const ", register_type(type), " ", name, " = ", value, ";"));
  return keep(std::move(name), type);
}

int TextEmitter::add_buffer(Buffer buffer) {
  buffers_.push_back(std::move(buffer));
  return static_cast<int>(buffers_.size()) - 1;
}

// ---- scopes

void TextEmitter::append(int depth, const std::string& text) {
  scopes_[static_cast<size_t>(depth)].body.append(2 * static_cast<size_t>(depth) + 2, ' ').append(text) +=
      '\n';
}

void TextEmitter::line(const std::string& text) { append(depth_, text); }

int TextEmitter::go_to(int depth) {
  int before = depth_;
  depth_ = depth;
  return before;
}

void TextEmitter::open(std::string header) {
  scopes_.emplace_back();
  scopes_.back().header = std::move(header);
  scopes_.back().lane_depth = lane_depth_;
  depth_++;
}

void TextEmitter::close() {
  Scope s = std::move(scopes_.back());
  scopes_.pop_back();
  depth_--;
  for (auto& [coordinate, name] : s.outside) coordinates_[coordinate] = name;
  if (lane_depth_ != s.lane_depth) vector_ = {};
  lane_depth_ = s.lane_depth;
  append(depth_, s.header.empty() ? "{" : s.header + " {");
  scopes_.back().body += s.body;
  append(depth_, "}");
  scopes_.back().body += s.after;
}

std::string TextEmitter::take() {
  check(depth_ == 0, "text is taken inside of a scope");
  std::string text = std::move(scopes_[0].body);
  scopes_.assign(1, {});
  regs_.clear();
  buffers_.clear();
  coordinates_.clear();
  names_ = 0;
  return text;
}

void TextEmitter::name_coordinate(int coordinate, std::string name) {
  std::string& now = coordinates_[coordinate];
  scopes_.back().outside.emplace(coordinate, now);
  now = std::move(name);
}

// Belongs to the scope that code goes to, which may be outside of the innermost.
void TextEmitter::bind(int coordinate, Reg index) {
  scopes_[static_cast<size_t>(depth_)].outside.emplace(coordinate, "");
  coordinates_[coordinate] = text(index);
}

void TextEmitter::set(int coordinate, const Expr& value) {
  if (value.is_constant()) return name_coordinate(coordinate, concat(value.constant()));
  std::string name = fresh("j");
  line(concat("const ", fits_in_32_bits(value) ? "i32 " : "i64 ", name, " = ", index(value), ";"));
  name_coordinate(coordinate, name);
}

void TextEmitter::vectorize(int coordinate, std::string base, std::string lane, int lanes) {
  lane_depth_ = depth_;
  name_coordinate(coordinate, concat("(", base, " + ", lane, ")"));
  vector_ = {coordinate, lanes, std::move(base), std::move(lane)};
}

// ---- index arithmetic

std::string TextEmitter::index(const Expr& e) const { return index(e, !fits_in_32_bits(e)); }

std::string TextEmitter::index(const Expr& e, bool wide) const {
  std::string sum;
  for (const Expr::Term& t : e.terms()) {
    std::string v;
    int64_t d = t.atom.number;
    if (t.atom.kind == Expr::AtomKind::coordinate) {
      auto it = coordinates_.find(static_cast<int>(d));
      check(it != coordinates_.end() && !it->second.empty(), "coordinate i", d, " is not bound");
      v = wide ? "(i64)" + it->second : it->second;
    } else {
      // Moved into the natural numbers first, where quotients are plain and cheap.
      const Expr& of = *t.atom.of;
      int64_t up = of.min() < 0 ? (-of.min() + d - 1) / d : 0;
      bool quotient = t.atom.kind == Expr::AtomKind::quotient;
      v = wide ? concat("(i64)((u64)(", index(of + up * d, true), quotient ? ") / " : ") % ", d, "ull)")
               : concat("(i32)((u32)(", index(of + up * d, false), quotient ? ") / " : ") % ", d, "u)");
      if (up && quotient) v = concat("(", v, " - ", up, ")");
    }
    if (t.coefficient != 1) v = concat(v, " * ", t.coefficient, wide ? "ll" : "");
    sum = sum.empty() ? v : concat(sum, " + ", v);
  }
  if (sum.empty()) return concat(e.constant(), wide ? "ll" : "");
  if (e.constant() > 0) sum += concat(" + ", e.constant());
  if (e.constant() < 0) sum += concat(" - ", -e.constant());
  return sum;
}

Reg TextEmitter::number(const Expr& value, DType type) {
  return let(type, concat("(", register_type(type), ")(", index(value), ")"));
}

Reg TextEmitter::inside(const ir::Condition& c, Reg also) {
  // One unsigned comparison sees both ends.
  bool narrow = fits_in_32_bits(c.value);
  std::string test =
      concat(narrow ? "(u32)(" : "(u64)(", index(c.value), ") < ", c.extent, narrow ? "u" : "ull");
  return let(DType::boolean, also ? concat(text(also), " && ", test) : test);
}

// ---- memory

bool TextEmitter::bound_in_lanes(const Expr& e) const {
  for (const auto& [coordinate, outside] : scopes_[static_cast<size_t>(lane_depth_)].outside)
    if (coordinate != vector_.coordinate && e.uses(coordinate)) return true;
  return false;
}

int TextEmitter::piece(DType type, const Expr& offset) const {
  if (lane_depth_ < 0 || depth_ < lane_depth_ || offset.stride(vector_.coordinate) != 1) return 0;
  if (bound_in_lanes(offset)) return 0;
  int size = ir::byte_size(type);
  int64_t bytes = std::min<int64_t>(16, static_cast<int64_t>(vector_.lanes) * size);
  auto multiple = [&](int64_t elements) {
    while (bytes > size && elements * size % bytes != 0) bytes /= 2;
  };
  multiple(offset.constant());
  for (const Expr::Term& t : offset.terms()) {
    bool lanes = t.atom.kind == Expr::AtomKind::coordinate && t.atom.number == vector_.coordinate;
    if (!lanes) multiple(t.coefficient);
  }
  return bytes > size ? static_cast<int>(bytes) : 0;
}

// The offset of lane 0.
std::string TextEmitter::base_index(const Expr& offset) const {
  std::map<int, std::string> names = coordinates_;
  names[vector_.coordinate] = vector_.base;
  TextEmitter at;
  at.coordinates_ = std::move(names);
  return at.index(offset);
}

Reg TextEmitter::load(int buffer, DType type, const Expr& offset, int64_t count, Reg when) {
  if (count == 0) return constant(type, {});
  Buffer& b = buffers_[static_cast<size_t>(buffer)];
  b.used = true;
  if (b.kind == Buffer::Kind::local) return let(type, concat(b.name, "[", index(offset), "]"));
  std::string_view verb = b.kind == Buffer::Kind::fetched ? "fetch" : "load";
  auto value = [&](const std::string& stored) {
    return type == DType::boolean ? concat(stored, " != 0") : concat("widen(", stored, ")");
  };
  bool uniform = !when || regs_[static_cast<size_t>(when.id)].depth < lane_depth_;
  if (int bytes = uniform ? piece(type, offset) : 0) {
    std::string name = fresh("w");
    std::string call =
        concat(verb, "_pack<", vector_.lanes, ", ", bytes, ">(", b.name, " + ", base_index(offset), ")");
    if (when) {
      append(lane_depth_ - 1, concat("Pack<", memory_type(type), ", ", vector_.lanes, "> ", name, " = {};"));
      append(lane_depth_ - 1, concat("if (", text(when), ") ", name, " = ", call, ";"));
    } else {
      append(lane_depth_ - 1, concat("const auto ", name, " = ", call, ";"));
    }
    return let(type, value(concat(name, ".v[", vector_.lane, "]")));
  }
  std::string read = value(concat(verb, "(", b.name, " + ", index(offset), ")"));
  if (when) read = concat(text(when), " ? ", read, " : ", literal(type, {}));
  return let(type, read);
}

void TextEmitter::store(int buffer, DType type, const Expr& offset, Reg value) {
  Buffer& b = buffers_[static_cast<size_t>(buffer)];
  b.used = true;
  if (b.kind == Buffer::Kind::local)
    return line(concat(b.name, "[", index(offset), "] = ", text(value), ";"));
  std::string stored = concat("Storage<", memory_type(type), ">::of(", text(value), ")");
  if (int bytes = piece(type, offset)) {
    std::string name = fresh("o");
    append(lane_depth_ - 1, concat("Pack<", memory_type(type), ", ", vector_.lanes, "> ", name, ";"));
    line(concat(name, ".v[", vector_.lane, "] = ", stored, ";"));
    scopes_[static_cast<size_t>(lane_depth_)]
        .after.append(2 * static_cast<size_t>(lane_depth_), ' ')
        .append(concat("store_pack<", bytes, ">(", b.name, " + ", base_index(offset), ", ", name, ");\n"));
    return;
  }
  line(concat("store(", b.name, " + ", index(offset), ", ", stored, ");"));
}

// ---- variables

Reg TextEmitter::variable(DType type, Reg initial) {
  std::string name = fresh("s");
  line(concat(register_type(type), " ", name, " = ", text(initial), ";"));
  return keep(std::move(name), type);
}

void TextEmitter::assign(Reg variable, Reg value) { line(concat(text(variable), " = ", text(value), ";")); }

}  // namespace mezzo::codegen::cuda
