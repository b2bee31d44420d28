// loops.h: what a kernel body asks a backend to loop over: its segments, their reductions in order, and per
// segment the axes that remain when neighbours that every access walks alike are merged. Nothing here depends
// on a target.
#pragma once
#include "codegen/emit.h"

namespace mezzo::codegen {

// A reduction of a segment. Pass p of a row may use the results of row reductions of passes before p.
struct FoldedValue {
  ir::Value result;
  ir::Value operand;
  ir::Reduction how;
  int pass = 0;
  bool per_row = false;  // of free reductions: the operand is one number per row, complete after all passes
};

// Where an output is made: in the loop of a pass over the row, once per row, or from the finished free
// reductions.
enum class When : uint8_t { pass, row, combine };
struct Result {
  int output;  // number among the body's outputs
  ir::Value value;
  When when;
  int pass = 0;
};

struct Segment {
  ir::Dims domain;
  std::vector<bool> folded;            // by dim of the domain: a row extends along it
  std::vector<FoldedValue> row, free;  // row reductions by pass; free ones
  std::vector<Result> results;
  int passes = 1;
  std::vector<const ir::Node*> nodes;  // of this segment, in order; shared scalars included
};

// Throws Unsupported. With `may_split`, outputs of one component that do not fit together get loops of their
// own, which compute again what they share; right only where no output overwrites an input.
std::vector<Segment> find_segments(const ir::Graph& body, bool may_split);

// A value that one pass over the row computes and a later one needs.
struct KeptValue {
  ir::Value value;
  int pass;  // that computes it
};
// At most `room` of them: those that a later pass asks for by themselves, and that take `worth` operations or
// more to compute again. Inputs count as none.
std::vector<KeptValue> choose_kept(const Segment& segment, int64_t worth, int64_t room);

// A loop: `coordinate` is a dim of the domain, which stands for its merged neighbours before it as well
// (whose coordinates are then 0); `extent` is the product.
struct Axis {
  int coordinate;
  int64_t extent;
  bool folded;
};
struct Nest {
  std::vector<Axis> axes;  // outermost first; no extent of 1
  int vector = -1;         // position of the axis whose neighbours go into the lanes of a vector; -1 = none
  int64_t operations = 0;  // machine operations per element, roughly
  // A dim that is only ever taken apart (i/6, i%6) has several loop coordinates, so that nothing is divided.
  ir::Exprs at;             // the domain's coordinates, made of loop coordinates
  std::vector<size_t> dim;  // by loop coordinate: the dim of the domain it belongs to

  // Coordinates of a value aligned with the domain.
  ir::Exprs at_dims(const ir::Dims& dims) const;
};

// Plans loops over the domain for vectors of `lanes`. `roots` are the values computed in them, `written` the
// shapes of what is written to memory on the way. Reductions in `known` have results already.
Nest plan_nest(const ir::Graph& body, const ir::Dims& domain, const std::vector<bool>& folded,
               const ir::Values& roots, const std::vector<ir::Dims>& written, const ir::Values& known,
               int lanes);

// The segment as text without names of buffers: equal texts make equal code.
std::string segment_text(const ir::Graph& body, const Segment& segment);

// Which inputs of a planned node may share memory with outputs, and which outputs share memory with inputs.
struct Overlaps {
  std::vector<bool> inputs, outputs;
};
Overlaps overlaps(const ir::Node& node);

// The machine operation that combines two numbers of a reduction, and what it starts from.
ir::Code combining(ir::Reduction how, ir::DType type);
ir::Number identity(ir::Reduction how, ir::DType type);

}  // namespace mezzo::codegen
