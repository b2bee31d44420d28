// emit_segment.cpp: the loops of a segment around the walk over its values.
#include "codegen/cpu/segment_plan.h"

namespace mezzo::codegen::cpu {
namespace {

using ir::Expr;
using ir::Exprs;
using ir::Value;

// Coordinates beside those of the domain, numbered behind any of them.
constexpr int kFirstExtra = 256;
enum Extra : int { kBegin, kEnd, kTask, kItem, kBase, kPart };

class SegmentEmitter {
 public:
  SegmentEmitter(const SegmentPlan& plan, LoopEmitter& emitter)
      : p_(plan), s_(plan.segment), e_(emitter), walk_(emitter, *plan.body), nest_(&plan.nest) {
    check(nest_->dim.size() < kFirstExtra, "a kernel with ", nest_->dim.size(), " loops");
    auto inputs = plan.inputs();
    for (size_t i = 0; i < inputs.size(); i++) walk_.set_buffer(*inputs[i], static_cast<int>(i));
    results_ = static_cast<int>(inputs.size());
    partials_ = results_ + static_cast<int>(s_.results.size());
    kept_ = partials_ + static_cast<int>(s_.free.size());
  }

  void tasks(const std::string& name) {
    e_.set_lanes(p_.lanes);
    e_.open_function(name, kept_ + 1, extra(kBegin), extra(kEnd));
    bind_merged(p_.nest);
    Expr begin = Expr::coordinate(extra(kBegin), p_.tasks + 1),
         end = Expr::coordinate(extra(kEnd), p_.tasks + 1);
    std::vector<int> varying{extra(kTask)}, inner = outer_coordinates();
    bool own_loop = p_.items_per_task > 1;
    if (!own_loop) varying.insert(varying.end(), inner.begin(), inner.end());
    open_loop(extra(kTask), {begin, end}, 1, varying);
    start_free();
    Expr task = Expr::coordinate(extra(kTask), p_.tasks);
    if (own_loop) {
      Expr first = task * p_.items_per_task;
      inner.push_back(extra(kItem));
      open_loop(extra(kItem), {first, first + p_.items_per_task, 0, p_.items}, 1, inner);
    } else {
      e_.set(extra(kItem), task);
    }
    item();
    if (own_loop) close();
    finish_free();
    close();
    e_.close_function();
  }

  // One nest per shape of finished reductions.
  void combine(const std::string& name) {
    e_.set_lanes(p_.lanes);
    e_.open_function(name, kept_ + 1, extra(kBegin), extra(kEnd));
    std::vector<bool> done(s_.free.size());
    for (size_t k = 0; k < s_.free.size(); k++) {
      if (done[k]) continue;
      const ir::Dims& dims = s_.free[k].result.dims();
      std::vector<size_t> group;
      for (size_t j = k; j < s_.free.size(); j++)
        if (s_.free[j].result.dims() == dims) group.push_back(j), done[j] = true;
      combine_group(dims, group);
    }
    e_.close_function();
  }

 private:
  static int extra(Extra which) { return kFirstExtra + which; }

  void open_loop(int coordinate, const Bounds& bounds, int64_t step, std::vector<int> varying) {
    e_.open_loop(coordinate, bounds, step);
    walk_.open(varying);
  }
  void open_block(std::vector<int> varying) {
    e_.open_block();
    walk_.open(varying);
  }
  void close() {
    walk_.close();
    e_.close();
  }

  std::vector<int> outer_coordinates() const {
    std::vector<int> out;
    for (const Axis& a : p_.outer) out.push_back(a.coordinate);
    return out;
  }

  // Dims that are no loop of their own: merged into the one behind, which counts for both.
  void bind_merged(const Nest& nest) {
    for (int k = 0; k < static_cast<int>(nest.dim.size()); k++) {
      bool loop = false;
      for (const Axis& a : nest.axes) loop |= a.coordinate == k;
      if (!loop) e_.set(k, 0);
    }
  }

