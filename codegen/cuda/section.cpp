// section.cpp: buffers, loops and elements of a section.
#include "codegen/cuda/section_writer.h"

namespace mezzo::codegen::cuda {

using ir::Expr;
using ir::Value;

namespace {

// The prelude's name of a fold.
std::string_view fold_name(const FoldedValue& f) {
  switch (combining(f.how, f.result.dtype())) {
    case ir::Code::mul: return "Product";
    case ir::Code::min: return "Least";
    case ir::Code::max: return "Greatest";
    case ir::Code::logical_or: return "Any";
    case ir::Code::logical_and: return "All";
    default: return "Sum";
  }
}

}  // namespace

SectionWriter::SectionWriter(const KernelContext& kernel, const Stage& stage)
    : kernel_(kernel), st_(stage), walk_(e_, *kernel.body) {
  check(st_.nest.dim.size() < kFirstExtra, "a kernel with ", st_.nest.dim.size(), " loops");
  add_buffers();
}

// ---- buffers

int SectionWriter::global(ir::DType type, int argument, bool written) {
  std::string name = concat("p", arguments_.size());
  arguments_.push_back(argument);
  return e_.add_buffer({std::move(name), type, written ? Buffer::Kind::global : Buffer::Kind::fetched});
}

int SectionWriter::local(ir::DType type, int64_t count, std::string_view prefix, std::string* out) {
  std::string name = e_.fresh(prefix);
  e_.line(concat(register_type(type), " ", name, "[", count, "];"));
  arguments_.push_back(0);
  if (out) *out = name;
  return e_.add_buffer({name, type, Buffer::Kind::local});
}

void SectionWriter::add_buffers() {
  int inputs = 0;
  for (const auto& n : kernel_.body->nodes())  // the walk numbers them in this order
    if (ir::is_input(*n)) {
      global(n->type().dtype, inputs, kernel_.overwritten[static_cast<size_t>(inputs)]);
      inputs++;
    }
  for (const Result& r : st_.results) results_.push_back(global(r.value.dtype(), inputs + r.output, true));
  auto scratch = [&](const PlacedFold& p, bool written) {
    return global(ir::compute_type(p.fold.result.dtype()), -1 - p.scratch, written);
  };
  for (const PlacedFold& p : st_.partial) partial_.push_back(scratch(p, st_.layout != Layout::combine));
  for (const PlacedFold& p : st_.leaves) leaves_.push_back(scratch(p, true));
  for (const PlacedFold& p : st_.finished) {
    const ir::Dims& dims = p.fold.result.dims();
    ir::Exprs at = st_.nest.at_dims(dims);
    walk_.define_stored(p.fold.result, at, scratch(p, false), ir::linearize(at, dims),
                        ir::element_count(dims));
  }
}

Section SectionWriter::write() {
  bind_merged();
  switch (st_.layout) {
    case Layout::solo: solo(); break;
    case Layout::team: team(); break;
    case Layout::columns: columns(); break;
    case Layout::combine: combine(); break;
  }
  for (size_t b = 0; b < arguments_.size(); b++) {
    const Buffer& buffer = e_.buffers()[b];
    if (buffer.kind == Buffer::Kind::local || !buffer.used) continue;
    section_.parameters.push_back(
        {buffer.name, memory_type(buffer.type), buffer.kind == Buffer::Kind::fetched, arguments_[b]});
  }
  section_.text = e_.take();
  section_.threads = st_.block;
  section_.blocks = st_.blocks;
  return std::move(section_);
}

Section write_section(const KernelContext& kernel, const Stage& stage) {
  return SectionWriter(kernel, stage).write();
}

// ---- loops

void SectionWriter::open(const std::string& header, const std::vector<int>& coordinates) {
  e_.open(header);
  walk_.open(coordinates);
}
void SectionWriter::close() {
  walk_.close();
  e_.close();
}

// Dims that are no loop of their own: merged into the one behind, which counts for both.
void SectionWriter::bind_merged() {
  for (int k = 0; k < static_cast<int>(st_.nest.dim.size()); k++) {
    bool loop = st_.layout == Layout::combine;
    for (const Axis& a : st_.nest.axes) loop |= a.coordinate == k;
    if (!loop) e_.name_coordinate(k, "0");
  }
  e_.name_coordinate(extra(kLane), "0");
  e_.name_coordinate(extra(kHeld), "0");
}

std::vector<int> SectionWriter::coordinates_of(const std::vector<Axis>& axes) {
  std::vector<int> out;
  for (const Axis& a : axes) out.push_back(a.coordinate);
  return out;
}

void SectionWriter::set_all(const std::vector<Axis>& axes, const Expr& number) {
  ir::Dims extents;
  for (const Axis& a : axes) extents.push_back(a.extent);
  ir::Exprs at = ir::delinearize(number, extents);
  for (size_t i = 0; i < axes.size(); i++) e_.set(axes[i].coordinate, at[i]);
}

void SectionWriter::set_outer(const Expr& item) {
  if (st_.nest.vector < 0 || st_.lanes_in_row()) return set_all(st_.outer, item);
  set_all(st_.outer, floor_div(item, std::max<int64_t>(st_.vectors, 1)));
  e_.set(extra(kBase), floor_mod(item, std::max<int64_t>(st_.vectors, 1)) * st_.lanes);
}

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
  Expr step = whole ? Expr(0) : coordinate(kStep, std::max<int64_t>(st_.steps, 1));
  if (st_.lanes_in_row()) {
    set_all(st_.inner, floor_div(step, std::max<int64_t>(st_.vectors, 1)));
    e_.set(extra(kBase), floor_mod(step, std::max<int64_t>(st_.vectors, 1)) * st_.lanes);
  } else {
    set_all(st_.inner, step);
  }
  over_lanes(st_.lanes, body);
  while (scopes-- > 0) close();
}

