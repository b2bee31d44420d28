// emit_llvm_codes.cpp: every machine operation as LLVM IR, with the meaning of ir/scalar.h.
#ifdef MEZZO_CPU_JIT
#include <llvm/IR/Intrinsics.h>

#include <array>

#include "codegen/cpu/emit_llvm.h"

namespace mezzo::codegen::cpu {

using ir::Code;
using ir::DType;
namespace intrinsic = llvm::Intrinsic;

Reg LlvmEmitter::constant(DType type, ir::Number value) {
  llvm::Type* t = register_type(type);
  if (ir::is_float(type)) return keep(llvm::ConstantFP::get(t, ir::round_to(value.real, type)));
  if (type == DType::boolean) return keep(b_.getInt1(value.integer != 0));
  return keep(llvm::ConstantInt::get(t, static_cast<uint64_t>(value.integer), true));
}

Reg LlvmEmitter::apply(Code code, DType type, DType operand, std::span<const Reg> operands) {
  std::array<Value*, 3> all{};  // at most three operands
  bool vector = false;
  for (size_t i = 0; i < operands.size(); i++) {
    all[i] = at(operands[i]);
    vector |= is_vector(all[i]);
  }
  const llvm::MutableArrayRef<Value*> x(all.data(), operands.size());
  // A scalar condition chooses between whole vectors.
  if (code == Code::select) {
    if (vector) x[1] = splat(x[1]), x[2] = splat(x[2]);
    return keep(b_.CreateSelect(x[0], x[1], x[2]));
  }
  if (vector)
    for (Value*& v : x) v = splat(v);
  if (code == Code::cast) return keep(cast(operand, type, x[0]));
  if (code == Code::bitcast) return keep(b_.CreateBitCast(x[0], like(x[0], register_type(type))));
  if (ir::is_float(operand)) return keep(float_op(code, x));
  Value* v = integer_op(code, operand, x);
  return keep(v);
}

LlvmEmitter::Value* LlvmEmitter::float_op(Code code, llvm::ArrayRef<Value*> x) {
  auto unary = [&](intrinsic::ID id) { return b_.CreateUnaryIntrinsic(id, x[0]); };
  // x[0] where `first` holds or it is NaN, otherwise x[1].
  auto choose = [&](Value* first) {
    Value* one = b_.CreateSelect(first, x[0], x[1]);
    return b_.CreateSelect(b_.CreateFCmpUNO(x[0], x[0]), x[0], one);
  };
  switch (code) {
    case Code::add: return b_.CreateFAdd(x[0], x[1]);
    case Code::sub: return b_.CreateFSub(x[0], x[1]);
    case Code::mul: return b_.CreateFMul(x[0], x[1]);
    case Code::div: return b_.CreateFDiv(x[0], x[1]);
    case Code::fma: return b_.CreateIntrinsic(intrinsic::fma, {x[0]->getType()}, {x[0], x[1], x[2]});
    case Code::neg: return b_.CreateFNeg(x[0]);
    case Code::abs: return unary(intrinsic::fabs);
    case Code::sqrt: return unary(intrinsic::sqrt);
    case Code::floor: return unary(intrinsic::floor);
    case Code::ceil: return unary(intrinsic::ceil);
    case Code::round: return unary(intrinsic::nearbyint);
    case Code::trunc: return unary(intrinsic::trunc);
    case Code::min: return choose(b_.CreateFCmpOLT(x[0], x[1]));
    case Code::max: return choose(b_.CreateFCmpOGT(x[0], x[1]));
    case Code::fmod: return b_.CreateFRem(x[0], x[1]);
    case Code::mod: {
      Value *r = b_.CreateFRem(x[0], x[1]), *zero = real_like(r, 0);
      Value* differ = b_.CreateXor(b_.CreateFCmpOLT(r, zero), b_.CreateFCmpOLT(x[1], zero));
      Value* moved = b_.CreateSelect(differ, b_.CreateFAdd(r, x[1]), r);
      Value* signed_zero = b_.CreateBinaryIntrinsic(intrinsic::copysign, r, x[1]);
      return b_.CreateSelect(b_.CreateFCmpOEQ(r, zero), signed_zero, moved);
    }
    case Code::equal: return b_.CreateFCmpOEQ(x[0], x[1]);
    case Code::less: return b_.CreateFCmpOLT(x[0], x[1]);
    case Code::less_equal: return b_.CreateFCmpOLE(x[0], x[1]);
    case Code::is_nan: return b_.CreateFCmpUNO(x[0], x[0]);
    case Code::is_inf:
      return b_.CreateFCmpOEQ(unary(intrinsic::fabs), llvm::ConstantFP::getInfinity(x[0]->getType()));
    default: throw InternalError(concat("operation ", ir::name(code), " on floats"));
  }
}

LlvmEmitter::Value* LlvmEmitter::integer_op(Code code, DType type, llvm::ArrayRef<Value*> x) {
  bool sign = ir::is_signed(type);
  int64_t bits = type == DType::boolean ? 1 : ir::byte_size(type) * 8;
  auto less = [&](Value* a, Value* b) { return sign ? b_.CreateICmpSLT(a, b) : b_.CreateICmpULT(a, b); };
  auto zero = [&] { return number_like(x[0], 0); };
  // Division by 0 traps, and so does the least number by -1: both are kept away from the instruction.
  auto divide = [&](bool remainder) -> Value* {
    Value* none = b_.CreateICmpEQ(x[1], zero());
    Value* minus = sign ? b_.CreateICmpEQ(x[1], number_like(x[1], -1)) : nullptr;
    Value* safe = b_.CreateSelect(minus ? b_.CreateOr(none, minus) : none, number_like(x[1], 1), x[1]);
    Value* plain = remainder ? (sign ? b_.CreateSRem(x[0], safe) : b_.CreateURem(x[0], safe))
                             : (sign ? b_.CreateSDiv(x[0], safe) : b_.CreateUDiv(x[0], safe));
    if (minus && !remainder) plain = b_.CreateSelect(minus, b_.CreateNeg(x[0]), plain);
    return b_.CreateSelect(none, zero(), plain);
  };
  auto shift = [&](bool left) {
    Value* possible = b_.CreateICmpULT(x[1], number_like(x[1], bits));
    Value* by = b_.CreateSelect(possible, x[1], zero());
    return b_.CreateSelect(possible, left ? b_.CreateShl(x[0], by) : b_.CreateLShr(x[0], by), zero());
  };
  switch (code) {
    case Code::add: return b_.CreateAdd(x[0], x[1]);
    case Code::sub: return b_.CreateSub(x[0], x[1]);
    case Code::mul: return b_.CreateMul(x[0], x[1]);
    case Code::fma: return b_.CreateAdd(b_.CreateMul(x[0], x[1]), x[2]);
    case Code::div: return divide(false);
    case Code::fmod: return divide(true);
    case Code::mod: {
      Value* r = divide(true);
      if (!sign) return r;
      Value* differ = b_.CreateXor(less(r, zero()), less(x[1], zero()));
      return b_.CreateSelect(b_.CreateAnd(b_.CreateICmpNE(r, zero()), differ), b_.CreateAdd(r, x[1]), r);
    }
    case Code::neg: return b_.CreateNeg(x[0]);
    case Code::abs: return sign ? b_.CreateSelect(less(x[0], zero()), b_.CreateNeg(x[0]), x[0]) : x[0];
    case Code::floor:
    case Code::ceil:
    case Code::round:
    case Code::trunc: return x[0];
    case Code::min: return b_.CreateSelect(less(x[0], x[1]), x[0], x[1]);
    case Code::max: return b_.CreateSelect(less(x[1], x[0]), x[0], x[1]);
    case Code::equal: return b_.CreateICmpEQ(x[0], x[1]);
    case Code::less: return less(x[0], x[1]);
    case Code::less_equal: return b_.CreateNot(less(x[1], x[0]));
    case Code::bit_and:
    case Code::logical_and: return b_.CreateAnd(x[0], x[1]);
    case Code::bit_or:
    case Code::logical_or: return b_.CreateOr(x[0], x[1]);
    case Code::bit_xor:
    case Code::logical_xor: return b_.CreateXor(x[0], x[1]);
    case Code::bit_not:
    case Code::logical_not: return b_.CreateNot(x[0]);
    case Code::shift_left: return shift(true);
    case Code::shift_right: return shift(false);
    case Code::mul_high: {
      llvm::Type *narrow = x[0]->getType(), *wide = like(x[0], b_.getInt64Ty());
      Value* product = b_.CreateMul(b_.CreateZExt(x[0], wide), b_.CreateZExt(x[1], wide));
      return b_.CreateTrunc(b_.CreateLShr(product, number_like(product, 32)), narrow);
    }
    case Code::is_nan:
    case Code::is_inf: return llvm::Constant::getNullValue(like(x[0], b_.getInt1Ty()));
    default: throw InternalError(concat("operation ", ir::name(code), " on integers"));
  }
}

LlvmEmitter::Value* LlvmEmitter::cast(DType from, DType to, Value* x) {
  if (from == to) return x;
  llvm::Type* type = like(x, register_type(to));
  if (to == DType::boolean)
    return ir::is_float(from) ? b_.CreateFCmpUNE(x, real_like(x, 0)) : b_.CreateICmpNE(x, number_like(x, 0));
  if (ir::is_float(from)) {
    if (!ir::is_float(to)) {
      auto id = ir::is_signed(to) ? intrinsic::fptosi_sat : intrinsic::fptoui_sat;
      return b_.CreateIntrinsic(id, {type, x->getType()}, {x});
    }
    if (from == DType::f64) {
      if (to == DType::f32) return b_.CreateFPTrunc(x, type);
      return per_lane(to == DType::bf16 ? "mezzo_f64_to_bf16" : "mezzo_f64_to_f16", b_.getFloatTy(), x);
    }
    if (to == DType::f64) return b_.CreateFPExt(x, type);
    return ir::is_low(to) ? round_to_low(to, x) : x;
  }
  bool sign = ir::is_signed(from);
  if (!ir::is_float(to)) {
    // To a wider type by the sign of the source.
    return sign ? b_.CreateSExtOrTrunc(x, type) : b_.CreateZExtOrTrunc(x, type);
  }
  auto convert = [&](llvm::Type* real) {
    llvm::Type* t = like(x, real);
    return sign ? b_.CreateSIToFP(x, t) : b_.CreateUIToFP(x, t);
  };
  if (!ir::is_low(to)) return convert(register_type(to));
  // f32 holds integers of up to 16 bits exactly; wider ones take the way through f64, to round once.
  if (ir::byte_size(from) <= 2) return round_to_low(to, convert(b_.getFloatTy()));
  return cast(DType::f64, to, convert(b_.getDoubleTy()));
}

// f32 -> the nearest 16-bit float, ties to even, as an f32. On the bits for bf16: adding just below half a
// unit, plus the last bit kept, carries exactly when rounding goes up. NaN is made quiet instead.
LlvmEmitter::Value* LlvmEmitter::round_to_low(DType to, Value* x) {
  if (to == DType::f16) {
    if (!traits_.half) return per_lane("mezzo_f32_to_f16", b_.getFloatTy(), x);
    return b_.CreateFPExt(b_.CreateFPTrunc(x, like(x, b_.getHalfTy())), x->getType());
  }
  Value* u = b_.CreateBitCast(x, like(x, b_.getInt32Ty()));
  auto n = [&](uint32_t v) { return llvm::ConstantInt::get(u->getType(), v); };
  Value* even = b_.CreateAnd(b_.CreateLShr(u, n(16)), n(1));
  Value* rounded = b_.CreateAdd(u, b_.CreateAdd(even, n(0x7fff)));
  Value* bits = b_.CreateSelect(b_.CreateFCmpUNO(x, x), b_.CreateOr(u, n(0x400000)), rounded);
  return b_.CreateBitCast(b_.CreateAnd(bits, n(0xffff0000)), x->getType());
}

LlvmEmitter::Value* LlvmEmitter::widen(DType type, Value* stored) {
  switch (type) {
    case DType::bf16: {
      Value* u = b_.CreateZExt(stored, like(stored, b_.getInt32Ty()));
      return b_.CreateBitCast(b_.CreateShl(u, number_like(u, 16)), like(stored, b_.getFloatTy()));
    }
    case DType::f16:
      if (!traits_.half) return per_lane("mezzo_f16_to_f32", b_.getFloatTy(), stored);
      return b_.CreateFPExt(b_.CreateBitCast(stored, like(stored, b_.getHalfTy())),
                            like(stored, b_.getFloatTy()));
    case DType::boolean: return b_.CreateICmpNE(stored, number_like(stored, 0));
    default: return stored;
  }
}

// The number is one of `type` already: nothing is rounded here.
LlvmEmitter::Value* LlvmEmitter::narrow(DType type, Value* value) {
  llvm::Type* half = like(value, b_.getInt16Ty());
  switch (type) {
    case DType::bf16: {
      Value* u = b_.CreateBitCast(value, like(value, b_.getInt32Ty()));
      return b_.CreateTrunc(b_.CreateLShr(u, number_like(u, 16)), half);
    }
    case DType::f16:
      if (!traits_.half) return per_lane("mezzo_f16_bits", b_.getInt16Ty(), value);
      return b_.CreateBitCast(b_.CreateFPTrunc(value, like(value, b_.getHalfTy())), half);
    case DType::boolean: return b_.CreateZExt(value, like(value, b_.getInt8Ty()));
    default: return value;
  }
}

LlvmEmitter::Value* LlvmEmitter::per_lane(const char* name, llvm::Type* result, Value* x) {
  auto f = module_.getOrInsertFunction(
      name, llvm::FunctionType::get(result, {x->getType()->getScalarType()}, false));
  if (!is_vector(x)) return b_.CreateCall(f, {x});
  Value* out = llvm::Constant::getNullValue(vector_of(result));
  for (uint64_t i = 0; i < static_cast<uint64_t>(traits_.lanes); i++)
    out = b_.CreateInsertElement(out, b_.CreateCall(f, {b_.CreateExtractElement(x, i)}), i);
  return out;
}

Reg LlvmEmitter::call_real(const ir::OpDef& op, std::span<const Reg> operands) {
  auto f = module_.getOrInsertFunction(concat("real.", op.name),
                                       llvm::FunctionType::get(b_.getDoubleTy(), {b_.getPtrTy()}, false));
  auto& entry = function_->getEntryBlock();
  auto* array = llvm::ArrayType::get(b_.getDoubleTy(), operands.size());
  Value* slot = llvm::IRBuilder<>(&entry, entry.begin()).CreateAlloca(array);
  bool vector = false;
  for (Reg r : operands) vector |= is_vector(at(r));
  auto call = [&](uint64_t lane) -> Value* {
    for (size_t i = 0; i < operands.size(); i++) {
      Value* v = at(operands[i]);
      b_.CreateStore(is_vector(v) ? b_.CreateExtractElement(v, lane) : v,
                     b_.CreateConstGEP2_64(array, slot, 0, i));
    }
    return b_.CreateCall(f, {slot});
  };
  if (!vector) return keep(call(0));
  Value* out = llvm::Constant::getNullValue(vector_of(b_.getDoubleTy()));
  for (uint64_t i = 0; i < static_cast<uint64_t>(traits_.lanes); i++)
    out = b_.CreateInsertElement(out, call(i), i);
  return keep(out);
}

}  // namespace mezzo::codegen::cpu
#endif
