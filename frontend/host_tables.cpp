// host_tables.cpp: operators that make tables of numbers known at import (window functions, mel filters), and
// NonMaxSuppression, whose number of results must be known.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "frontend/host_ops.h"
#include "frontend/limits.h"
#include "frontend/tensor_reader.h"
#include "ir/op.h"

namespace mezzo::frontend {
namespace {

using ir::DType;
using ir::Tensor;
using ir::TensorPtr;

void give(Call& c, Tensor value) { c.results = ir::Values{c.graph.constant(std::move(value))}; }

// A required input that is one known number.
double known_number(const Call& c, size_t i, const char* what) {
  if (!c.in(i)) malformed(c, concat("input ", i, " (", what, ") is required"));
  TensorPtr t = c.known(c.in(i));
  if (!t) unsupported(c, concat("input ", i, " (", what, ") is computed from the model's data"));
  if (t->count() != 1) malformed(c, concat("input ", i, " (", what, ") must be one number"));
  return t->get(0);
}

DType table_type(const Call& c) {
  auto dtype = dtype_of(static_cast<int>(std::clamp<int64_t>(c.integer("output_datatype", 1), 0, 1000)));
  if (!dtype) unsupported(c, "this element type");
  return *dtype;
}

// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N)
void window_table(Call& c, double a0, double a1, double a2) {
  const double size = known_number(c, 0, "size");
  if (!(size >= 0 && size <= static_cast<double>(kMaxFoldedElements)))
    unsupported(c, concat("a window of ", size, " elements"));
  const double period = c.integer("periodic", 1) != 0 ? size : size - 1;
  Tensor out({table_type(c), {static_cast<int64_t>(size)}});
  for (int64_t n = 0; n < out.count(); n++) {
    const double angle = period == 0 ? 0 : 2 * std::numbers::pi * static_cast<double>(n) / period;
    const double v = a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle);
    if (ir::is_float(out.dtype()))
      out.set(n, v);
    else
      out.set_int(n, static_cast<int64_t>(v));
  }
  give(c, std::move(out));
}

double to_mel(double hertz) { return 2595 * std::log10(1 + hertz / 700); }

// Corners of two boxes as [y1, x1, y2, x2], in order.
struct Box {
  double low[2], high[2];
  double area() const { return (high[0] - low[0]) * (high[1] - low[1]); }
};

Box box_at(const Tensor& boxes, int64_t at, bool center) {
  double v[4];
  for (int64_t k = 0; k < 4; k++) v[k] = boxes.get(at * 4 + k);
  if (center)  // x, y, width, height
    return {{v[1] - v[3] / 2, v[0] - v[2] / 2}, {v[1] + v[3] / 2, v[0] + v[2] / 2}};
  return {{std::min(v[0], v[2]), std::min(v[1], v[3])}, {std::max(v[0], v[2]), std::max(v[1], v[3])}};
}

double overlap(const Box& a, const Box& b) {
  double shared = 1;
  for (int k = 0; k < 2; k++)
    shared *= std::max(0.0, std::min(a.high[k], b.high[k]) - std::max(a.low[k], b.low[k]));
  const double all = a.area() + b.area() - shared;
  return all > 0 ? shared / all : 0;
}

}  // namespace

void hann_window(Call& c) { window_table(c, 0.5, 0.5, 0); }
void hamming_window(Call& c) { window_table(c, 25.0 / 46, 21.0 / 46, 0); }
void blackman_window(Call& c) { window_table(c, 0.42, 0.5, 0.08); }

// Triangles between points that are evenly spaced in mel, [dft_length / 2 + 1, num_mel_bins].
void mel_weight_matrix(Call& c) {
  const double bins = known_number(c, 0, "num_mel_bins"), length = known_number(c, 1, "dft_length"),
               rate = known_number(c, 2, "sample_rate"), lowest = known_number(c, 3, "lower_edge_hertz"),
               highest = known_number(c, 4, "upper_edge_hertz");
  const auto limit = static_cast<double>(kMaxFoldedElements);
  if (!(bins >= 1 && length >= 1 && rate > 0 && bins * (length / 2 + 1) <= limit))
    unsupported(c, "a filter table of this size");
  const int64_t rows = static_cast<int64_t>(length) / 2 + 1, columns = static_cast<int64_t>(bins);
  std::vector<int64_t> edges;
  const double step = (to_mel(highest) - to_mel(lowest)) / (bins + 2);  // as the specification has it
  for (int64_t k = 0; k < columns + 2; k++) {
    const double hertz = 700 * (std::pow(10, (to_mel(lowest) + step * static_cast<double>(k)) / 2595) - 1);
    edges.push_back(static_cast<int64_t>(std::floor((length + 1) * hertz / rate)));
  }
  Tensor out({table_type(c), {rows, columns}});
  for (int64_t k = 0; k < columns; k++) {
    const auto at = static_cast<size_t>(k);
    const int64_t low = edges[at], middle = edges[at + 1], high = edges[at + 2];
    auto put = [&](int64_t row, double v) {
      if (row >= 0 && row < rows) out.set(row * columns + k, v);
    };
    if (low == middle) put(middle, 1);
    for (int64_t r = low; r <= middle && middle > low; r++)
      put(r, static_cast<double>(r - low) / static_cast<double>(middle - low));
    for (int64_t r = middle; r < high; r++)
      put(r, static_cast<double>(high - r) / static_cast<double>(high - middle));
  }
  give(c, std::move(out));
}

// Greedy, by falling score, per batch and class.
void non_max_suppression(Call& c) {
  TensorPtr boxes = c.in(0) ? c.known(c.in(0)) : nullptr, scores = c.in(1) ? c.known(c.in(1)) : nullptr;
  if (!boxes || !scores)
    unsupported(c, "how many boxes it selects is not known when the step is compiled",
                "train on the outputs before it; Mezzo compiles static shapes");
  const ir::Dims &b = boxes->dims(), &s = scores->dims();
  if (b.size() != 3 || s.size() != 3 || b[2] != 4 || b[0] != s[0] || b[1] != s[2])
    malformed(c,
              concat("boxes ", ir::to_string(b), " and scores ", ir::to_string(s), " do not fit together"));
  auto option = [&](size_t i, double otherwise) {
    return c.in(i) ? known_number(c, i, "threshold") : otherwise;
  };
  const double most = option(2, 0), limit = option(3, 0);
  const bool center = c.integer("center_point_box", 0) != 0;
  std::vector<int64_t> found;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t k = 0; k < s[1]; k++) {
      auto score = [&](int64_t i) { return scores->get((n * s[1] + k) * s[2] + i); };
      std::vector<int64_t> order;
      for (int64_t i = 0; i < s[2]; i++)
        if (!c.in(4) || score(i) > option(4, 0)) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return score(i) > score(j); });
      std::vector<Box> kept;
      for (int64_t i : order) {
        if (static_cast<double>(kept.size()) >= most) break;
        const Box box = box_at(*boxes, n * b[1] + i, center);
        if (std::any_of(kept.begin(), kept.end(), [&](const Box& k2) { return overlap(box, k2) > limit; }))
          continue;
        kept.push_back(box);
        found.insert(found.end(), {n, k, i});
      }
    }
  Tensor out({DType::i64, {static_cast<int64_t>(found.size()) / 3, 3}});
  for (size_t i = 0; i < found.size(); i++) out.set_int(static_cast<int64_t>(i), found[i]);
  give(c, std::move(out));
}

}  // namespace mezzo::frontend
