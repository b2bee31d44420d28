// emit_llvm.cpp: functions, scopes, index arithmetic and memory as LLVM IR. The arithmetic is in
// emit_llvm_codes.cpp.
#ifdef MEZZO_CPU_JIT
#include "codegen/cpu/emit_llvm.h"

#include <llvm/IR/Intrinsics.h>

namespace mezzo::codegen::cpu {

using ir::DType;
using ir::Expr;
using llvm::Constant;
using llvm::ConstantInt;

LlvmEmitter::LlvmEmitter(llvm::Module& module, const TargetTraits& traits)
    : module_(module), traits_(traits), b_(module.getContext()) {}

Reg LlvmEmitter::keep(Value* v) {
  regs_.push_back(v);
  return {static_cast<int>(regs_.size()) - 1};
}

llvm::Type* LlvmEmitter::register_type(DType type) {
  if (ir::is_low(type) || type == DType::f32) return b_.getFloatTy();
  if (type == DType::f64) return b_.getDoubleTy();
  return type == DType::boolean ? b_.getInt1Ty()
                                : b_.getIntNTy(static_cast<unsigned>(ir::byte_size(type)) * 8);
}

llvm::Type* LlvmEmitter::memory_type(DType type) {
  if (type == DType::boolean) return b_.getInt8Ty();
  return ir::is_low(type) ? b_.getInt16Ty() : register_type(type);
}

LlvmEmitter::Value* LlvmEmitter::splat(Value* v) {
  return is_vector(v) ? v : b_.CreateVectorSplat(static_cast<unsigned>(traits_.lanes), v);
}

LlvmEmitter::Value* LlvmEmitter::lane_numbers(llvm::Type* integer) {
  std::vector<Constant*> lanes;
  for (int i = 0; i < traits_.lanes; i++)
    lanes.push_back(ConstantInt::get(integer, static_cast<uint64_t>(i)));
  return llvm::ConstantVector::get(lanes);
}

LlvmEmitter::Value* LlvmEmitter::number_like(Value* shape, int64_t v) {
  return ConstantInt::get(shape->getType(), static_cast<uint64_t>(v), true);
}
LlvmEmitter::Value* LlvmEmitter::real_like(Value* shape, double v) {
  return llvm::ConstantFP::get(shape->getType(), v);
}

// ---- functions and scopes

void LlvmEmitter::open_function(const std::string& name, int buffers, int begin, int end) {
  auto* type =
      llvm::FunctionType::get(b_.getVoidTy(), {b_.getPtrTy(), b_.getInt64Ty(), b_.getInt64Ty()}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, name, module_);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  // Otherwise tuning may split vectors into 256-bit halves.
  if (traits_.wide) function_->addFnAttr("prefer-vector-width", "512");
  current_ = llvm::BasicBlock::Create(module_.getContext(), "", function_);
  b_.SetInsertPoint(current_);
  scopes_.assign(1, {});
  regs_.clear();
  buffers_.clear();
  coordinates_.clear();
  computed_.clear();
  variables_.clear();
  vector_ = -1;
  depth_ = 0;
  for (int i = 0; i < buffers; i++)
    buffers_.push_back(b_.CreateLoad(
        b_.getPtrTy(), b_.CreateConstGEP1_64(b_.getPtrTy(), function_->getArg(0), static_cast<uint64_t>(i))));
  bind(begin, function_->getArg(1));
  bind(end, function_->getArg(2));
}

void LlvmEmitter::close_function() { b_.CreateRetVoid(); }

int LlvmEmitter::go_to(int depth) {
  int before = depth_;
  depth_ = depth;
  auto inner = static_cast<size_t>(depth) + 1;
  if (inner < scopes_.size())
    b_.SetInsertPoint(scopes_[inner].before->getTerminator());
  else
    b_.SetInsertPoint(current_);
  return before;
}

void LlvmEmitter::bind(int coordinate, Value* value) {
  auto i = static_cast<size_t>(coordinate);
  if (coordinates_.size() <= i) coordinates_.resize(i + 1);
  scopes_.back().bound.emplace_back(coordinate, coordinates_[i]);
  coordinates_[i] = value;
}

void LlvmEmitter::bind(int coordinate, Reg index) {
  check(coordinate == kComputed + static_cast<int>(computed_.size()), "coordinate i", coordinate,
        " is not the next");
  computed_.push_back(at(index));
}

bool LlvmEmitter::varies(const Expr& e) const {
  for (const Expr::Term& t : e.terms()) {
    auto number = static_cast<int>(t.atom.number);
    if (t.atom.kind != Expr::AtomKind::coordinate ? varies(*t.atom.of)
        : number >= kComputed ? is_vector(computed_[static_cast<size_t>(number - kComputed)])
                              : number == vector_)
      return true;
  }
  return false;
}

std::optional<int64_t> LlvmEmitter::lane_stride(const Expr& e) const {
  for (size_t i = 0; i < computed_.size(); i++)
    if (is_vector(computed_[i]) && e.uses(kComputed + static_cast<int>(i))) return std::nullopt;
  return e.stride(vector_);
}

void LlvmEmitter::set(int coordinate, const Expr& value) { bind(coordinate, scalar_index(value)); }

void LlvmEmitter::vectorize(int coordinate, int active) {
  vector_ = coordinate;
  active_ = active;
}

void LlvmEmitter::open_block() {
  Scope s;
  s.vector = vector_, s.active = active_;
  s.before = current_;
  auto* inside = llvm::BasicBlock::Create(module_.getContext(), "", function_);
  b_.CreateBr(inside);
  b_.SetInsertPoint(current_ = inside);
  scopes_.push_back(std::move(s));
  depth_++;
}

void LlvmEmitter::open_loop(int coordinate, const Bounds& bounds, int64_t step) {
  Scope s;
  s.vector = vector_, s.active = active_;
  s.before = current_;
  s.step = step;
  Value* lo = scalar_index(bounds.lo);
  s.hi = scalar_index(bounds.hi);
  if (bounds.at_least > bounds.lo.min())
    lo = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, lo,
                                  b_.getInt64(static_cast<uint64_t>(bounds.at_least)));
  if (bounds.at_most < bounds.hi.max())
    s.hi = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, s.hi,
                                    b_.getInt64(static_cast<uint64_t>(bounds.at_most)));
  s.head = llvm::BasicBlock::Create(module_.getContext(), "", function_);
  auto *from = llvm::dyn_cast<ConstantInt>(lo), *to = llvm::dyn_cast<ConstantInt>(s.hi);
  if (from && to && from->getSExtValue() < to->getSExtValue()) {
    b_.CreateBr(s.head);
  } else {
    // The exit is made by close(); until then the branch has the head twice.
    b_.CreateCondBr(b_.CreateICmpSLT(lo, s.hi), s.head, s.head);
  }
  b_.SetInsertPoint(current_ = s.head);
  s.index = b_.CreatePHI(b_.getInt64Ty(), 2);
  s.index->addIncoming(lo, s.before);
  scopes_.push_back(std::move(s));
  depth_++;
  bind(coordinate, scopes_.back().index);
}

