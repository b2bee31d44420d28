// emit_llvm.h: the LoopEmitter that writes LLVM IR. Included only by the files that know LLVM.
#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "codegen/cpu/loop_emitter.h"

namespace mezzo::codegen::cpu {

// Decided by the host's feature map.
struct TargetTraits {
  int lanes = 8;      // f32 numbers handled together; wider than a register is legal, LLVM splits
  bool half = false;  // f16 <-> f32 conversions are instructions
  bool wide = false;  // 512-bit registers
};

// Uniform values stay scalars; an operation with a vector operand splats the others. No fast-math flag is
// ever set and nothing is contracted: what the walk asks for is what is computed.
class LlvmEmitter : public LoopEmitter {
 public:
  LlvmEmitter(llvm::Module& module, const TargetTraits& traits);

  void set_lanes(int lanes) override { traits_.lanes = lanes; }
  Reg constant(ir::DType type, ir::Number value) override;
  Reg apply(ir::Code code, ir::DType type, ir::DType operand, std::span<const Reg> operands) override;
  Reg call_real(const ir::OpDef& op, std::span<const Reg> operands) override;
  Reg number(const ir::Expr& value, ir::DType type) override;
  Reg inside(const ir::Condition& condition, Reg also) override;
  Reg load(int buffer, ir::DType type, const ir::Expr& offset, int64_t count, Reg when) override;
  void bind(int coordinate, Reg index) override;
  int go_to(int depth) override;

  void open_function(const std::string& name, int buffers, int begin, int end) override;
  void close_function() override;
  void open_loop(int coordinate, const Bounds& bounds, int64_t step) override;
  void open_block() override;
  void close() override;
  void set(int coordinate, const ir::Expr& value) override;
  void vectorize(int coordinate, int active) override;
  int variable(ir::DType type, Reg initial, bool vector) override;
  Reg get(int variable) override;
  void set_variable(int variable, Reg value) override;
  Reg in_active_lanes(Reg value, Reg otherwise) override;
  Reg fold_lanes(ir::Code code, ir::DType type, Reg value) override;
  void store(int buffer, ir::DType type, const ir::Expr& offset, Reg value) override;

 private:
  using Value = llvm::Value;
  struct Scope {
    llvm::BasicBlock* before = nullptr;  // block of the outer scope that leads here
    llvm::BasicBlock* head = nullptr;    // of a loop; null for a block
    llvm::PHINode* index = nullptr;
    Value* hi = nullptr;
    int64_t step = 0;
    std::vector<std::pair<int, Value*>> bound;  // coordinates and what they were outside
    int vector = -1, active = 0;                // vectorization outside
  };
  struct Variable {
    llvm::AllocaInst* slot;
    llvm::Type* type;
  };

  Reg keep(Value* v);
  Value* at(Reg r) const { return regs_[static_cast<size_t>(r.id)]; }
  static bool is_vector(Value* v) { return v->getType()->isVectorTy(); }
  Value* splat(Value* v);
  Value* lane_numbers(llvm::Type* integer);
  llvm::Type* register_type(ir::DType type);
  llvm::Type* memory_type(ir::DType type);
  llvm::Type* vector_of(llvm::Type* type) {
    return llvm::FixedVectorType::get(type, static_cast<unsigned>(traits_.lanes));
  }
  llvm::Type* like(Value* shape, llvm::Type* element) {
    return is_vector(shape) ? vector_of(element) : element;
  }
  Value* number_like(Value* shape, int64_t v);  // integer of the shape's type
  Value* real_like(Value* shape, double v);
  void bind(int coordinate, Value* value);
  // Whether lanes differ in it; and by how much neighbours do, where that is one number.
  bool varies(const ir::Expr& e) const;
  std::optional<int64_t> lane_stride(const ir::Expr& e) const;
  Value* active_mask();

  // Index arithmetic: of lane 0 in i64; of all lanes in `integer`.
  Value* scalar_index(const ir::Expr& e);
  Value* vector_index(const ir::Expr& e, llvm::Type* integer);
  Value* index_of(const ir::Expr& e, llvm::Type* integer, bool vector);

  // Memory element <-> register of one type.
  Value* widen(ir::DType type, Value* stored);
  Value* narrow(ir::DType type, Value* value);
  Value* load_vector(int buffer, ir::DType type, const ir::Expr& offset, int64_t count, Value* when);
  Value* gather(int buffer, ir::DType type, const ir::Expr& offset, Value* when);
  Value* address(int buffer, ir::DType type, Value* offset);

  Value* float_op(ir::Code code, llvm::ArrayRef<Value*> x);
  Value* integer_op(ir::Code code, ir::DType type, llvm::ArrayRef<Value*> x);
  Value* cast(ir::DType from, ir::DType to, Value* x);
  Value* round_to_low(ir::DType to, Value* x);
  Value* per_lane(const char* function, llvm::Type* result, Value* x);  // calls it for every lane

  llvm::Module& module_;
  TargetTraits traits_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  llvm::BasicBlock* current_ = nullptr;  // where the innermost scope goes on
  std::vector<Scope> scopes_;
  std::vector<Value*> regs_;
  std::vector<Value*> buffers_;
  std::vector<Value*> coordinates_;
  std::vector<Value*> computed_;  // coordinates from kComputed on
  std::vector<Variable> variables_;
  int vector_ = -1, active_ = 0, depth_ = 0;
};

}  // namespace mezzo::codegen::cpu