  // body() for the vectors of [lo, hi) of the axis, the last one with fewer lanes.
  template <class F>
  void over_vectors(const Axis& axis, const Expr& lo, const Expr& hi, bool part, std::vector<int> varying,
                    F body) {
    int64_t lanes = p_.lanes, whole = axis.extent / lanes * lanes, rest = axis.extent - whole;
    varying.push_back(axis.coordinate);
    auto run = [&](int active) {
      e_.vectorize(axis.coordinate, active);
      body();
      close();
    };
    if (whole > 0) {
      Bounds bounds{lo, hi};
      bounds.at_most = whole;
      open_loop(axis.coordinate, bounds, lanes, varying);
      run(static_cast<int>(lanes));
    }
    if (rest == 0) return;
    if (part) {  // one round in the block that has the end of the axis, none in the others
      Bounds bounds{lo, hi};
      bounds.at_least = whole;
      bounds.at_most = axis.extent;
      open_loop(axis.coordinate, bounds, lanes, varying);
    } else {
      open_block(varying);
      e_.set(axis.coordinate, whole);
    }
    run(static_cast<int>(rest));
  }

  void item() {
    Expr at = Expr::coordinate(extra(kItem), p_.items);
    ir::Dims extents;
    for (const Axis& a : p_.outer) extents.push_back(a.extent);
    Exprs outer = ir::delinearize(floor_div(at, std::max<int64_t>(p_.blocks, 1)), extents);
    for (size_t i = 0; i < outer.size(); i++) e_.set(p_.outer[i].coordinate, outer[i]);
    if (p_.nest.vector < 0 || p_.vector_in_row()) return row();
    Expr lo = floor_mod(at, std::max<int64_t>(p_.blocks, 1)) * p_.block;
    if (p_.blocks == 1) lo = 0;
    over_vectors(p_.vector(), lo, p_.blocks == 1 ? Expr(p_.vector().extent) : lo + p_.block, p_.blocks > 1,
                 {extra(kBase)}, [&] {
                   e_.set(extra(kBase), Expr::coordinate(p_.vector().coordinate, p_.vector().extent));
                   row();
                 });
  }

  // body() for every element of the row.
  template <class F>
  void over_row(F body) {
    int open = 0;
    for (size_t i = 0; i < p_.nest.axes.size(); i++) {
      const Axis& a = p_.nest.axes[i];
      if (!a.folded || static_cast<int>(i) == p_.nest.vector) continue;
      open_loop(a.coordinate, {0, a.extent}, 1, {a.coordinate});
      open++;
    }
    if (p_.vector_in_row())
      over_vectors(p_.vector(), 0, p_.vector().extent, false, {}, body);
    else
      body();
    while (open-- > 0) close();
  }

  // ---- accumulators, in a type of their own

  Reg start(const FoldedValue& f) {
    return e_.constant(accumulator_type(f), identity(f.how, accumulator_type(f)));
  }
  Reg combined(const FoldedValue& f, Reg a, Reg b) {
    Reg operands[] = {a, b};
    ir::DType t = accumulator_type(f);
    return e_.apply(combining(f.how, t), t, t, operands);
  }
  Reg folded_lanes(const FoldedValue& f, Reg v) {
    return e_.fold_lanes(combining(f.how, accumulator_type(f)), accumulator_type(f), v);
  }
  Reg operand(const FoldedValue& f) {
    return converted(value(f.operand), ir::compute_type(f.operand.dtype()), accumulator_type(f));
  }
  Reg finished(const FoldedValue& f, Reg v) {
    return converted(v, accumulator_type(f), ir::compute_type(f.result.dtype()));
  }
  Reg converted(Reg v, ir::DType from, ir::DType to) {
    return from == to ? v : e_.apply(ir::Code::cast, to, from, {&v, 1});
  }

  Reg value(Value v) { return walk_.value(v, nest_->at_dims(v.dims())); }

  void row() {
    bool vector = p_.nest.vector >= 0;
    for (int pass = 0; pass < s_.passes; pass++) {
      std::vector<int> sums(s_.row.size(), -1);
      for (size_t k = 0; k < s_.row.size(); k++)
        if (s_.row[k].pass == pass)
          sums[k] = e_.variable(accumulator_type(s_.row[k]), start(s_.row[k]), vector);
      over_row([&] { element(pass, sums); });
      for (size_t k = 0; k < s_.row.size(); k++) {
        if (sums[k] < 0) continue;
        const FoldedValue& f = s_.row[k];
        Reg sum = e_.get(sums[k]);
        walk_.define(f.result, finished(f, p_.vector_in_row() ? folded_lanes(f, sum) : sum));
      }
      for (size_t k = 0; k < p_.kept.size(); k++)
        if (p_.kept[k].pass == pass)
          walk_.define_stored(p_.kept[k].value, nest_->at, kept_, kept_offset(k), p_.kept_bytes());
    }
    for (size_t k = 0; k < s_.free.size(); k++)
      if (s_.free[k].per_row) add_free(k, vector && !p_.vector_in_row());
    store(When::row, 0);
  }

