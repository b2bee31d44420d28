// grid_sample.cpp: ONNX GridSample: an image read at the places a grid names, one or more spatial axes, with
// gradients for both. Coordinates are in [-1, 1] over the image, the last axis first.
#include "ir/op.h"
#include "ir/ops/sampling.h"
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

constexpr double kCubic = -0.75;

enum class Mode { nearest, linear, cubic };

Mode mode_of(const Node& n) {
  const std::string& mode = n.s("mode");
  if (mode == "nearest") return Mode::nearest;
  if (mode == "linear" || mode == "bilinear") return Mode::linear;
  require(mode == "cubic" || mode == "bicubic", "mode '", mode, "' is none of linear, nearest, cubic");
  return Mode::cubic;
}

std::vector<Type> infer(const Node& n) {
  const Type &x = n.in_type(0), &grid = n.in_type(1);
  const int64_t axes = x.rank() - 2;
  require(is_float(x.dtype) && axes >= 1 && axes <= 3, "input ", to_string(x),
          " must be floats with a batch, a channel and 1 to 3 spatial axes");
  require(compute_type(grid.dtype) == compute_type(x.dtype), "the grid is ", name(grid.dtype), ", the input ",
          name(x.dtype));
  require(grid.rank() == x.rank() && grid.dims[0] == x.dims[0] && grid.dims.back() == axes, "grid ",
          to_string(grid.dims), " does not fit an input ", to_string(x.dims));
  require(mode_of(n) != Mode::cubic || axes <= 2, "cubic interpolation over ", axes, " axes");
  for (int64_t d : spatial_of(x.dims)) require(d >= 1, "input ", to_string(x.dims), " is empty");
  const std::string& padding = n.s("padding_mode");
  require(padding == "zeros" || padding == "border" || padding == "reflection", "padding_mode '", padding,
          "' is none of zeros, border, reflection");
  Dims out{x.dims[0], x.dims[1]};
  out.insert(out.end(), grid.dims.begin() + 1, grid.dims.end() - 1);
  element_count(out);
  return {{x.dtype, out}};
}

Value clipped(Value v, double low, double high) {
  return minimum(maximum(v, constant_like(v, low)), constant_like(v, high));
}

// Coordinates outside of the image as its padding has them.
Value padded(const Node& n, Value v, int64_t extent) {
  const auto last = static_cast<double>(extent - 1);
  if (n.s("padding_mode") == "zeros") return v;
  if (n.s("padding_mode") == "reflection") {
    // At the centres of the border elements, or at their outer edges.
    const bool corners = n.i("align_corners") != 0;
    const double low = corners ? 0 : -0.5, span = corners ? last : last + 1;
    if (span == 0) return v * 0.0;
    Value distance = abs(v - low), flips = floor(distance / span), rest = distance - flips * span;
    Value even = equal(flips, floor(flips / 2.0) * 2.0);
    v = where(even, rest, span - rest) + low;
  }
  return clipped(v, 0, last);
}

// Weights of the four neighbours of a place `t` behind the second one: Keys' kernel.
Values cubic_weights(Value t) {
  const double a = kCubic;
  auto outer = [&](Value d) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; };  // 1 <= d < 2
  auto inner = [&](Value d) { return (d * (a + 2) - (a + 3)) * d * d + 1.0; };      // d <= 1
  return {outer(t + 1.0), inner(t), inner(1.0 - t), outer(2.0 - t)};
}

Value sample_cubic(const Node& n, Value images, const Dims& space, const Values& at) {
  Values low;
  std::vector<Values> weights;
  for (const Value& v : at) {
    low.push_back(floor(v));
    weights.push_back(cubic_weights(v - low.back()));
  }
  size_t taps = 1;
  for (size_t a = 0; a < space.size(); a++) taps *= 4;
  Value sum;
  for (size_t tap = 0; tap < taps; tap++) {
    Values place;
    Value weight;
    for (size_t a = 0, rest = tap; a < space.size(); a++, rest /= 4) {
      place.push_back(padded(n, low[a] + (static_cast<double>(rest % 4) - 1), space[a]));
      weight = weight ? weight * weights[a][rest % 4] : weights[a][rest % 4];
    }
    Value term = sample_at(images, space, place) * weight;
    sum = sum ? sum + term : term;
  }
  return sum;
}

Values expand_grid_sample(Graph&, const Node& n, const Values& in) {
  const Dims &x = in[0].dims(), &grid = in[1].dims(), space = spatial_of(x);
  const int64_t points = element_count({grid.begin() + 1, grid.end() - 1}), axes = grid.back();
  const Mode mode = mode_of(n);
  Value places = transpose(reshape(in[1], {x[0], points, axes}), {0, 2, 1});
  Values at;
  for (int64_t a = 0; a < axes; a++) {
    Value g = slice(places, {axes - 1 - a}, {axes - a}, {1}, {1});
    const auto extent = static_cast<double>(space[static_cast<size_t>(a)]);
    Value v = n.i("align_corners") != 0 ? (g + 1.0) * ((extent - 1) / 2) : ((g + 1.0) * extent - 1.0) / 2.0;
    // Cubic interpolation pads each of its neighbours instead.
    if (mode != Mode::cubic) v = padded(n, v, space[static_cast<size_t>(a)]);
    at.push_back(mode == Mode::nearest ? apply("Round", {v}) : v);
  }
  Value images = reshape(in[0], {x[0], x[1], element_count(space)});
  Value y = mode == Mode::nearest  ? sample_at(images, space, at)
            : mode == Mode::linear ? sample_linear(images, space, at)
                                   : sample_cubic(n, images, space, at);
  return {reshape(y, n.type().dims)};
}

const OpDef grid_sample = {
    .name = "GridSample",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"mode", "linear"}, {"padding_mode", "zeros"}, {"align_corners", 0}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_grid_sample,
    .f32_inputs = {1},
};
MEZZO_REGISTER_OP(grid_sample);

}  // namespace
}  // namespace mezzo::ir