// ---- elements

void SectionWriter::add(const FoldedValue& f, const std::string& to, Value operand) {
  ir::DType t = f.result.dtype();
  Reg operands[] = {e_.named(t, to), value(operand)};
  e_.line(concat(to, " = ", e_.text(e_.apply(combining(f.how, t), t, t, operands)), ";"));
}

// Accumulators of the row reductions of a pass, in the current scope.
void SectionWriter::start_row(int pass, bool per_lane) {
  sums_.assign(st_.row.size(), {});
  for (size_t k = 0; k < st_.row.size(); k++) {
    const FoldedValue& f = st_.row[k];
    if (f.pass != pass) continue;
    if (!per_lane) {
      sums_[k].name = e_.text(e_.variable(f.result.dtype(), start(f)));
      continue;
    }
    sums_[k].buffer = local(f.result.dtype(), st_.lanes, "s", &sums_[k].name);
    e_.line(concat("UNROLL for (i32 l = 0; l < ", st_.lanes, "; l++) ", sums_[k].name,
                   "[l] = ", e_.text(start(f)), ";"));
  }
}

void SectionWriter::element(int pass) {
  auto at = [&](const Accumulator& a) {
    return a.buffer < 0 ? a.name : concat(a.name, "[", e_.index(lane()), "]");
  };
  for (size_t k = 0; k < st_.row.size(); k++)
    if (!sums_[k].name.empty()) add(st_.row[k], at(sums_[k]), st_.row[k].operand);
  for (size_t k = 0; k < st_.partial.size(); k++) {
    const FoldedValue& f = st_.partial[k].fold;
    if (!st_.chunked && (f.per_row || f.pass != pass)) continue;
    bool line = !st_.chunked && f.result.type().count() > 1;
    std::string to = line ? concat(partial_sums_[k].name, "[", e_.index(held() * st_.lanes + lane()), "]")
                          : at(partial_sums_[k]);
    add(f, to, f.operand);
  }
  for (size_t k = 0; k < st_.kept.size(); k++)
    if (st_.kept[k].pass == pass)
      e_.store(kept_[k], ir::compute_type(st_.kept[k].value.dtype()), held() * st_.lanes + lane(),
               value(st_.kept[k].value));
  store(When::pass, pass);
}

