#include "ir/index.h"

#include <algorithm>
#include <numeric>

namespace mezzo::ir {
namespace {

int64_t divide_down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Range of one atom.
int64_t atom_min(const Expr::Atom& a) {
  switch (a.kind) {
    case Expr::AtomKind::coordinate: return 0;
    case Expr::AtomKind::quotient: return divide_down(a.of->min(), a.number);
    case Expr::AtomKind::remainder: return 0;
  }
  return 0;
}
int64_t atom_max(const Expr::Atom& a) {
  switch (a.kind) {
    case Expr::AtomKind::coordinate: return std::max<int64_t>(a.extent - 1, 0);
    case Expr::AtomKind::quotient: return divide_down(a.of->max(), a.number);
    case Expr::AtomKind::remainder: return std::min(a.number - 1, a.of->min() >= 0 ? a.of->max() : a.number - 1);
  }
  return 0;
}

// Total order of expressions, for the normal form: by constant, then term by term.
int compare(const Expr& a, const Expr& b);
int compare(const Expr::Atom& a, const Expr::Atom& b) {
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.number != b.number) return a.number < b.number ? -1 : 1;
  if (a.extent != b.extent) return a.extent < b.extent ? -1 : 1;
  if (a.of == b.of || !a.of || !b.of) return 0;
  return compare(*a.of, *b.of);
}
int compare(const Expr& a, const Expr& b) {
  if (a.constant() != b.constant()) return a.constant() < b.constant() ? -1 : 1;
  if (a.terms().size() != b.terms().size()) return a.terms().size() < b.terms().size() ? -1 : 1;
  for (size_t i = 0; i < a.terms().size(); i++) {
    if (int c = compare(a.terms()[i].atom, b.terms()[i].atom)) return c;
    if (a.terms()[i].coefficient != b.terms()[i].coefficient)
      return a.terms()[i].coefficient < b.terms()[i].coefficient ? -1 : 1;
  }
  return 0;
}

}  // namespace

bool Expr::Atom::operator==(const Atom& other) const { return compare(*this, other) == 0; }
bool Expr::Atom::operator<(const Atom& other) const { return compare(*this, other) < 0; }
bool Expr::operator==(const Expr& other) const { return compare(*this, other) == 0; }

Expr Expr::coordinate(int number, int64_t extent) {
  Expr e;
  if (extent > 1) e.add_term(1, {AtomKind::coordinate, number, extent, nullptr});
  return e;
}

void Expr::add_term(int64_t coefficient, const Atom& atom) {
  auto it = std::lower_bound(terms_.begin(), terms_.end(), atom,
                             [](const Term& t, const Atom& a) { return t.atom < a; });
  if (it != terms_.end() && it->atom == atom) {
    it->coefficient += coefficient;
    if (it->coefficient == 0) terms_.erase(it);
  } else if (coefficient != 0) {
    terms_.insert(it, {coefficient, atom});
  }
}

int64_t Expr::min() const {
  int64_t v = constant_;
  for (const Term& t : terms_) v += t.coefficient * (t.coefficient > 0 ? atom_min(t.atom) : atom_max(t.atom));
  return v;
}

int64_t Expr::max() const {
  int64_t v = constant_;
  for (const Term& t : terms_) v += t.coefficient * (t.coefficient > 0 ? atom_max(t.atom) : atom_min(t.atom));
  return v;
}

bool Expr::uses(int number) const {
  return std::any_of(terms_.begin(), terms_.end(), [&](const Term& t) {
    return t.atom.kind == AtomKind::coordinate ? t.atom.number == number : t.atom.of->uses(number);
  });
}

std::optional<int64_t> Expr::stride(int number) const {
  int64_t coefficient = 0;
  for (const Term& t : terms_) {
    if (t.atom.kind != AtomKind::coordinate) {
      if (t.atom.of->uses(number)) return std::nullopt;
    } else if (t.atom.number == number) {
      coefficient = t.coefficient;
    }
  }
  return coefficient;
}

