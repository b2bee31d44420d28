// text_codes.cpp: every machine operation as CUDA C++, with the meaning of ir/scalar.h. What is more than an
// operator of the language is a function of the prelude that carries the operation's name.
#include <bit>
#include <cmath>

#include "codegen/cuda/text_emitter.h"

namespace mezzo::codegen::cuda {

using ir::Code;
using ir::DType;

std::string_view memory_type(DType type) { return type == DType::boolean ? "u8" : ir::name(type); }

std::string_view register_type(DType type) {
  return type == DType::boolean ? "bool" : ir::name(ir::compute_type(type));
}

std::string literal(DType type, ir::Number value) {
  if (type == DType::boolean) return value.integer ? "true" : "false";
  if (type == DType::f64) {
    if (std::isnan(value.real)) return "(f64)float_of(0x7fc00000u)";
    if (std::isinf(value.real))
      return value.real < 0 ? "(f64)float_of(0xff800000u)" : "(f64)float_of(0x7f800000u)";
    return concat("(", std::hexfloat, value.real, ")");
  }
  if (ir::is_float(type)) {
    auto x = static_cast<float>(ir::round_to(value.real, type));
    if (!std::isfinite(x)) return concat("float_of(0x", std::hex, std::bit_cast<uint32_t>(x), "u)");
    return concat(x < 0 || std::signbit(x) ? "(" : "", std::hexfloat, x, "f", std::signbit(x) ? ")" : "");
  }
  auto u = static_cast<uint64_t>(value.integer);
  if (type == DType::u64) return concat(u, "ull");
  if (type == DType::u32) return concat(static_cast<uint32_t>(u), "u");
  if (type == DType::i64 || type == DType::i32) {
    bool long_one = type == DType::i64;
    int64_t least = long_one ? INT64_MIN : INT32_MIN;
    if (value.integer == least) return concat("(", least + 1, long_one ? "ll" : "", " - 1)");
    return concat(value.integer < 0 ? "(" : "", value.integer, long_one ? "ll" : "",
                  value.integer < 0 ? ")" : "");
  }
  return concat("(", register_type(type), ")(", value.integer, ")");
}

Reg TextEmitter::constant(DType type, ir::Number value) {
  Reg r = keep(literal(type, value), type);
  regs_.back().depth = 0;
  return r;
}

Reg TextEmitter::apply(Code code, DType type, DType operand, std::span<const Reg> operands) {
  std::string x[3];
  for (size_t i = 0; i < operands.size(); i++) x[i] = text(operands[i]);
  std::span<const std::string> all(x, operands.size());
  if (code == Code::select) return let(type, concat(x[0], " ? ", x[1], " : ", x[2]));
  if (code == Code::cast) {
    if (register_type(operand) == register_type(type) && !ir::is_low(type)) return operands[0];
    return let(type, cast(operand, type, x[0]));
  }
  if (code == Code::bitcast) {
    if (operand == DType::f32) return let(type, concat("(", register_type(type), ")bits_of(", x[0], ")"));
    if (type == DType::f32) return let(type, concat("float_of((u32)", x[0], ")"));
    return let(type, concat("(", register_type(type), ")", x[0]));
  }
  if (ir::is_float(operand)) return let(type, float_op(code, all));
  return let(type, integer_op(code, type, operand, all));
}

Reg TextEmitter::call_real(const ir::OpDef& op, std::span<const Reg> operands) {
  std::string call = concat("real_", op.name, "(");
  for (size_t i = 0; i < operands.size(); i++) call += concat(i ? ", " : "", text(operands[i]));
  return let(DType::f64, call + ")");
}

std::string TextEmitter::float_op(Code code, std::span<const std::string> x) const {
  auto infix = [&](const char* op) { return concat(x[0], op, x[1]); };
  switch (code) {
    case Code::add: return infix(" + ");
    case Code::sub: return infix(" - ");
    case Code::mul: return infix(" * ");
    case Code::div: return infix(" / ");
    case Code::neg: return concat("-", x[0]);
    case Code::equal: return infix(" == ");
    case Code::less: return infix(" < ");
    case Code::less_equal: return infix(" <= ");
    case Code::fma: return concat("op_fma(", x[0], ", ", x[1], ", ", x[2], ")");
    case Code::min:
    case Code::max:
    case Code::fmod:
    case Code::mod: return concat("op_", ir::name(code), "(", x[0], ", ", x[1], ")");
    case Code::abs:
    case Code::sqrt:
    case Code::floor:
    case Code::ceil:
    case Code::round:
    case Code::trunc:
    case Code::is_nan:
    case Code::is_inf: return concat("op_", ir::name(code), "(", x[0], ")");
    default: throw InternalError(concat("operation ", ir::name(code), " on floats"));
  }
}

std::string TextEmitter::integer_op(Code code, DType type, DType operand,
                                    std::span<const std::string> x) const {
  auto infix = [&](const char* op) { return concat(x[0], op, x[1]); };
  auto wrapped = [&](const char* op) { return concat("(", register_type(type), ")(", x[0], op, x[1], ")"); };
  auto call = [&](std::string_view arguments = "") {
    std::string text = concat("op_", ir::name(code), arguments, "(", x[0]);
    for (size_t i = 1; i < x.size(); i++) text += ", " + x[i];
    return text + ")";
  };
  switch (code) {
    case Code::floor:
    case Code::ceil:
    case Code::round:
    case Code::trunc: return x[0];
    case Code::equal: return infix(" == ");
    case Code::less: return infix(" < ");
    case Code::less_equal: return infix(" <= ");
    case Code::logical_and: return infix(" && ");
    case Code::logical_or: return infix(" || ");
    case Code::logical_xor: return infix(" != ");
    case Code::logical_not: return concat("!", x[0]);
    case Code::bit_and: return wrapped(" & ");
    case Code::bit_or: return wrapped(" | ");
    case Code::bit_xor: return wrapped(" ^ ");
    case Code::is_nan:
    case Code::is_inf: return "false";
    case Code::abs: return ir::is_signed(operand) ? call() : x[0];
    case Code::shift_left:
    case Code::shift_right: return call(concat("<u", ir::byte_size(operand) * 8, ">"));
    case Code::add:
    case Code::sub:
    case Code::mul:
    case Code::fma:
    case Code::div:
    case Code::fmod:
    case Code::mod:
    case Code::neg:
    case Code::min:
    case Code::max:
    case Code::bit_not:
    case Code::mul_high: return call();
    default: throw InternalError(concat("operation ", ir::name(code), " on integers"));
  }
}

std::string TextEmitter::cast(DType from, DType to, const std::string& x) const {
  if (to == DType::boolean) return x + " != 0";
  if (ir::is_low(to)) {
    if (ir::is_float(from)) return concat("Rounded<", ir::name(to), ">::of(", x, ")");
    // f32 holds integers of up to 16 bits exactly; wider ones take the way through f64, to round once.
    return concat("Rounded<", ir::name(to), ">::of((", ir::byte_size(from) <= 2 ? "f32" : "f64", ")", x, ")");
  }
  if (ir::is_float(from) && !ir::is_float(to)) return concat("to_", register_type(to), "(", x, ")");
  return concat("(", register_type(to), ")", x);
}

}  // namespace mezzo::codegen::cuda