void SectionWriter::define_kept(int pass) {
  for (size_t k = 0; k < st_.kept.size(); k++)
    if (st_.kept[k].pass == pass)
      walk_.define_stored(st_.kept[k].value, st_.nest.at, kept_[k], held() * st_.lanes + lane(),
                          st_.held * st_.lanes);
}

// All values first: an output may overwrite an input that another output reads.
void SectionWriter::store(When when, int pass) {
  std::vector<std::pair<size_t, Reg>> values;
  for (size_t k = 0; k < st_.results.size(); k++) {
    const Result& r = st_.results[k];
    if (r.when == when && (when != When::pass || r.pass == pass)) values.emplace_back(k, value(r.value));
  }
  for (auto [k, reg] : values) {
    Value v = st_.results[k].value;
    e_.store(results_[k], v.dtype(), ir::linearize(st_.nest.at_dims(v.dims()), v.dims()), reg);
  }
}

void SectionWriter::store_partial(size_t k, const Expr& part, Reg value) {
  const FoldedValue& f = st_.partial[k].fold;
  const ir::Dims& dims = f.result.dims();
  e_.store(partial_[k], ir::compute_type(f.result.dtype()),
           part * ir::element_count(dims) + ir::linearize(st_.nest.at_dims(dims), dims), value);
}

// Shared memory for `numbers` of the fold's type; folds use the same room one after the other.
std::string SectionWriter::room(const FoldedValue& f, int64_t numbers) {
  ir::DType type = ir::compute_type(f.result.dtype());
  section_.room_bytes = std::max(section_.room_bytes, numbers * ir::byte_size(type));
  return concat("(", register_type(type), "*)room");
}

void SectionWriter::fold_team(const FoldedValue& f, const Accumulator& a) {
  if (st_.layout == Layout::columns || st_.layout == Layout::combine) {
    if (st_.height == 1) return;
    int count = a.buffer < 0 ? 1 : st_.lanes;
    e_.line(concat("fold_rows<", fold_name(f), ", ", st_.width, ", ", st_.height, ", ", count, ">(",
                   a.buffer < 0 ? "&" : "", a.name, ", ",
                   room(f, static_cast<int64_t>(st_.width) * st_.height * count), ");"));
    return;
  }
  if (st_.threads == 1) return;
  if (st_.threads <= 32)
    e_.line(concat(a.name, " = fold_lanes<", fold_name(f), ", ", st_.threads, ">(", a.name, ");"));
  else
    e_.line(concat(a.name, " = fold_block<", fold_name(f), ", ", st_.threads, ">(", a.name, ", ",
                   room(f, st_.threads / 32), ");"));
}

// ---- layouts

// Each thread a vector of rows; without row axes, of elements.
void SectionWriter::solo() {
  std::vector<int> outer = coordinates_of(st_.outer);
  outer.insert(outer.end(), {extra(kItem), extra(kBase)});
  std::string integer = st_.rows <= (int64_t{1} << 30) ? "i32" : "i64", n = e_.fresh("n");
  e_.line(concat("const ", integer, " ", n, "_first = (", integer, ")block * ", st_.block,
                 " + thread_number();"));
  int64_t stride = st_.blocks * st_.block;
  if (st_.repeat > 1)
    open(concat("UNROLL_BY(", st_.repeat, ") for (", integer, " ", n, " = ", n, "_first; ", n, " < ",
                st_.rows, "; ", n, " += ", stride, ")"),
         outer);
  else
    open(stride == st_.rows ? "" : concat("if (", n, "_first < ", st_.rows, ")"), outer);
  e_.name_coordinate(extra(kItem), st_.repeat > 1 ? n : n + "_first");
  set_outer(coordinate(kItem, std::max<int64_t>(st_.rows, 1)));
  for (const KeptValue& k : st_.kept)
    kept_.push_back(local(ir::compute_type(k.value.dtype()), st_.held * st_.lanes, "h"));
  for (int pass = 0; pass < st_.passes; pass++) {
    start_row(pass, true);
    rows_of_pass("0", 1, "", pass);
  }
  if (!st_.row.empty() || st_.passes > 1) over_lanes(st_.lanes, [&] { store(When::row, 0); });
  close();
  int64_t done = st_.nest.vector < 0 ? 0 : st_.vectors * st_.lanes;
  if (st_.nest.vector < 0 || done == st_.axis().extent) return;
  // The rest of a vector, one element per thread.
  open(concat("if (", n, "_first < ", st_.axis().extent - done, ")"), {extra(kBase)});
  e_.name_coordinate(extra(kBase), concat("(", done, " + ", n, "_first)"));
  over_lanes(1, [&] { element(0); });
  close();
}

