// scalar_logic.cpp: comparisons, logic on bool, bits of integers, choice by a condition.
#include <limits>

#include "ir/ops/scalar_rows.h"

namespace mezzo::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

const OpDef equal_op = machine("Equal", Code::equal, Precision::widest, infer_comparison, zero_gradient);
const OpDef less_op = machine("Less", Code::less, Precision::widest, infer_ordering, zero_gradient);
const OpDef less_equal_op =
    machine("LessOrEqual", Code::less_equal, Precision::widest, infer_ordering, zero_gradient);
const OpDef greater_op = formula(
    "Greater", 2, 2, {}, Precision::widest, infer_ordering,
    [](Graph&, const Node&, const Values& in) -> Values { return {less(in[1], in[0])}; }, zero_gradient);
const OpDef greater_equal_op = formula(
    "GreaterOrEqual", 2, 2, {}, Precision::widest, infer_ordering,
    [](Graph&, const Node&, const Values& in) -> Values { return {less_equal(in[1], in[0])}; },
    zero_gradient);
MEZZO_REGISTER_OP(equal_op);
MEZZO_REGISTER_OP(less_op);
MEZZO_REGISTER_OP(less_equal_op);
MEZZO_REGISTER_OP(greater_op);
MEZZO_REGISTER_OP(greater_equal_op);

const OpDef and_op = machine("And", Code::logical_and, Precision::fixed, infer_booleans, zero_gradient);
const OpDef or_op = machine("Or", Code::logical_or, Precision::fixed, infer_booleans, zero_gradient);
const OpDef xor_op = machine("Xor", Code::logical_xor, Precision::fixed, infer_booleans, zero_gradient);
const OpDef not_op = machine("Not", Code::logical_not, Precision::fixed, infer_booleans, zero_gradient);
MEZZO_REGISTER_OP(and_op);
MEZZO_REGISTER_OP(or_op);
MEZZO_REGISTER_OP(xor_op);
MEZZO_REGISTER_OP(not_op);

const OpDef bitwise_and =
    machine("BitwiseAnd", Code::bit_and, Precision::fixed, infer_integers, zero_gradient);
const OpDef bitwise_or = machine("BitwiseOr", Code::bit_or, Precision::fixed, infer_integers, zero_gradient);
const OpDef bitwise_xor =
    machine("BitwiseXor", Code::bit_xor, Precision::fixed, infer_integers, zero_gradient);
const OpDef bitwise_not =
    machine("BitwiseNot", Code::bit_not, Precision::fixed, infer_integers, zero_gradient);
const OpDef shift_left =
    machine("ShiftLeft", Code::shift_left, Precision::fixed, infer_integers, zero_gradient);
const OpDef shift_right =
    machine("ShiftRight", Code::shift_right, Precision::fixed, infer_integers, zero_gradient);
MEZZO_REGISTER_OP(bitwise_and);
MEZZO_REGISTER_OP(bitwise_or);
MEZZO_REGISTER_OP(bitwise_xor);
MEZZO_REGISTER_OP(bitwise_not);
MEZZO_REGISTER_OP(shift_left);
MEZZO_REGISTER_OP(shift_right);

const OpDef bit_shift = formula(
    "BitShift", 2, 2, {{"direction", "", AttrSpec::required}}, Precision::fixed,
    [](const Node& n) {
      const std::string& d = n.s("direction");
      require(d == "LEFT" || d == "RIGHT", "direction must be LEFT or RIGHT, not '", d, "'");
      return infer_integers(n);
    },
    [](Graph&, const Node& n, const Values& in) -> Values {
      if (n.s("direction") == "LEFT") return {ir::apply("ShiftLeft", in)};
      Value down = ir::apply("ShiftRight", in);
      if (!is_signed(n.type().dtype)) return {down};
      // The sign moves in from the left.
      Value inverted =
          ir::apply("BitwiseNot", {ir::apply("ShiftRight", {ir::apply("BitwiseNot", {in[0]}), in[1]})});
      return {where(less(in[0], constant_like(in[0], 0)), inverted, down)};
    },
    zero_gradient);
MEZZO_REGISTER_OP(bit_shift);

std::vector<Type> infer_test(const Node& n) { return {{DType::boolean, infer_floats(n)[0].dims}}; }

const OpDef is_nan = machine("IsNaN", Code::is_nan, Precision::pass, infer_test, zero_gradient);
const OpDef is_inf = formula(
    "IsInf", 1, 1, {{"detect_negative", int64_t{1}}, {"detect_positive", int64_t{1}}}, Precision::pass,
    infer_test,
    [](Graph& to, const Node& n, const Values& in) -> Values {
      Value x = in[0];
      bool negative = n.i("detect_negative") != 0, positive = n.i("detect_positive") != 0;
      if (!negative && !positive) return {to.constant(0, DType::boolean, x.dims())};
      Value magnitude = negative && positive ? abs(x) : x;
      return {equal(magnitude, constant_like(x, positive ? kInfinity : -kInfinity))};
    },
    zero_gradient);
MEZZO_REGISTER_OP(is_nan);
MEZZO_REGISTER_OP(is_inf);

// The branch that was not taken gets 0, also where it is NaN.
const OpDef where_op = machine(
    "Where", Code::select, Precision::widest,
    [](const Node& n) -> std::vector<Type> {
      Type c = n.in_type(0), yes = n.in_type(1), no = n.in_type(2);
      require(c.dtype == DType::boolean, "the condition must be bool, not ", name(c.dtype));
      require(yes.dtype == no.dtype, "input 1 is ", name(yes.dtype), ", input 2 is ", name(no.dtype));
      return {{yes.dtype, broadcast(c.dims, broadcast(yes.dims, no.dims))}};
    },
    [](Grad& g) -> Values {
      Value zero = constant_like(g.dy[0], 0);
      return {{}, where(g.in[0], g.dy[0], zero), where(g.in[0], zero, g.dy[0])};
    });
MEZZO_REGISTER_OP(where_op);

}  // namespace
}  // namespace mezzo::ir
