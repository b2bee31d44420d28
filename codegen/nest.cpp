// nest.cpp: which dims of a domain become loops, and which of them goes into vector lanes.
#include <algorithm>

#include "codegen/loops.h"

namespace mezzo::codegen {
namespace {

using ir::Expr;

// Emits nothing: notes which expressions the code would compute.
class Recorder : public Emitter {
 public:
  std::vector<Expr> memory;    // element offsets read or written
  std::vector<Expr> computed;  // conditions and numbers
  int64_t operations = 0;

  Reg constant(ir::DType, ir::Number) override { return next(); }
  Reg apply(ir::Code code, ir::DType type, ir::DType, std::span<const Reg>) override {
    operations += code == ir::Code::div || code == ir::Code::sqrt || code == ir::Code::mod ? 4 : 1;
    if (ir::is_low(type) && code == ir::Code::cast) operations += 4;
    return next();
  }
  Reg call_real(const ir::OpDef&, std::span<const Reg>) override {
    operations += 100;
    return next();
  }
  Reg number(const Expr& value, ir::DType) override {
    computed.push_back(value);
    return next();
  }
  Reg inside(const ir::Condition& condition, Reg) override {
    computed.push_back(condition.value);
    return next();
  }
  Reg load(int, ir::DType, const Expr& offset, int64_t, Reg) override {
    memory.push_back(offset);
    return next();
  }
  int go_to(int) override { return 0; }

 private:
  Reg next() { return {count_++}; }
  int count_ = 0;
};

// Cost of handling `lanes` neighbours along the axis, in machine operations: a vector load is one, a gather
// many.
double cost(const Recorder& r, int coordinate, int lanes) {
  double total = static_cast<double>(r.operations);
  auto add = [&](const Expr& e, double gather) {
    auto stride = e.stride(coordinate);
    total += stride == 0 ? 0.2 : stride == 1 ? 1 : stride ? gather : 2 * gather;
  };
  for (const Expr& e : r.memory) add(e, 2.0 * lanes);
  for (const Expr& e : r.computed) add(e, 2);
  return total;
}

}  // namespace

Nest plan_nest(const ir::Graph& body, const ir::Dims& domain, const std::vector<bool>& folded,
               const ir::Values& roots, const std::vector<ir::Dims>& written, const ir::Values& known,
               int lanes) {
  Recorder recorder;
  Walk walk(recorder, body);
  std::vector<int> numbers;
  for (size_t k = 0; k < domain.size(); k++) numbers.push_back(static_cast<int>(k));
  walk.open(numbers);
  for (const ir::Value& v : known) walk.define(v, recorder.constant(v.dtype(), {}));
  for (const ir::Value& v : roots) walk.value(v, coordinates(v.dims()));
  for (const ir::Dims& dims : written) recorder.memory.push_back(ir::linearize(coordinates(dims), dims));

  // Merge a dim into the one behind it where all expressions step through both as through one.
  auto mergeable = [&](size_t outer, int64_t inner_extent, size_t inner) {
    auto alike = [&](const Expr& e) {
      auto a = e.stride(static_cast<int>(outer)), b = e.stride(static_cast<int>(inner));
      return a && b && *a == *b * inner_extent;
    };
    return folded[outer] == folded[inner] &&
           std::all_of(recorder.memory.begin(), recorder.memory.end(), alike) &&
           std::all_of(recorder.computed.begin(), recorder.computed.end(), alike);
  };
  Nest nest;
  nest.operations = recorder.operations + static_cast<int64_t>(recorder.memory.size());
  for (size_t k = domain.size(); k-- > 0;) {
    if (domain[k] == 1) continue;
    if (!nest.axes.empty() && mergeable(k, nest.axes[0].extent, static_cast<size_t>(nest.axes[0].coordinate)))
      nest.axes[0].extent *= domain[k];
    else
      nest.axes.insert(nest.axes.begin(), {static_cast<int>(k), domain[k], folded[k]});
  }

  double best = 0;
  int64_t row = 1;
  for (const Axis& a : nest.axes)
    if (a.folded) row *= std::max<int64_t>(a.extent, 1);
  for (size_t i = 0; i < nest.axes.size(); i++) {
    const Axis& a = nest.axes[i];
    int64_t vectors = (a.extent + lanes - 1) / lanes;
    double c =
        cost(recorder, a.coordinate, lanes) * static_cast<double>(vectors) / static_cast<double>(a.extent);
    // Adding up the lanes at the end of every row.
    if (a.folded) c += 12.0 * static_cast<double>(known.size() + 1) / static_cast<double>(row);
    if (nest.vector < 0 || c <= best) {
      best = c;
      nest.vector = static_cast<int>(i);
    }
  }
  return nest;
}

}  // namespace mezzo::codegen