// One pass over the steps of a row, and its row reductions behind it.
void SectionWriter::rows_of_pass(const std::string& first, int64_t stride, const std::string& guard,
                                 int pass) {
  over_row(first, stride, concat(st_.steps), guard, [&] { element(pass); });
  for (size_t k = 0; k < st_.row.size(); k++) {
    if (sums_[k].name.empty()) continue;
    const FoldedValue& f = st_.row[k];
    fold_team(f, sums_[k]);
    if (sums_[k].buffer < 0)
      walk_.define(f.result, e_.named(f.result.dtype(), sums_[k].name));
    else
      walk_.define_stored(f.result, st_.nest.at_dims(f.result.dims()), sums_[k].buffer, lane(), st_.lanes);
  }
  define_kept(pass);
}

void SectionWriter::team() {
  int per_block = st_.block / st_.threads;
  std::string t = "t", number = "team";
  e_.line(st_.threads == st_.block ? "const i32 t = thread_number();"
                                   : concat("const i32 t = thread_number() % ", st_.threads, ";"));
  e_.line(concat("const i32 team = block * ", per_block,
                 per_block > 1 ? concat(" + thread_number() / ", st_.threads) : std::string(), ";"));
  e_.name_coordinate(extra(kTeam), number);
  bool sums = !st_.partial.empty() && !st_.chunked;
  partial_sums_.assign(st_.partial.size(), {});
  auto start_partial = [&] {
    for (size_t k = 0; k < st_.partial.size(); k++) {
      const FoldedValue& f = st_.partial[k].fold;
      if (st_.chunked || f.result.type().count() == 1) {
        partial_sums_[k].name = e_.text(e_.variable(f.result.dtype(), start(f)));
        continue;
      }
      int64_t count = st_.held * st_.lanes;
      partial_sums_[k].buffer = local(f.result.dtype(), count, "s", &partial_sums_[k].name);
      e_.line(concat("UNROLL for (i32 l = 0; l < ", count, "; l++) ", partial_sums_[k].name,
                     "[l] = ", e_.text(start(f)), ";"));
    }
  };
  if (sums) start_partial();
  std::vector<int> outer = coordinates_of(st_.outer);
  outer.insert(outer.end(), {extra(kItem), extra(kChunk), extra(kTeam)});
  if (sums)
    open(concat("for (i32 n = team; n < ", st_.rows, "; n += ", st_.teams, ")"), outer);
  else
    open(st_.blocks * per_block == st_.teams ? "" : concat("if (team < ", st_.teams, ")"), outer);
  e_.name_coordinate(extra(kItem), sums ? "n" : "team");
  Expr item = coordinate(kItem, std::max<int64_t>(1, sums ? st_.rows : st_.teams));
  if (st_.chunked) {
    int64_t rows = std::max<int64_t>(st_.rows, 1);
    set_outer(floor_mod(item, rows));
    e_.set(extra(kChunk), floor_div(item, rows));
    start_partial();
    std::string lo = e_.fresh("lo"), hi = e_.fresh("hi"), chunk = e_.index(coordinate(kChunk, st_.chunks));
    e_.line(concat("const i64 ", lo, " = (i64)", chunk, " * ", st_.chunk_steps, ";"));
    e_.line(concat("const i64 ", hi, " = ", lo, " + ", st_.chunk_steps, " < ", st_.steps, " ? ", lo, " + ",
                   st_.chunk_steps, " : ", st_.steps, ";"));
    over_row(concat(lo, " + t"), st_.threads, hi, "", [&] { element(0); });
    for (size_t k = 0; k < st_.partial.size(); k++) fold_team(st_.partial[k].fold, partial_sums_[k]);
    open(st_.threads > 1 ? "if (t == 0)" : "");
    for (size_t k = 0; k < st_.partial.size(); k++)
      store_partial(k, coordinate(kChunk, st_.chunks),
                    e_.named(st_.partial[k].fold.result.dtype(), partial_sums_[k].name));
    close();
  } else {
    set_outer(item);
    for (const KeptValue& k : st_.kept)
      kept_.push_back(local(ir::compute_type(k.value.dtype()), st_.held * st_.lanes, "h"));
    for (int pass = 0; pass < st_.passes; pass++) {
      start_row(pass, false);
      rows_of_pass("t", st_.threads, "", pass);
    }
    for (size_t k = 0; k < st_.partial.size(); k++)
      if (st_.partial[k].fold.per_row)
        add(st_.partial[k].fold, partial_sums_[k].name, st_.partial[k].fold.operand);
    open(st_.threads > 1 ? "if (t == 0)" : "");
    store(When::row, 0);
    close();
  }
  close();
  if (sums) store_sums(coordinate(kTeam, st_.teams));
}

