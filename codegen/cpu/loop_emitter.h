// loop_emitter.h: what the CPU lowering needs from a target beside single operations: functions, loops,
// vectors, accumulators and stores; and the module they go into.
#pragma once
#include <limits>
#include <memory>

#include "codegen/emit.h"

namespace mezzo::codegen::cpu {

// A generated function: buffers by number, and the range of tasks.
using KernelFunction = void (*)(std::byte* const* buffers, int64_t begin, int64_t end);

// From max(lo, at_least) while below min(hi, at_most).
struct Bounds {
  ir::Expr lo, hi;
  int64_t at_least = std::numeric_limits<int64_t>::min(), at_most = std::numeric_limits<int64_t>::max();
};

class LoopEmitter : public Emitter {
 public:
  // Neighbours a vector holds in the functions opened from here on; at first as many as a register of the
  // host.
  virtual void set_lanes(int lanes) = 0;

  // Opens scope 0 of a KernelFunction whose range is bound to the coordinates `begin` and `end`.
  virtual void open_function(const std::string& name, int buffers, int begin, int end) = 0;
  virtual void close_function() = 0;

  // Scopes inside the current one. A loop binds `coordinate`; a block is passed through once.
  virtual void open_loop(int coordinate, const Bounds& bounds, int64_t step) = 0;
  virtual void open_block() = 0;
  virtual void close() = 0;

  // Binds a coordinate in the current scope.
  virtual void set(int coordinate, const ir::Expr& value) = 0;
  // In the current scope, lane l of a vector has `coordinate` greater by l; only the first `active` lanes
  // count.
  virtual void vectorize(int coordinate, int active) = 0;

  // A variable, `initial` from here on. `vector`: one number per lane.
  virtual int variable(ir::DType type, Reg initial, bool vector) = 0;
  virtual Reg get(int variable) = 0;
  virtual void set_variable(int variable, Reg value) = 0;

  // `value` in the lanes that count, `otherwise` in the others.
  virtual Reg in_active_lanes(Reg value, Reg otherwise) = 0;
  // All lanes combined by halving: lane i with lane i + n/2, and so on.
  virtual Reg fold_lanes(ir::Code code, ir::DType type, Reg value) = 0;

  virtual void store(int buffer, ir::DType type, const ir::Expr& offset, Reg value) = 0;
};

}  // namespace mezzo::codegen::cpu