void LlvmEmitter::close() {
  Scope s = std::move(scopes_.back());
  scopes_.pop_back();
  for (size_t i = s.bound.size(); i-- > 0;)
    coordinates_[static_cast<size_t>(s.bound[i].first)] = s.bound[i].second;
  vector_ = s.vector, active_ = s.active;
  depth_--;
  if (!s.head) return;
  auto* exit = llvm::BasicBlock::Create(module_.getContext(), "", function_);
  Value* next = b_.CreateNSWAdd(s.index, b_.getInt64(static_cast<uint64_t>(s.step)));
  b_.CreateCondBr(b_.CreateICmpSLT(next, s.hi), s.head, exit);
  s.index->addIncoming(next, current_);
  if (auto* enter = llvm::cast<llvm::BranchInst>(s.before->getTerminator()); enter->isConditional())
    enter->setSuccessor(1, exit);
  b_.SetInsertPoint(current_ = exit);
}

// ---- index arithmetic

LlvmEmitter::Value* LlvmEmitter::scalar_index(const Expr& e) { return index_of(e, b_.getInt64Ty(), false); }

LlvmEmitter::Value* LlvmEmitter::vector_index(const Expr& e, llvm::Type* integer) {
  return index_of(e, integer, true);
}

LlvmEmitter::Value* LlvmEmitter::index_of(const Expr& e, llvm::Type* integer, bool vector) {
  auto number = [&](int64_t v) { return ConstantInt::get(integer, static_cast<uint64_t>(v), true); };
  Value* sum = nullptr;
  auto add = [&](Value* v) {
    if (!sum) {
      sum = v;
      return;
    }
    if (is_vector(v) || is_vector(sum)) sum = splat(sum), v = splat(v);
    sum = b_.CreateAdd(sum, v);
  };
  for (const Expr::Term& t : e.terms()) {
    Value* v = nullptr;
    int64_t d = t.atom.number;
    if (t.atom.kind == Expr::AtomKind::coordinate) {
      v = d >= kComputed ? computed_[static_cast<size_t>(d - kComputed)]
                         : coordinates_[static_cast<size_t>(d)];
      check(v != nullptr, "coordinate i", d, " is not bound");
      v = b_.CreateTrunc(v, like(v, integer));
      if (vector && d == vector_) v = b_.CreateAdd(splat(v), lane_numbers(integer));
    } else {
      // Moved into the natural numbers first, where quotients are plain and cheap.
      const Expr& of = *t.atom.of;
      int64_t up = of.min() < 0 ? (-of.min() + d - 1) / d : 0;
      v = index_of(of + up * d, integer, vector && varies(of));
      Value* by = ConstantInt::get(v->getType(), static_cast<uint64_t>(d));
      if (t.atom.kind == Expr::AtomKind::quotient) {
        v = b_.CreateUDiv(v, by);
        if (up) v = b_.CreateSub(v, number_like(v, up));
      } else {
        v = b_.CreateURem(v, by);
      }
    }
    if (t.coefficient != 1) v = b_.CreateMul(v, number_like(v, t.coefficient));
    add(v);
  }
  if (e.constant() != 0 || !sum) add(number(e.constant()));
  return sum;
}