// What a team added up over its rows.
void SectionWriter::store_sums(const Expr& team) {
  for (size_t k = 0; k < st_.partial.size(); k++) {
    const FoldedValue& f = st_.partial[k].fold;
    if (partial_sums_[k].buffer >= 0) {
      over_row("t", st_.threads, concat(st_.steps), "", [&] {
        store_partial(k, team,
                      e_.load(partial_sums_[k].buffer, ir::compute_type(f.result.dtype()),
                              held() * st_.lanes + lane(), st_.held * st_.lanes, {}));
      });
      continue;
    }
    // Numbers per row are the same in all threads of the team.
    if (!f.per_row) fold_team(f, partial_sums_[k]);
    open(st_.threads > 1 ? "if (t == 0)" : "");
    e_.store(partial_[k], ir::compute_type(f.result.dtype()), team,
             e_.named(f.result.dtype(), partial_sums_[k].name));
    close();
  }
}

void SectionWriter::columns() {
  int64_t across = std::max<int64_t>((st_.vectors + st_.width - 1) / st_.width, 1);
  int64_t strips = std::max<int64_t>(st_.teams / std::max<int64_t>(st_.chunks, 1), 1);
  e_.line(concat("const i32 x = thread_number() % ", st_.width, ", y = thread_number() / ", st_.width, ";"));
  e_.name_coordinate(extra(kTeam), "block");
  Expr number = coordinate(kTeam, std::max<int64_t>(st_.teams, 1)), strip = floor_mod(number, strips);
  std::vector<int> outer = coordinates_of(st_.outer);
  outer.insert(outer.end(), {extra(kTeam), extra(kChunk), extra(kBase)});
  open("", outer);
  e_.set(extra(kChunk), floor_div(number, strips));
  set_all(st_.outer, floor_div(strip, across));
  e_.line(concat("const i32 vector = (", e_.index(floor_mod(strip, across)), ") * ", st_.width, " + x;"));
  e_.line(concat("const bool inside = vector < ", st_.vectors, ";"));
  e_.name_coordinate(extra(kBase), concat("(vector * ", st_.lanes, ")"));
  if (st_.chunked) {
    partial_sums_.assign(st_.partial.size(), {});
    for (size_t k = 0; k < st_.partial.size(); k++) {
      const FoldedValue& f = st_.partial[k].fold;
      partial_sums_[k].buffer = local(f.result.dtype(), st_.lanes, "s", &partial_sums_[k].name);
      e_.line(concat("UNROLL for (i32 l = 0; l < ", st_.lanes, "; l++) ", partial_sums_[k].name,
                     "[l] = ", e_.text(start(f)), ";"));
    }
    std::string chunk = e_.index(coordinate(kChunk, st_.chunks));
    e_.line(concat("const i64 lo = (i64)", chunk, " * ", st_.chunk_steps, ";"));
    e_.line(concat("const i64 hi = lo + ", st_.chunk_steps, " < ", st_.steps, " ? lo + ", st_.chunk_steps,
                   " : ", st_.steps, ";"));
    over_row("lo + y", st_.height, "hi", "inside", [&] { element(0); });
    for (size_t k = 0; k < st_.partial.size(); k++) fold_team(st_.partial[k].fold, partial_sums_[k]);
    open("if (inside && y == 0)");
    over_lanes(st_.lanes, [&] {
      for (size_t k = 0; k < st_.partial.size(); k++)
        store_partial(k, coordinate(kChunk, st_.chunks),
                      e_.load(partial_sums_[k].buffer, ir::compute_type(st_.partial[k].fold.result.dtype()),
                              lane(), st_.lanes, {}));
    });
    close();
  } else {
    for (const KeptValue& k : st_.kept)
      kept_.push_back(local(ir::compute_type(k.value.dtype()), st_.held * st_.lanes, "h"));
    for (int pass = 0; pass < st_.passes; pass++) {
      start_row(pass, true);
      rows_of_pass("y", st_.height, "inside", pass);
    }
    open("if (inside && y == 0)");
    over_lanes(st_.lanes, [&] { store(When::row, 0); });
    close();
  }
  close();
}