int64_t Expr::evaluate(const std::vector<int64_t>& coordinates) const {
  int64_t v = constant_;
  for (const Term& t : terms_) {
    int64_t atom = 0;
    if (t.atom.kind == AtomKind::coordinate) {
      atom = coordinates[static_cast<size_t>(t.atom.number)];
    } else {
      int64_t of = t.atom.of->evaluate(coordinates), down = divide_down(of, t.atom.number);
      atom = t.atom.kind == AtomKind::quotient ? down : of - down * t.atom.number;
    }
    v += t.coefficient * atom;
  }
  return v;
}

Expr Expr::substitute(const std::vector<Expr>& by) const {
  Expr out(constant_);
  for (const Term& t : terms_) {
    switch (t.atom.kind) {
      case AtomKind::coordinate: out = out + by[static_cast<size_t>(t.atom.number)] * t.coefficient; break;
      case AtomKind::quotient: out = out + floor_div(t.atom.of->substitute(by), t.atom.number) * t.coefficient; break;
      case AtomKind::remainder: out = out + floor_mod(t.atom.of->substitute(by), t.atom.number) * t.coefficient; break;
    }
  }
  return out;
}

Expr operator+(const Expr& a, const Expr& b) {
  Expr out = a;
  out.constant_ += b.constant_;
  for (const Expr::Term& t : b.terms_) out.add_term(t.coefficient, t.atom);
  // d * (e / d) + e % d is e, whatever multiple of both there is.
  for (const Expr::Term& q : out.terms_) {
    if (q.atom.kind != Expr::AtomKind::quotient || q.coefficient % q.atom.number != 0) continue;
    int64_t times = q.coefficient / q.atom.number;
    for (const Expr::Term& r : out.terms_) {
      if (r.atom.kind != Expr::AtomKind::remainder || r.coefficient != times || r.atom.number != q.atom.number ||
          !(*r.atom.of == *q.atom.of))
        continue;
      Expr whole = *q.atom.of;
      Expr::Term quotient = q, remainder = r;
      out.add_term(-quotient.coefficient, quotient.atom);
      out.add_term(-remainder.coefficient, remainder.atom);
      return out + whole * times;
    }
  }
  return out;
}

Expr operator-(const Expr& a, const Expr& b) { return a + b * -1; }

Expr operator*(const Expr& a, int64_t factor) {
  if (factor == 0) return 0;
  Expr out = a;
  out.constant_ *= factor;
  for (Expr::Term& t : out.terms_) t.coefficient *= factor;
  return out;
}

// Splits e into divisible + rest, both sums of e's terms, so that divisible is a multiple of `divisor` and the constant
// of rest lies in [0, divisor).
static void split(const Expr& e, int64_t divisor, Expr& divisible, Expr& rest) {
  int64_t down = divide_down(e.constant(), divisor) * divisor;
  divisible = Expr(down);
  rest = Expr(e.constant() - down);
  for (const Expr::Term& t : e.terms()) {
    Expr atom = t.atom.kind == Expr::AtomKind::coordinate ? Expr::coordinate(static_cast<int>(t.atom.number), t.atom.extent)
                : t.atom.kind == Expr::AtomKind::quotient ? floor_div(*t.atom.of, t.atom.number)
                                                          : floor_mod(*t.atom.of, t.atom.number);
    Expr& side = t.coefficient % divisor == 0 ? divisible : rest;
    side = side + atom * t.coefficient;
  }
}

// The greatest g > 1 that divides `divisor` and for which e = g * high + low with 0 <= low < g, by terms; 1 if there is none.
static int64_t separate(const Expr& e, int64_t divisor, Expr& high, Expr& low) {
  int64_t best = 1;
  for (const Expr::Term& t : e.terms()) {
    const int64_t g = std::gcd(divisor, t.coefficient);
    if (g <= best) continue;
    Expr multiple, rest;
    split(e, g, multiple, rest);
    if (rest.min() < 0 || rest.max() >= g) continue;
    best = g, low = rest, high = floor_div(multiple, g);
  }
  return best;
}

