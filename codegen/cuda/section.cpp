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

}  // namespace mezzo::codegen::cuda