Reg LlvmEmitter::number(const Expr& value, DType type) {
  llvm::Type* t = register_type(type);
  llvm::Type* wide = varies(value) && fits_in_32_bits(value) ? b_.getInt32Ty() : b_.getInt64Ty();
  Value* v = varies(value) ? vector_index(value, wide) : scalar_index(value);
  return keep(b_.CreateSExtOrTrunc(v, like(v, t)));
}

Reg LlvmEmitter::inside(const ir::Condition& c, Reg also) {
  Value* v = nullptr;
  if (varies(c.value))
    v = vector_index(c.value, fits_in_32_bits(c.value) ? b_.getInt32Ty() : b_.getInt64Ty());
  else
    v = scalar_index(c.value);
  // One unsigned comparison sees both ends.
  Value* test = b_.CreateICmpULT(v, number_like(v, c.extent));
  if (!also) return keep(test);
  Value* first = at(also);
  if (is_vector(first) || is_vector(test)) first = splat(first), test = splat(test);
  return keep(b_.CreateAnd(first, test));
}

// ---- memory

LlvmEmitter::Value* LlvmEmitter::active_mask() {
  std::vector<Constant*> lanes;
  for (int i = 0; i < traits_.lanes; i++) lanes.push_back(b_.getInt1(i < active_));
  return llvm::ConstantVector::get(lanes);
}

LlvmEmitter::Value* LlvmEmitter::address(int buffer, DType type, Value* offset) {
  return b_.CreateGEP(memory_type(type), buffers_[static_cast<size_t>(buffer)], offset);
}

Reg LlvmEmitter::load(int buffer, DType type, const Expr& offset, int64_t count, Reg when) {
  if (count == 0) return constant(type, {});
  Value* condition = when ? at(when) : nullptr;
  if (varies(offset) || (condition && is_vector(condition)))
    return keep(load_vector(buffer, type, offset, count, condition));
  Value* index = scalar_index(offset);
  if (condition) index = b_.CreateSelect(condition, index, b_.getInt64(0));
  llvm::Type* t = memory_type(type);
  return keep(widen(type, b_.CreateAlignedLoad(t, address(buffer, type, index),
                                               llvm::Align(static_cast<uint64_t>(ir::byte_size(type))))));
}

LlvmEmitter::Value* LlvmEmitter::load_vector(int buffer, DType type, const Expr& offset, int64_t count,
                                             Value* when) {
  auto stride = lane_stride(offset);
  llvm::Align align(static_cast<uint64_t>(ir::byte_size(type)));
  llvm::Type* t = vector_of(memory_type(type));
  int64_t reach = traits_.lanes - 1;
  if (stride == 0 && !varies(offset)) {  // one element, wanted by some lanes
    Value* any = b_.CreateOrReduce(when);
    Value* index = b_.CreateSelect(any, scalar_index(offset), b_.getInt64(0));
    return splat(widen(type, b_.CreateAlignedLoad(memory_type(type), address(buffer, type, index), align)));
  }
  bool uniform = when && !is_vector(when);
  if (stride != 1) {
    if (uniform) when = splat(when);
    return widen(type, gather(buffer, type, offset, when));
  }
  Value* index = scalar_index(offset);
  bool whole = active_ == traits_.lanes;
  if (uniform && whole && count > reach) {  // reading from the start of the buffer instead is harmless
    index = b_.CreateSelect(when, index, b_.getInt64(0));
    when = nullptr;
  }
  Value* mask = whole ? nullptr : active_mask();
  if (when) mask = mask ? b_.CreateAnd(mask, splat(when)) : splat(when);
  Value* from = address(buffer, type, index);
  if (!mask) return widen(type, b_.CreateAlignedLoad(t, from, align));
  // Masked loads of 16-bit elements are branches on most hosts; with a mask that is a constant they are not.
  if (when && ir::byte_size(type) < 4) return widen(type, gather(buffer, type, offset, splat(when)));
  return widen(type, b_.CreateMaskedLoad(t, from, align, mask, Constant::getNullValue(t)));
}