Expr floor_div(const Expr& e, int64_t divisor) {
  check(divisor > 0, "floor_div by ", divisor);
  if (divisor == 1) return e;
  Expr divisible, rest;
  split(e, divisor, divisible, rest);
  Expr out(divisible.constant_ / divisor);
  for (const Expr::Term& t : divisible.terms_) out.add_term(t.coefficient / divisor, t.atom);
  if (rest.min() >= 0 && rest.max() < divisor) return out;
  // (g*x + y) / (g*d) = x / d for 0 <= y < g.
  Expr high, low;
  if (int64_t g = separate(rest, divisor, high, low); g > 1) return out + floor_div(high, divisor / g);
  // (x / a) / b = x / (a*b).
  if (rest.constant_ == 0 && rest.terms_.size() == 1 && rest.terms_[0].coefficient == 1 &&
      rest.terms_[0].atom.kind == Expr::AtomKind::quotient)
    return out + floor_div(*rest.terms_[0].atom.of, rest.terms_[0].atom.number * divisor);
  out.add_term(1, {Expr::AtomKind::quotient, divisor, 0, std::make_shared<const Expr>(rest)});
  return out;
}

Expr floor_mod(const Expr& e, int64_t divisor) {
  check(divisor > 0, "floor_mod by ", divisor);
  if (divisor == 1) return 0;
  Expr divisible, rest;
  split(e, divisor, divisible, rest);
  if (rest.min() >= 0 && rest.max() < divisor) return rest;
  // (g*x + y) % (g*d) = g * (x % d) + y for 0 <= y < g.
  Expr high, low;
  if (int64_t g = separate(rest, divisor, high, low); g > 1) return floor_mod(high, divisor / g) * g + low;
  // ((x % a) % b) = x % b when b divides a.
  if (rest.constant_ == 0 && rest.terms_.size() == 1 && rest.terms_[0].coefficient == 1 &&
      rest.terms_[0].atom.kind == Expr::AtomKind::remainder && rest.terms_[0].atom.number % divisor == 0)
    return floor_mod(*rest.terms_[0].atom.of, divisor);
  Expr out;
  out.add_term(1, {Expr::AtomKind::remainder, divisor, 0, std::make_shared<const Expr>(rest)});
  return out;
}

std::string Expr::to_string() const {
  std::string out;
  for (const Term& t : terms_) {
    std::string atom = t.atom.kind == AtomKind::coordinate ? concat("i", t.atom.number)
                       : t.atom.kind == AtomKind::quotient ? concat("(", t.atom.of->to_string(), ")/", t.atom.number)
                                                           : concat("(", t.atom.of->to_string(), ")%", t.atom.number);
    if (!out.empty()) out += " + ";
    out += t.coefficient == 1 ? atom : concat(t.coefficient, "*", atom);
  }
  if (out.empty() || constant_ != 0) out += concat(out.empty() ? "" : " + ", constant_);
  return out;
}

Expr linearize(const Exprs& coordinates, const Dims& dims) {
  check(coordinates.size() == dims.size(), "linearize: rank");
  Dims strides = strides_of(dims);
  Expr out;
  for (size_t i = 0; i < dims.size(); i++) out = out + coordinates[i] * strides[i];
  return out;
}

Exprs delinearize(const Expr& offset, const Dims& dims) {
  Dims strides = strides_of(dims);
  Exprs out;
  for (size_t i = 0; i < dims.size(); i++) {
    Expr down = floor_div(offset, std::max<int64_t>(strides[i], 1));
    bool outermost = i == 0 || down.max() < dims[i];
    out.push_back(outermost && down.min() >= 0 ? down : floor_mod(down, std::max<int64_t>(dims[i], 1)));
  }
  return out;
}

}  // namespace mezzo::ir
