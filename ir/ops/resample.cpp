// resample.cpp. Most maps are periodic: with out/in = up/down, output o + up reads what o reads, `down`
// further on, with the same weights. Such an axis is a sliding window (stride `down`) times an up x K table:
// no index is ever loaded, and the gradient is the transposed window. The others are a product with a
// constant out x in matrix, whose gradient is the product with its transpose.
#include "ir/ops/resample.h"

#include <algorithm>
#include <cmath>

#include "ir/op.h"

namespace mezzo::ir {
namespace {

constexpr double kSameWeight = 1e-9;
constexpr int64_t kMaxPhases = 64;  // of a window table
constexpr int64_t kMaxPieces = 8;   // phases that a copy puts side by side
constexpr int64_t kMaxMatrix = 1 << 26;

// Drops taps of weight 0 at both ends of all rows.
Taps trimmed(const Taps& t) {
  const auto rows = static_cast<int64_t>(t.first.size());
  auto zero_column = [&](int64_t column) {
    for (int64_t o = 0; o < rows; o++)
      if (t.weights[static_cast<size_t>(o * t.width + column)] != 0) return false;
    return true;
  };
  int64_t low = 0, high = t.width;
  while (high - low > 1 && zero_column(low)) low++;
  while (high - low > 1 && zero_column(high - 1)) high--;
  Taps out{high - low, t.first, {}};
  for (int64_t& f : out.first) f += low;
  for (int64_t o = 0; o < rows; o++)
    for (int64_t k = low; k < high; k++)
      out.weights.push_back(t.weights[static_cast<size_t>(o * t.width + k)]);
  return out;
}

struct Period {
  int64_t up = 0, down = 0;
};

// The shortest period of at most kMaxPhases; up = 0: none.
Period period_of(const Taps& t) {
  const auto rows = static_cast<int64_t>(t.first.size());
  for (int64_t up = 1; up <= std::min(rows / 2, kMaxPhases); up++) {
    if (rows % up != 0) continue;
    const int64_t down = t.first[static_cast<size_t>(up)] - t.first[0];
    bool same = down >= 1;
    for (int64_t o = 0; same && o + up < rows; o++) {
      same = t.first[static_cast<size_t>(o + up)] - t.first[static_cast<size_t>(o)] == down;
      for (int64_t k = 0; same && k < t.width; k++)
        same = std::abs(t.weights[static_cast<size_t>((o + up) * t.width + k)] -
                        t.weights[static_cast<size_t>(o * t.width + k)]) < kSameWeight;
    }
    if (same) return {up, down};
  }
  return {};
}

// `dims` with `axis` replaced by `by`.
Dims replaced(const Dims& dims, size_t axis, const Dims& by) {
  Dims out(dims.begin(), dims.begin() + static_cast<int64_t>(axis));
  out.insert(out.end(), by.begin(), by.end());
  out.insert(out.end(), dims.begin() + static_cast<int64_t>(axis) + 1, dims.end());
  return out;
}

// [.., D, ..] -> [.., O, .., K]: element (o, k) is x[o * stride + k + low], the nearer end outside.
Value windows(Value x, size_t axis, int64_t outputs, int64_t stride, int64_t low, int64_t count) {
  const int64_t extent = x.dims()[axis];
  Ints begin(x.dims().size()), end(x.dims().size());
  begin[axis] = std::max<int64_t>(-low, 0);
  end[axis] = std::max<int64_t>((outputs - 1) * stride + low + count - extent, 0);
  if (begin[axis] + end[axis] > 0) {
    Ints pads = begin;
    pads.insert(pads.end(), end.begin(), end.end());
    x = apply("Pad", {x}, {{"pads", pads}, {"mode", std::string("edge")}});
  }
  return window(x, {.kernel = {count},
                    .strides = {stride},
                    .dilations = {1},
                    .pads = {-low - begin[axis]},
                    .outputs = {outputs},
                    .first_axis = static_cast<int64_t>(axis)});
}

Value periodic(Value x, size_t axis, const Taps& t, Period p) {
  const auto rows = static_cast<int64_t>(t.first.size());
  const auto up = static_cast<size_t>(p.up);
  const int64_t low = *std::min_element(t.first.begin(), t.first.begin() + p.up);
  const int64_t count = *std::max_element(t.first.begin(), t.first.begin() + p.up) + t.width - low;
  const int64_t outputs = rows / p.up;
  std::vector<double> table(up * static_cast<size_t>(count));
  for (size_t phase = 0; phase < up; phase++)
    for (int64_t k = 0; k < t.width; k++)
      table[phase * static_cast<size_t>(count) + static_cast<size_t>(t.first[phase] - low + k)] =
          t.weights[phase * static_cast<size_t>(t.width) + static_cast<size_t>(k)];
  Value w = windows(x, axis, outputs, p.down, low, count);
  // [.., O, .., K] -> [.., O, 1, .., K], times the table, summed over K.
  Dims spread = replaced(w.dims(), axis, {outputs, 1}), shape(spread.size(), 1);
  shape[axis + 1] = p.up;
  shape.back() = count;
  Value weights = x.node->graph().constant(Tensor::of(shape, table, x.dtype()));
  Value y = reduce_sum(reshape(w, spread) * weights, {static_cast<int64_t>(spread.size()) - 1});
  return reshape(y, replaced(x.dims(), axis, {rows}));
}

Value moved(Value x, size_t axis, const Taps& t, Period p) {
  const auto rows = static_cast<int64_t>(t.first.size());
  const int64_t outputs = rows / p.up;
  const Dims one = replaced(x.dims(), axis, {outputs, 1});
  const bool together =
      std::all_of(t.first.begin(), t.first.begin() + p.up, [&](int64_t f) { return f == t.first[0]; });
  Values phases;
  for (int64_t phase = 0; phase < (together ? 1 : p.up); phase++)
    phases.push_back(reshape(windows(x, axis, outputs, p.down, t.first[static_cast<size_t>(phase)], 1), one));
  Value y = together ? expand(phases[0], replaced(x.dims(), axis, {outputs, p.up}))
                     : concat(phases, static_cast<int64_t>(axis) + 1);
  return reshape(y, replaced(x.dims(), axis, {rows}));
}

Value matrix_product(Value x, size_t axis, const Taps& t) {
  const auto rows = static_cast<int64_t>(t.first.size());
  const int64_t extent = x.dims()[axis];
  require(rows <= kMaxMatrix / std::max<int64_t>(extent, 1), "resizing an extent of ", extent, " to ", rows,
          " needs a table of ", rows, " x ", extent);
  std::vector<double> matrix(static_cast<size_t>(rows * extent));
  for (int64_t o = 0; o < rows; o++)
    for (int64_t k = 0; k < t.width; k++) {
      const int64_t from = std::clamp<int64_t>(t.first[static_cast<size_t>(o)] + k, 0, extent - 1);
      matrix[static_cast<size_t>(o * extent + from)] += t.weights[static_cast<size_t>(o * t.width + k)];
    }
  Value m = x.node->graph().constant(Tensor::of({rows, extent}, matrix, x.dtype()));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < x.dims().size(); i++) (i < axis ? outer : inner) *= i == axis ? 1 : x.dims()[i];
  Value y = inner == 1 ? dot(reshape(x, {outer, extent}), m, {.trans_b = true})
                       : dot(m, reshape(x, {outer, extent, inner}));
  return reshape(y, replaced(x.dims(), axis, {rows}));
}

}  // namespace

Value resample(Value x, int64_t along, const Taps& all, bool copies) {
  const auto axis = static_cast<size_t>(along);
  check(x.dims()[axis] > 0, "resample: nothing to read");
  const Taps taps = trimmed(all);
  const Period p = period_of(taps);
  if (copies && p.up > 0 &&
      (p.up <= kMaxPieces || taps.first[static_cast<size_t>(p.up) - 1] == taps.first[0]))
    return moved(x, axis, taps, p);
  return p.up > 0 && !copies ? periodic(x, axis, taps, p) : matrix_product(x, axis, taps);
}

}  // namespace mezzo::ir
