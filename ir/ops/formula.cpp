#include "ir/ops/formula.h"

#include <algorithm>
#include <bit>

namespace mezzo::ir {
namespace {

constexpr double kSignBit = -2147483648.0;  // the i32 whose only bit is the sign

Term apply(Code code, DType type, Term a, Term b = {}, Term c = {}) {
  return a.in->add({code, type, a.number, b.in ? b.number : -1, c.in ? c.number : -1});
}
Term same(Code code, Term a, Term b = {}, Term c = {}) { return apply(code, a.type(), a, b, c); }
Term like(Term a, double v) { return a.in->constant(v, a.type()); }

bool equal(const Instruction& x, const Instruction& y) {
  return x.code == y.code && x.type == y.type && x.a == y.a && x.b == y.b && x.c == y.c &&
         std::bit_cast<uint64_t>(x.constant) == std::bit_cast<uint64_t>(y.constant);
}

}  // namespace

DType Term::type() const { return in->type(number); }

DType Formula::type(int number) const {
  return number < program_.parameters ? program_.parameter_type
                                      : program_.body[static_cast<size_t>(number - program_.parameters)].type;
}

Term Formula::add(const Instruction& instruction) {
  auto& body = program_.body;
  auto known = std::find_if(body.begin(), body.end(), [&](auto& it) { return equal(it, instruction); });
  int number = program_.parameters + static_cast<int>(known - body.begin());
  if (known == body.end()) body.push_back(instruction);
  return {this, number};
}

Program Formula::finish(Term result) const {
  check(result.number >= program_.parameters, "a program that is one of its parameters");
  int first = program_.parameters;
  std::vector<char> needed(static_cast<size_t>(result.number) + 1);
  needed.back() = 1;
  for (int k = result.number; k >= first; k--) {
    if (!needed[static_cast<size_t>(k)]) continue;
    const Instruction& it = program_.body[static_cast<size_t>(k - first)];
    for (int operand : {it.a, it.b, it.c})
      if (operand >= 0) needed[static_cast<size_t>(operand)] = 1;
  }
  Program out{program_.parameters, program_.parameter_type, {}};
  std::vector<int> now(needed.size(), -1);
  for (int k = 0; k <= result.number; k++) {
    auto at = static_cast<size_t>(k);
    if (k < first) now[at] = k;
    if (k < first || !needed[at]) continue;
    Instruction it = program_.body[at - static_cast<size_t>(first)];
    for (int* operand : {&it.a, &it.b, &it.c})
      if (*operand >= 0) *operand = now[static_cast<size_t>(*operand)];
    now[at] = first + static_cast<int>(out.body.size());
    out.body.push_back(it);
  }
  return out;
}

Term operator+(Term a, Term b) { return same(Code::add, a, b); }
Term operator-(Term a, Term b) { return same(Code::sub, a, b); }
Term operator*(Term a, Term b) { return same(Code::mul, a, b); }
Term operator/(Term a, Term b) { return same(Code::div, a, b); }
Term operator-(Term a) { return same(Code::neg, a); }
Term operator+(Term a, double b) { return a + like(a, b); }
Term operator-(Term a, double b) { return a - like(a, b); }
Term operator*(Term a, double b) { return a * like(a, b); }
Term operator/(Term a, double b) { return a / like(a, b); }
Term operator-(double a, Term b) { return like(b, a) - b; }
Term operator/(double a, Term b) { return like(b, a) / b; }
Term operator<(Term a, Term b) { return apply(Code::less, DType::boolean, a, b); }
Term operator<(Term a, double b) { return a < like(a, b); }
Term operator<(double a, Term b) { return like(b, a) < b; }
Term operator==(Term a, double b) { return apply(Code::equal, DType::boolean, a, like(a, b)); }
Term operator==(Term a, Term b) { return apply(Code::equal, DType::boolean, a, b); }
Term operator&&(Term a, Term b) { return same(Code::logical_and, a, b); }
Term operator!(Term a) { return same(Code::logical_not, a); }
Term operator&(Term a, double b) { return same(Code::bit_and, a, like(a, b)); }
Term operator|(Term a, Term b) { return same(Code::bit_or, a, b); }
Term operator^(Term a, Term b) { return same(Code::bit_xor, a, b); }
Term operator<<(Term a, int n) { return same(Code::shift_left, a, like(a, n)); }
Term operator>>(Term a, int n) { return same(Code::shift_right, a, like(a, n)); }
Term fma(Term a, Term b, Term c) { return same(Code::fma, a, b, c); }
Term fma(Term a, double b, Term c) { return fma(a, like(a, b), c); }
Term fma(Term a, Term b, double c) { return fma(a, b, like(a, c)); }
Term fma(Term a, double b, double c) { return fma(a, like(a, b), like(a, c)); }
Term abs(Term a) { return same(Code::abs, a); }
Term floor(Term a) { return same(Code::floor, a); }
Term sqrt(Term a) { return same(Code::sqrt, a); }
Term minimum(Term a, double b) { return same(Code::min, a, like(a, b)); }
Term maximum(Term a, double b) { return same(Code::max, a, like(a, b)); }
Term mul_high(Term a, Term b) { return same(Code::mul_high, a, b); }
Term select(Term condition, Term yes, Term no) { return apply(Code::select, yes.type(), condition, yes, no); }
Term select(Term condition, Term yes, double no) { return select(condition, yes, like(yes, no)); }
Term select(Term condition, double yes, Term no) { return select(condition, like(no, yes), no); }
Term bits(Term f32) { return apply(Code::bitcast, DType::i32, f32); }
Term real(Term i32) { return apply(Code::bitcast, DType::f32, i32); }
Term to_real(Term integer) { return apply(Code::cast, DType::f32, integer); }
Term copysign(Term magnitude, Term sign) { return real(bits(magnitude) | (bits(sign) & kSignBit)); }

Term polynomial(Term x, std::initializer_list<double> highest_first) {
  Term p;
  for (double c : highest_first) p = p.in ? fma(p, x, c) : x.in->constant(c, x.type());
  return p;
}

}  // namespace mezzo::ir
