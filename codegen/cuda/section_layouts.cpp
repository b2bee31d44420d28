// section_layouts.cpp: which threads run the loops of a section, by layout.
#include "codegen/cuda/section_writer.h"

namespace mezzo::codegen::cuda {

using ir::Expr;

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
