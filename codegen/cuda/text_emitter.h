// text_emitter.h: the Emitter that prints CUDA C++. Scopes are blocks of text; a register is a constant or a
// named variable of one thread. Neighbours along one loop (the lanes of a vector) are an innermost loop that
// the compiler unrolls; what lies side by side in memory is read before it and written behind it, as a Pack.
#pragma once
#include <map>

#include "codegen/emit.h"

namespace mezzo::codegen::cuda {

// Where values are read from or written to.
struct Buffer {
  enum class Kind : uint8_t {
    fetched,  // global memory that no thread writes during the launch
    global,
    local,  // an array of each thread, of compute types, indexed by element
  };
  std::string name;
  ir::DType type;
  Kind kind;
  bool used = false;
};

class TextEmitter : public Emitter {
 public:
  Reg constant(ir::DType type, ir::Number value) override;
  Reg apply(ir::Code code, ir::DType type, ir::DType operand, std::span<const Reg> operands) override;
  Reg call_real(const ir::OpDef& op, std::span<const Reg> operands) override;
  Reg number(const ir::Expr& value, ir::DType type) override;
  Reg inside(const ir::Condition& condition, Reg also) override;
  Reg load(int buffer, ir::DType type, const ir::Expr& offset, int64_t count, Reg when) override;
  void bind(int coordinate, Reg index) override;
  int go_to(int depth) override;

  int add_buffer(Buffer buffer);
  const std::vector<Buffer>& buffers() const { return buffers_; }

  // Scope 0 is the function's; its text is what take() returns when all others are closed.
  void open(std::string header);  // "for (...)", "if (...)" or nothing
  void close();
  std::string take();
  void line(const std::string& text);  // a statement in the current scope

  // A coordinate is called `name` in the current scope.
  void name_coordinate(int coordinate, std::string name);
  // The same, with a variable of that value.
  void set(int coordinate, const ir::Expr& value);
  // The current scope is the loop over lanes: `coordinate` is `base`, a multiple of `lanes`, plus `lane`.
  void vectorize(int coordinate, std::string base, std::string lane, int lanes);

  // A variable that can be assigned; its declaration stands in the current scope.
  Reg variable(ir::DType type, Reg initial);
  void assign(Reg variable, Reg value);
  void store(int buffer, ir::DType type, const ir::Expr& offset, Reg value);

  std::string text(Reg r) const { return regs_[static_cast<size_t>(r.id)].text; }
  Reg named(ir::DType type, std::string name) { return keep(std::move(name), type); }
  std::string fresh(std::string_view prefix) { return concat(prefix, names_++); }
  // An integer expression: i32 where it fits, else i64.
  std::string index(const ir::Expr& e) const;

 private:
  struct Scope {
    std::string header, body, after;
    std::map<int, std::string> outside;  // names of coordinates before this scope renamed them
    int lane_depth = -1;                 // of the vectorization outside
  };
  struct Register {
    std::string text;
    ir::DType type;
    int depth;
  };
  struct Vector {
    int coordinate = -1, lanes = 1;
    std::string base, lane;
  };

  Reg keep(std::string text, ir::DType type);
  Reg let(ir::DType type, const std::string& value);  // a new variable in the current scope
  void append(int depth, const std::string& text);
  std::string index(const ir::Expr& e, bool wide) const;
  std::string float_op(ir::Code code, std::span<const std::string> x) const;
  std::string integer_op(ir::Code code, ir::DType type, ir::DType operand,
                         std::span<const std::string> x) const;
  std::string cast(ir::DType from, ir::DType to, const std::string& x) const;
  // How many bytes at a time neighbours along the lanes can be moved; 0: they are no neighbours.
  int piece(ir::DType type, const ir::Expr& offset) const;
  bool bound_in_lanes(const ir::Expr& e) const;
  std::string base_index(const ir::Expr& offset) const;

  std::vector<Scope> scopes_{1};
  std::vector<Register> regs_;
  std::vector<Buffer> buffers_;
  std::map<int, std::string> coordinates_;
  Vector vector_;
  int lane_depth_ = -1;  // of the loop over lanes; -1: outside of one
  int depth_ = 0, names_ = 0;
};

std::string_view memory_type(ir::DType type);    // "bf16"; bool is u8
std::string_view register_type(ir::DType type);  // "f32" for the 16-bit floats
std::string literal(ir::DType type, ir::Number value);

}  // namespace mezzo::codegen::cuda