// Folds the partial results of each element in order of their numbers, `height` threads in strides.
void SectionWriter::combine() {
  e_.line(concat("const i32 x = thread_number() % ", st_.width, ", y = thread_number() / ", st_.width, ";"));
  e_.line(concat("const i32 n = block * ", st_.width, " + x;"));
  e_.line(concat("const bool inside = n < ", st_.rows, ";"));
  e_.name_coordinate(extra(kItem), "n");
  Expr item = coordinate(kItem, std::max<int64_t>(st_.rows, 1));
  open("", {extra(kItem)});
  for (size_t k = 0; k < st_.partial.size(); k++) {
    const PlacedFold& p = st_.partial[k];
    ir::DType t = p.fold.result.dtype();
    Accumulator sum{e_.text(e_.variable(t, start(p.fold))), -1};
    std::string c = e_.fresh("c");
    open(concat("UNROLL_BY(4) for (i32 ", c, " = y; inside && ", c, " < ", p.parts, "; ", c,
                " += ", st_.height, ")"),
         {extra(kChunk)});
    e_.name_coordinate(extra(kChunk), c);
    Reg part = e_.load(partial_[k], ir::compute_type(t), coordinate(kChunk, p.parts) * st_.rows + item,
                       p.parts * st_.rows, {});
    Reg operands[] = {e_.named(t, sum.name), part};
    e_.line(concat(sum.name, " = ", e_.text(e_.apply(combining(p.fold.how, t), t, t, operands)), ";"));
    close();
    fold_team(p.fold, sum);
    walk_.define(p.fold.result, e_.named(t, sum.name));
  }
  std::vector<int> all;
  for (size_t k = 0; k < st_.domain.size(); k++) all.push_back(static_cast<int>(k));
  open("if (inside && y == 0)", all);
  ir::Exprs at = ir::delinearize(item, st_.domain);
  for (size_t k = 0; k < st_.domain.size(); k++) e_.set(static_cast<int>(k), at[k]);
  store(When::combine, 0);
  for (size_t k = 0; k < st_.leaves.size(); k++)
    e_.store(leaves_[k], ir::compute_type(st_.leaves[k].fold.result.dtype()), item,
             value(st_.leaves[k].fold.result));
  close();
  close();
}

}  // namespace mezzo::codegen::cuda
