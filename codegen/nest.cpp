// nest.cpp: which dims of a domain become loops, and which of them goes into vector lanes.
#include <algorithm>

#include "codegen/loops.h"

namespace mezzo::codegen {
namespace {

using ir::Expr;

// The loop coordinates that something depends on, as bits; coordinates from 63 on share one.
using Dependence = uint64_t;
Dependence bit_of(int coordinate) { return Dependence{1} << std::min(coordinate, 63); }

// An expression the code would compute, and what the computed coordinates in it depend on.
struct Recorded {
  Expr value;
  Dependence computed = 0;
};

// Emits nothing: notes which expressions the code would compute.
class Recorder : public Emitter {
 public:
  std::vector<Recorded> memory;    // element offsets read or written
  std::vector<Recorded> computed;  // conditions and numbers
  int64_t operations = 0;

  Reg constant(ir::DType, ir::Number) override { return next(0); }
  Reg apply(ir::Code code, ir::DType type, ir::DType, std::span<const Reg> operands) override {
    operations += code == ir::Code::div || code == ir::Code::sqrt || code == ir::Code::mod ? 4 : 1;
    if (ir::is_low(type) && code == ir::Code::cast) operations += 4;
    return next(all_of(operands));
  }
  Reg call_real(const ir::OpDef&, std::span<const Reg> operands) override {
    operations += 100;
    return next(all_of(operands));
  }
  Reg number(const Expr& value, ir::DType) override {
    computed.push_back({value, through_bound(value)});
    return next(dependence(value));
  }
  Reg inside(const ir::Condition& condition, Reg also) override {
    computed.push_back({condition.value, through_bound(condition.value)});
    return next(dependence(condition.value) | (also ? of(also) : 0));
  }
  Reg load(int, ir::DType, const Expr& offset, int64_t, Reg when) override {
    memory.push_back({offset, through_bound(offset)});
    return next(dependence(offset) | (when ? of(when) : 0));
  }
  void bind(int, Reg index) override { bound_.push_back(of(index)); }
  int go_to(int) override { return 0; }

 private:
  Reg next(Dependence d) {
    dependence_.push_back(d);
    return {static_cast<int>(dependence_.size()) - 1};
  }
  Dependence of(Reg r) const { return dependence_[static_cast<size_t>(r.id)]; }
  Dependence all_of(std::span<const Reg> operands) const {
    Dependence d = 0;
    for (Reg r : operands) d |= of(r);
    return d;
  }
  Dependence through_bound(const Expr& e) const { return dependence(e, false); }
  Dependence dependence(const Expr& e, bool loops = true) const {
    Dependence d = 0;
    for (const Expr::Term& t : e.terms()) {
      auto number = static_cast<int>(t.atom.number);
      if (t.atom.kind != Expr::AtomKind::coordinate)
        d |= dependence(*t.atom.of, loops);
      else if (number >= kComputed)
        d |= bound_[static_cast<size_t>(number - kComputed)];
      else if (loops)
        d |= bit_of(number);
    }
    return d;
  }