// Lane by lane; lanes that do not count or whose condition fails read element 0 or nothing.
LlvmEmitter::Value* LlvmEmitter::gather(int buffer, DType type, const Expr& offset, Value* when) {
  llvm::Align align(static_cast<uint64_t>(ir::byte_size(type)));
  llvm::Type* element = memory_type(type);
  Value* result = Constant::getNullValue(vector_of(element));
  auto stride = lane_stride(offset);
  Value *base = nullptr, *indices = nullptr;
  if (stride && !when) {
    base = address(buffer, type, scalar_index(offset));
  } else {
    llvm::Type* integer = fits_in_32_bits(offset) ? b_.getInt32Ty() : b_.getInt64Ty();
    indices = splat(vector_index(offset, integer));
    if (when) indices = b_.CreateSelect(when, indices, Constant::getNullValue(indices->getType()));
  }
  for (int i = 0; i < active_; i++) {
    auto lane = static_cast<uint64_t>(i);
    Value* from =
        base ? b_.CreateGEP(element, base, b_.getInt64(static_cast<uint64_t>(i * *stride)))
             : address(buffer, type, b_.CreateSExt(b_.CreateExtractElement(indices, lane), b_.getInt64Ty()));
    result = b_.CreateInsertElement(result, b_.CreateAlignedLoad(element, from, align), lane);
  }
  return result;
}

void LlvmEmitter::store(int buffer, DType type, const Expr& offset, Reg value) {
  llvm::Align align(static_cast<uint64_t>(ir::byte_size(type)));
  Value* v = at(value);
  if (!varies(offset)) {
    if (is_vector(v)) v = b_.CreateExtractElement(v, uint64_t{0});
    b_.CreateAlignedStore(narrow(type, v), address(buffer, type, scalar_index(offset)), align);
    return;
  }
  v = narrow(type, splat(v));
  auto stride = lane_stride(offset);
  if (stride == 1) {
    Value* to = address(buffer, type, scalar_index(offset));
    if (active_ == traits_.lanes)
      b_.CreateAlignedStore(v, to, align);
    else
      b_.CreateMaskedStore(v, to, align, active_mask());
    return;
  }
  check(stride.has_value(), "a store through a quotient");
  Value* base = address(buffer, type, scalar_index(offset));
  for (int i = 0; i < active_; i++)
    b_.CreateAlignedStore(
        b_.CreateExtractElement(v, static_cast<uint64_t>(i)),
        b_.CreateGEP(memory_type(type), base, b_.getInt64(static_cast<uint64_t>(i * *stride))), align);
}

// ---- variables and lanes

int LlvmEmitter::variable(DType type, Reg initial, bool vector) {
  llvm::Type* t = register_type(type);
  if (vector) t = vector_of(t);
  auto& entry = function_->getEntryBlock();
  llvm::IRBuilder<> top(&entry, entry.begin());
  variables_.push_back({top.CreateAlloca(t), t});
  int number = static_cast<int>(variables_.size()) - 1;
  set_variable(number, initial);
  return number;
}

Reg LlvmEmitter::get(int variable) {
  const Variable& v = variables_[static_cast<size_t>(variable)];
  return keep(b_.CreateLoad(v.type, v.slot));
}

void LlvmEmitter::set_variable(int variable, Reg value) {
  const Variable& v = variables_[static_cast<size_t>(variable)];
  b_.CreateStore(v.type->isVectorTy() ? splat(at(value)) : at(value), v.slot);
}

Reg LlvmEmitter::in_active_lanes(Reg value, Reg otherwise) {
  if (vector_ < 0 || active_ == traits_.lanes) return value;
  return keep(b_.CreateSelect(active_mask(), splat(at(value)), splat(at(otherwise))));
}

Reg LlvmEmitter::fold_lanes(ir::Code code, DType type, Reg value) {
  Value* v = splat(at(value));
  auto count = static_cast<size_t>(traits_.lanes);
  for (size_t half = count / 2; half > 0; half /= 2) {
    std::vector<int> upper(count, -1);
    for (size_t i = 0; i < half; i++) upper[i] = static_cast<int>(i + half);
    Reg operands[] = {keep(v), keep(b_.CreateShuffleVector(v, upper))};
    v = at(apply(code, type, type, operands));
  }
  return keep(b_.CreateExtractElement(v, uint64_t{0}));
}

}  // namespace mezzo::codegen::cpu
#endif