  void element(int pass, const std::vector<int>& sums) {
    for (size_t k = 0; k < s_.row.size(); k++) {
      if (sums[k] < 0) continue;
      Reg v = operand(s_.row[k]);
      if (p_.vector_in_row()) v = e_.in_active_lanes(v, start(s_.row[k]));
      e_.set_variable(sums[k], combined(s_.row[k], e_.get(sums[k]), v));
    }
    for (size_t k = 0; k < s_.free.size(); k++)
      if (!s_.free[k].per_row && s_.free[k].pass == pass) add_free(k, p_.nest.vector >= 0);
    for (size_t k = 0; k < p_.kept.size(); k++)
      if (p_.kept[k].pass == pass)
        e_.store(kept_, ir::compute_type(p_.kept[k].value.dtype()), kept_offset(k), value(p_.kept[k].value));
    store(When::pass, pass);
  }

  // All values first: an output may overwrite an input that another output reads.
  void store(When when, int pass) {
    std::vector<std::pair<size_t, Reg>> values;
    for (size_t k = 0; k < s_.results.size(); k++)
      if (s_.results[k].when == when && s_.results[k].pass == pass)
        values.emplace_back(k, value(s_.results[k].value));
    if (when == When::row)
      for (size_t k = 0; k < s_.results.size(); k++)
        if (s_.results[k].when == when && s_.results[k].pass != pass)
          values.emplace_back(k, value(s_.results[k].value));
    for (auto [k, reg] : values) {
      Value v = s_.results[k].value;
      e_.store(results_ + static_cast<int>(k), v.dtype(), ir::linearize(nest_->at_dims(v.dims()), v.dims()),
               reg);
    }
  }

  // Kept values of a row: by row element, then by lane where lanes are rows.
  Expr kept_offset(size_t k) {
    int64_t across = p_.vector_in_row() || p_.nest.vector < 0 ? 1 : p_.lanes;
    Expr at;
    int64_t step = across;
    for (size_t i = p_.nest.axes.size(); i-- > 0;) {
      const Axis& a = p_.nest.axes[i];
      if (!a.folded) continue;
      at = at + Expr::coordinate(a.coordinate, a.extent) * step;
      step *= a.extent;
    }
    if (across > 1) {
      int64_t extent = p_.vector().extent;
      at = at + Expr::coordinate(p_.vector().coordinate, extent) - Expr::coordinate(extra(kBase), extent);
    }
    return at + p_.kept_at(k) / ir::byte_size(ir::compute_type(p_.kept[k].value.dtype()));
  }

  // ---- free reductions. A single result is a variable of the task; several are in memory, one copy per
  // task.

  struct Free {
    int variable = -1;
    bool vector = false;
  };

  bool vector_is_folded(const FoldedValue& f) const {
    return p_.nest.vector >= 0 &&
           f.result.dims()[nest_->dim[static_cast<size_t>(p_.vector().coordinate)]] == 1;
  }
  // Of the element at hand, in the partial results of the task that a coordinate counts.
  Expr partial_offset(const FoldedValue& f, Extra task) {
    return Expr::coordinate(extra(task), p_.tasks) * f.result.type().count() +
           ir::linearize(nest_->at_dims(f.result.dims()), f.result.dims());
  }
  int partial(size_t k) const { return partials_ + static_cast<int>(k); }

  void start_free() {
    free_.assign(s_.free.size(), {});
    for (size_t k = 0; k < s_.free.size(); k++) {
      const FoldedValue& f = s_.free[k];
      int64_t count = f.result.type().count();
      if (count == 1) {
        free_[k].vector = p_.nest.vector >= 0 && !(f.per_row && p_.vector_in_row());
        free_[k].variable = e_.variable(accumulator_type(f), start(f), free_[k].vector);
        continue;
      }
      Expr first = Expr::coordinate(extra(kTask), p_.tasks) * count;
      open_loop(extra(kPart), {0, count}, 1, {extra(kPart)});
      e_.store(partial(k), accumulator_type(f), first + Expr::coordinate(extra(kPart), count), start(f));
      close();
    }
  }