  std::vector<Dependence> dependence_;  // by register
  std::vector<Dependence> bound_;       // by computed coordinate
};

// Cost of handling `lanes` neighbours along the axis, in machine operations: a vector load is one, a gather
// many.
double cost(const Recorder& r, int coordinate, int lanes) {
  double total = static_cast<double>(r.operations);
  auto add = [&](const Recorded& e, double gather) {
    auto stride = e.value.stride(coordinate);
    if (e.computed & bit_of(coordinate)) stride.reset();
    total += stride == 0 ? 0.2 : stride == 1 ? 1 : stride ? gather : 2 * gather;
  };
  for (const Recorded& e : r.memory) add(e, 2.0 * lanes);
  for (const Recorded& e : r.computed) add(e, 2);
  return total;
}

// Loop coordinates for a domain.
struct Coordinates {
  ir::Dims extents;
  std::vector<size_t> dim;
  ir::Exprs at;
};

// If `e` is a coordinate divided by some number, both.
std::optional<std::pair<int64_t, int64_t>> divided(const Expr& e) {
  if (e.constant() != 0 || e.terms().size() != 1 || e.terms()[0].coefficient != 1) return std::nullopt;
  const Expr::Atom& a = e.terms()[0].atom;
  if (a.kind == Expr::AtomKind::coordinate) return std::pair(a.number, int64_t{1});
  if (a.kind == Expr::AtomKind::remainder) return std::nullopt;
  auto inner = divided(*a.of);
  if (inner) inner->second *= a.number;
  return inner;
}

// Adds the places where `e` cuts single coordinates: i/6 and i%6 cut i at 6, (i/6)%14 at 6 and 84.
void find_cuts(const Expr& e, std::vector<std::vector<int64_t>>& cuts) {
  for (const Expr::Term& t : e.terms()) {
    if (t.atom.kind == Expr::AtomKind::coordinate) continue;
    find_cuts(*t.atom.of, cuts);
    auto of = divided(*t.atom.of);
    if (!of || of->first >= static_cast<int64_t>(cuts.size())) continue;  // not a loop's
    auto& c = cuts[static_cast<size_t>(of->first)];
    c.push_back(of->second * t.atom.number);
    if (of->second > 1) c.push_back(of->second);
  }
}

// Splits dims at their cuts, where these divide each other.
Coordinates split(const ir::Dims& domain, std::vector<std::vector<int64_t>> cuts) {
  Coordinates c;
  for (size_t k = 0; k < domain.size(); k++) {
    std::sort(cuts[k].begin(), cuts[k].end());
    ir::Dims parts;  // innermost first
    int64_t below = 1;
    for (int64_t cut : cuts[k]) {
      if (cut <= below || cut >= domain[k] || cut % below != 0 || domain[k] % cut != 0) continue;
      parts.push_back(cut / below);
      below = cut;
    }
    parts.push_back(domain[k] / below);
    Expr at;
    int64_t step = domain[k];
    for (size_t i = parts.size(); i-- > 0;) {
      step = parts[i] > 0 ? step / parts[i] : 1;
      at = at + Expr::coordinate(static_cast<int>(c.extents.size()), parts[i]) * step;
      c.extents.push_back(parts[i]);
      c.dim.push_back(k);
    }
    c.at.push_back(at);
  }
  return c;
}

}  // namespace

ir::Exprs Nest::at_dims(const ir::Dims& dims) const {
  ir::Exprs out;
  for (size_t k = 0; k < dims.size(); k++) out.push_back(dims[k] == 1 ? Expr(0) : at[k]);
  return out;
}

Nest plan_nest(const ir::Graph& body, const ir::Dims& domain, const std::vector<bool>& folded,
               const ir::Values& roots, const std::vector<ir::Dims>& written, const ir::Values& known,
               int lanes) {
  Nest nest;
  Recorder recorder;
  auto record = [&](const Coordinates& c) {
    nest.at = c.at;
    nest.dim = c.dim;
    recorder = {};
    Walk walk(recorder, body);
    std::vector<int> numbers;
    for (size_t k = 0; k < c.extents.size(); k++) numbers.push_back(static_cast<int>(k));
    walk.open(numbers);
    for (const ir::Value& v : known) walk.define(v, recorder.constant(v.dtype(), {}));
    for (const ir::Value& v : roots) walk.value(v, nest.at_dims(v.dims()));
    for (const ir::Dims& dims : written) recorder.memory.push_back({ir::linearize(nest.at_dims(dims), dims)});
  };
  std::vector<std::vector<int64_t>> cuts(domain.size());
  Coordinates c = split(domain, cuts);
  record(c);
  for (const Recorded& e : recorder.memory) find_cuts(e.value, cuts);
  for (const Recorded& e : recorder.computed) find_cuts(e.value, cuts);
  Coordinates finer = split(domain, cuts);
  if (finer.extents.size() > c.extents.size()) {
    c = std::move(finer);
    record(c);
  }
  auto is_folded = [&](size_t coordinate) { return folded[c.dim[coordinate]]; };

  // Merge a dim into the one behind it where all expressions step through both as through one.
  auto mergeable = [&](size_t outer, int64_t inner_extent, size_t inner) {
    auto alike = [&](const Recorded& e) {
      auto a = e.value.stride(static_cast<int>(outer)), b = e.value.stride(static_cast<int>(inner));
      return a && b && *a == *b * inner_extent;
    };
    return is_folded(outer) == is_folded(inner) &&
           std::all_of(recorder.memory.begin(), recorder.memory.end(), alike) &&
           std::all_of(recorder.computed.begin(), recorder.computed.end(), alike);
  };
  nest.operations = recorder.operations + static_cast<int64_t>(recorder.memory.size());
  for (size_t k = c.extents.size(); k-- > 0;) {
    if (c.extents[k] == 1) continue;
    if (!nest.axes.empty() && mergeable(k, nest.axes[0].extent, static_cast<size_t>(nest.axes[0].coordinate)))
      nest.axes[0].extent *= c.extents[k];
    else
      nest.axes.insert(nest.axes.begin(), {static_cast<int>(k), c.extents[k], is_folded(k)});
  }

  double best = 0;
  int64_t row = 1;
  for (const Axis& a : nest.axes)
    if (a.folded) row *= std::max<int64_t>(a.extent, 1);
  for (size_t i = 0; i < nest.axes.size(); i++) {
    const Axis& a = nest.axes[i];
    int64_t vectors = (a.extent + lanes - 1) / lanes;
    double per_element =
        cost(recorder, a.coordinate, lanes) * static_cast<double>(vectors) / static_cast<double>(a.extent);
    // Adding up the lanes at the end of every row.
    if (a.folded) per_element += 12.0 * static_cast<double>(known.size() + 1) / static_cast<double>(row);
    if (nest.vector < 0 || per_element <= best) {
      best = per_element;
      nest.vector = static_cast<int>(i);
    }
  }
  return nest;
}

}  // namespace mezzo::codegen
