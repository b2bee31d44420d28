// formula.h: writes Programs as formulas: `Term t = fma(x, f.real(1.4427), f.real(magic))` appends one
// instruction per operation. Equal instructions are shared; what the result does not need is dropped.
#pragma once
#include <initializer_list>

#include "ir/scalar.h"

namespace mezzo::ir {

class Formula;

// One value of a program under construction.
struct Term {
  Formula* in = nullptr;
  int number = 0;
  DType type() const;
};

class Formula {
 public:
  explicit Formula(int parameters, DType parameter_type = DType::f32) {
    program_.parameters = parameters;
    program_.parameter_type = parameter_type;
  }
  Term parameter(int i) { return {this, i}; }
  Term real(double v) { return constant(v, DType::f32); }  // an f32 constant
  Term integer(double v) { return constant(v, DType::i32); }
  Term constant(double v, DType type) { return add({Code::cast, type, -1, -1, -1, v}); }
  Term add(const Instruction& instruction);
  DType type(int number) const;
  Program finish(Term result) const;

 private:
  Program program_;
};

Term operator+(Term a, Term b);
Term operator-(Term a, Term b);
Term operator*(Term a, Term b);
Term operator/(Term a, Term b);
Term operator-(Term a);
Term operator+(Term a, double b);  // numbers take the type of the term
Term operator-(Term a, double b);
Term operator*(Term a, double b);
Term operator/(Term a, double b);
Term operator-(double a, Term b);
Term operator/(double a, Term b);
Term operator<(Term a, Term b);
Term operator<(Term a, double b);
Term operator<(double a, Term b);
Term operator==(Term a, double b);
Term operator==(Term a, Term b);
Term operator&&(Term a, Term b);
Term operator!(Term a);
Term operator&(Term a, double b);
Term operator|(Term a, Term b);
Term operator^(Term a, Term b);
Term operator<<(Term a, int bits);
Term operator>>(Term a, int bits);
Term fma(Term a, Term b, Term c);
Term fma(Term a, double b, Term c);
Term fma(Term a, Term b, double c);
Term fma(Term a, double b, double c);
Term abs(Term a);
Term sqrt(Term a);
Term floor(Term a);
Term minimum(Term a, double b);
Term maximum(Term a, double b);
Term mul_high(Term a, Term b);
Term select(Term condition, Term yes, Term no);
Term select(Term condition, Term yes, double no);
Term select(Term condition, double yes, Term no);
Term bits(Term f32);                       // as i32
Term real(Term i32);                       // bits as f32
Term to_real(Term integer);                // converted to f32
Term copysign(Term magnitude, Term sign);  // magnitude must not be negative
Term polynomial(Term x, std::initializer_list<double> highest_first);

}  // namespace mezzo::ir
