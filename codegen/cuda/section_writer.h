// section_writer.h: what the layouts of a section share: buffers, loops over rows and lanes, and what happens
// at an element. Included by the files that write sections.
#pragma once
#include "codegen/cuda/section.h"
#include "codegen/cuda/text_emitter.h"

namespace mezzo::codegen::cuda {

class SectionWriter {
 public:
  SectionWriter(const KernelContext& kernel, const Stage& stage);
  Section write();

 private:
  // Coordinates beside those of the domain, numbered behind any of them.
  static constexpr int kFirstExtra = 256;
  enum Extra : int { kItem, kStep, kBase, kLane, kHeld, kChunk, kTeam };
  static int extra(Extra which) { return kFirstExtra + which; }
  static ir::Expr coordinate(Extra which, int64_t extent) {
    return ir::Expr::coordinate(extra(which), extent);
  }

  // A running result of a fold: one number of each thread, or one per lane.
  struct Accumulator {
    std::string name;
    int buffer = -1;  // of the array; -1: one number
  };

  int global(ir::DType type, int argument, bool written);
  int local(ir::DType type, int64_t count, std::string_view prefix, std::string* name = nullptr);
  void add_buffers();

  void solo();
  void team();
  void columns();
  void combine();

  void open(const std::string& header, const std::vector<int>& coordinates = {});
  void close();
  void bind_merged();
  static std::vector<int> coordinates_of(const std::vector<Axis>& axes);
  // Sets the coordinates of `axes` from one number that counts their elements.
  void set_all(const std::vector<Axis>& axes, const ir::Expr& number);
  void set_outer(const ir::Expr& item);  // and, where lanes are rows, the lanes' base
  template <class F>
  void over_lanes(int lanes, F body);
  // body() for the steps of a row that belong to a thread: from `first` in strides. `guard`, if given, must
  // hold.
  template <class F>
  void over_row(const std::string& first, int64_t stride, const std::string& last, const std::string& guard,
                F body);

  void start_row(int pass, bool per_lane);
  void element(int pass);
  void rows_of_pass(const std::string& first, int64_t stride, const std::string& guard, int pass);
  void define_kept(int pass);
  void fold_team(const FoldedValue& f, const Accumulator& a);
  void add(const FoldedValue& f, const std::string& to, ir::Value operand);
  void store(When when, int pass);
  void store_partial(size_t k, const ir::Expr& part, Reg value);
  void store_sums(const ir::Expr& team);

  std::string room(const FoldedValue& f, int64_t numbers);
  Reg start(const FoldedValue& f) { return e_.constant(f.result.dtype(), identity(f.how, f.result.dtype())); }
  Reg value(ir::Value v) { return walk_.value(v, st_.nest.at_dims(v.dims())); }
  ir::Expr lane() const { return st_.lanes == 1 ? ir::Expr(0) : coordinate(kLane, st_.lanes); }
  ir::Expr held() const { return st_.held > 1 ? coordinate(kHeld, st_.held) : ir::Expr(0); }

  const KernelContext& kernel_;
  const Stage& st_;
  TextEmitter e_;
  Walk walk_;
  Section section_;
  std::vector<int> arguments_;  // by buffer
  std::vector<int> results_, partial_, leaves_, kept_;
  std::vector<Accumulator> sums_, partial_sums_;  // of row reductions; of partial ones
};

template <class F>
void SectionWriter::over_lanes(int lanes, F body) {
  int axis = st_.nest.vector < 0 ? -1 : st_.axis().coordinate;
  std::string base = axis < 0 ? "0" : e_.index(coordinate(kBase, st_.axis().extent + 1));
  open(lanes == 1 ? "" : concat("UNROLL for (i32 l = 0; l < ", lanes, "; l++)"), {axis, extra(kLane)});
  if (axis >= 0 && lanes == 1) e_.name_coordinate(axis, base);
  if (axis >= 0 && lanes > 1) {
    e_.name_coordinate(extra(kLane), "l");
    e_.vectorize(axis, base, "l", lanes);
  }
  body();
  close();
}

template <class F>
void SectionWriter::over_row(const std::string& first, int64_t stride, const std::string& last,
                             const std::string& guard, F body) {
  std::vector<int> inner = coordinates_of(st_.inner);
  inner.insert(inner.end(), {extra(kStep), extra(kBase)});
  std::string integer = st_.steps <= (int64_t{1} << 30) ? "i32" : "i64";
  std::string r = e_.fresh("r");
  bool whole = st_.steps == 1 && stride == 1 && st_.chunks == 1;
  int scopes = 1;
  if (whole) {
    open(guard.empty() ? "" : concat("if (", guard, ")"), inner);
    e_.name_coordinate(extra(kStep), "0");
  } else if (st_.held > 0) {
    std::string k = e_.fresh("k");
    open(concat("UNROLL for (i32 ", k, " = 0; ", k, " < ", st_.held, "; ", k, "++)"), {extra(kHeld)});
    e_.name_coordinate(extra(kHeld), k);
    e_.line(concat("const i32 ", r, " = ", first, " + ", k, " * ", stride, ";"));
    std::string inside = st_.held * stride == st_.steps ? "" : concat(r, " < ", st_.steps);
    if (!guard.empty()) inside = inside.empty() ? guard : concat(guard, " && ", inside);
    open(inside.empty() ? "" : concat("if (", inside, ")"), inner);
    e_.name_coordinate(extra(kStep), r);
    scopes = 2;
  } else {
    std::string until = guard.empty() ? concat(r, " < ", last) : concat(guard, " && ", r, " < ", last);
    open(concat("for (", integer, " ", r, " = ", first, "; ", until, "; ", r, " += ", stride, ")"), inner);
    e_.name_coordinate(extra(kStep), r);
  }
  ir::Expr step = whole ? ir::Expr(0) : coordinate(kStep, std::max<int64_t>(st_.steps, 1));
  if (st_.lanes_in_row()) {
    set_all(st_.inner, floor_div(step, std::max<int64_t>(st_.vectors, 1)));
    e_.set(extra(kBase), floor_mod(step, std::max<int64_t>(st_.vectors, 1)) * st_.lanes);
  } else {
    set_all(st_.inner, step);
  }
  over_lanes(st_.lanes, body);
  while (scopes-- > 0) close();
}

}  // namespace mezzo::codegen::cuda