  void add_free(size_t k, bool vector) {
    const FoldedValue& f = s_.free[k];
    Reg v = operand(f);
    bool across = vector && vector_is_folded(f);
    if (across) v = e_.in_active_lanes(v, start(f));
    if (free_[k].variable >= 0) {
      e_.set_variable(free_[k].variable, combined(f, e_.get(free_[k].variable), v));
      return;
    }
    if (across) v = folded_lanes(f, v);
    Expr at = partial_offset(f, kTask);
    Reg before = e_.load(partial(k), accumulator_type(f), at, p_.partial_count(k), {});
    e_.store(partial(k), accumulator_type(f), at, combined(f, before, v));
  }

  void finish_free() {
    for (size_t k = 0; k < s_.free.size(); k++) {
      if (free_[k].variable < 0) continue;
      const FoldedValue& f = s_.free[k];
      Reg v = e_.get(free_[k].variable);
      if (free_[k].vector) v = folded_lanes(f, v);
      e_.store(partial(k), accumulator_type(f), Expr::coordinate(extra(kTask), p_.tasks), v);
    }
  }

  void combine_group(const ir::Dims& dims, const std::vector<size_t>& group) {
    ir::Values roots, known;
    std::vector<size_t> outputs;
    for (size_t k : group) known.push_back(s_.free[k].result);
    for (size_t k = 0; k < s_.results.size(); k++)
      if (s_.results[k].when == When::combine && s_.results[k].value.dims() == dims) {
        outputs.push_back(k);
        roots.push_back(s_.results[k].value);
      }
    Nest nest = plan_nest(*p_.body, dims, std::vector<bool>(dims.size()), roots, {dims}, known, p_.lanes);
    nest_ = &nest;
    open_block({});
    bind_merged(nest);
    int open = 0;
    for (size_t i = 0; i < nest.axes.size(); i++) {
      const Axis& a = nest.axes[i];
      if (static_cast<int>(i) == nest.vector) continue;
      open_loop(a.coordinate, {0, a.extent}, 1, {a.coordinate});
      open++;
    }
    auto body = [&] {
      for (size_t k : group) walk_.define(s_.free[k].result, folded_partials(k, nest.vector >= 0));
      std::vector<Reg> values;
      for (size_t k : outputs) values.push_back(value(s_.results[k].value));
      for (size_t i = 0; i < outputs.size(); i++) {
        Value v = s_.results[outputs[i]].value;
        e_.store(results_ + static_cast<int>(outputs[i]), v.dtype(),
                 ir::linearize(nest_->at_dims(v.dims()), v.dims()), values[i]);
      }
    };
    if (nest.vector >= 0) {
      const Axis& a = nest.axes[static_cast<size_t>(nest.vector)];
      over_vectors(a, 0, a.extent, false, {}, body);
    } else {
      body();
    }
    while (open-- > 0) close();
    close();
  }

  // The partial results of all tasks, in order of the tasks.
  Reg folded_partials(size_t k, bool vector) {
    const FoldedValue& f = s_.free[k];
    int sum = e_.variable(accumulator_type(f), start(f), vector);
    open_loop(extra(kPart), {0, p_.tasks}, 1, {extra(kPart)});
    Reg part = e_.load(partial(k), accumulator_type(f), partial_offset(f, kPart), p_.partial_count(k), {});
    e_.set_variable(sum, combined(f, e_.get(sum), part));
    close();
    return finished(f, e_.get(sum));
  }

  const SegmentPlan& p_;
  const Segment& s_;
  LoopEmitter& e_;
  Walk walk_;
  const Nest* nest_;                           // whose loops are being written
  int results_ = 0, partials_ = 0, kept_ = 0;  // first buffers of each kind
  std::vector<Free> free_;
};

}  // namespace

void emit_tasks(const SegmentPlan& plan, LoopEmitter& emitter, const std::string& name) {
  SegmentEmitter(plan, emitter).tasks(name);
}

void emit_combine(const SegmentPlan& plan, LoopEmitter& emitter, const std::string& name) {
  SegmentEmitter(plan, emitter).combine(name);
}

}  // namespace mezzo::codegen::cpu
