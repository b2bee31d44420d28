// segment_plan.h: how the CPU runs one segment of a kernel body: loops, vectors, tasks, scratch; and its
// code.
#pragma once
#include "codegen/cpu/loop_emitter.h"
#include "codegen/loops.h"

namespace mezzo::codegen::cpu {

// A segment's function does tasks [begin, end); each handles `items_per_task` items; an item is one row, or a
// block of a row of vectors. Buffers: the Inputs among segment.nodes in order, one per result, one per free
// reduction with the partial results of all tasks, one for kept values. `combine` is a second function, run
// once when all tasks are done. Everything here depends on shapes only, so the order of every sum does, too.
struct SegmentPlan {
  SegmentPlan(const ir::Graph& body, Segment segment, std::vector<bool> aliased, int lanes);

  const ir::Graph* body;
  Segment segment;
  std::vector<bool> aliased;  // by body output: shares memory with an input, so it is written last
  int lanes;
  Nest nest;
  std::vector<Axis> outer;        // looped over by items
  int64_t block = 0, blocks = 1;  // of the vector axis, when no row extends along it
  int64_t items = 1, items_per_task = 1, tasks = 1;
  std::vector<KeptValue> kept;
  int64_t row_elements = 1;  // of one row
  int64_t work = 0;          // elements times operations
  int64_t elements = 1;

  bool has_combine() const { return !segment.free.empty(); }
  bool vector_in_row() const { return nest.vector >= 0 && vector().folded; }
  const Axis& vector() const { return nest.axes[static_cast<size_t>(nest.vector)]; }
  std::vector<const ir::Node*> inputs() const;
  int64_t partial_count(size_t k) const;  // elements of the partial results of free reduction k
  int64_t kept_bytes() const;             // of the buffer for kept values, per thread
  int64_t kept_at(size_t k) const;        // where kept value k starts in it, in bytes
  std::string text() const;               // equal texts make equal code

 private:
  void share_out();
};

// Sums of f32 are added up in f64: rounded once, they are as exact over a million rows as over ten.
ir::DType accumulator_type(const FoldedValue& f);

// Writes the functions.
void emit_tasks(const SegmentPlan& plan, LoopEmitter& emitter, const std::string& name);
void emit_combine(const SegmentPlan& plan, LoopEmitter& emitter, const std::string& name);

}  // namespace mezzo::codegen::cpu
