// resize.cpp: ONNX Resize in its newest form (opset 19): nearest, linear and cubic interpolation, axis by
// axis. Where an output reads follows from its number alone, so that with static shapes each axis is a
// constant linear map: resample.h.
#include <algorithm>
#include <cmath>

#include "ir/op.h"
#include "ir/ops/resample.h"

namespace mezzo::ir {
namespace {

struct ResizedAxis {
  int64_t axis = 0, in = 0, out = 0;
  double scale = 1;           // out / in before rounding to whole extents
  double start = 0, end = 1;  // of the region of interest
};

// Attribute `attr`, an entry per resized axis; empty when it is not given.
template <class T>
std::vector<T> per_axis(const Node& n, std::string_view attr, size_t count) {
  if (!n.has_attr(attr)) return {};
  std::vector<T> values = std::get<std::vector<T>>(n.attr(attr));
  require(values.empty() || values.size() == count, attr, " has ", values.size(), " numbers for ", count,
          " axes");
  return values;
}

std::vector<ResizedAxis> resized_axes(const Node& n) {
  const Dims& x = n.in_type(0).dims;
  Ints axes;
  if (n.has_attr("axes") && !n.ints("axes").empty())
    axes = n.ints("axes");
  else
    for (int64_t a = 0; a < n.in_type(0).rank(); a++) axes.push_back(a);
  const std::vector<double> scales = per_axis<double>(n, "scales", axes.size());
  Ints sizes = per_axis<int64_t>(n, "sizes", axes.size());
  require(scales.empty() != sizes.empty() || axes.empty(), "exactly one of scales and sizes must be given");
  const bool crops = n.s("coordinate_transformation_mode") == "tf_crop_and_resize";
  const std::vector<double> roi = crops ? per_axis<double>(n, "roi", 2 * axes.size()) : std::vector<double>{};
  require(!crops || !roi.empty(), "tf_crop_and_resize needs a region of interest (roi)");
  std::vector<bool> seen(x.size());
  std::vector<ResizedAxis> out;
  for (size_t i = 0; i < axes.size(); i++) {
    ResizedAxis r;
    r.axis = normalize_axis(axes[i], n.in_type(0).rank());
    require(!seen[static_cast<size_t>(r.axis)], "axis ", r.axis, " is given twice");
    seen[static_cast<size_t>(r.axis)] = true;
    r.in = x[static_cast<size_t>(r.axis)];
    if (sizes.empty()) {
      require(scales[i] > 0 && std::isfinite(scales[i]), "scale ", scales[i], " must be positive");
      r.scale = scales[i];
      // In f32, as scales are stored: 10 * 0.7 is 7.
      const float extent = std::floor(static_cast<float>(r.in) * static_cast<float>(scales[i]));
      require(extent < 1e12f, "scale ", scales[i], " makes an extent of ", extent);
      r.out = static_cast<int64_t>(extent);
    } else {
      require(sizes[i] >= 0, "size ", sizes[i], " is negative");
      r.out = sizes[i];
      r.scale = r.in > 0 ? static_cast<double>(r.out) / static_cast<double>(r.in) : 1;
    }
    require(r.in > 0 || r.out == 0, "axis ", r.axis, " has no elements to make ", r.out, " of");
    if (crops) r.start = roi[i], r.end = roi[axes.size() + i];
    out.push_back(r);
  }
  const std::string& policy = n.s("keep_aspect_ratio_policy");
  require(policy == "stretch" || policy == "not_larger" || policy == "not_smaller",
          "keep_aspect_ratio_policy '", policy, "' is none of stretch, not_larger, not_smaller");
  if (policy != "stretch" && !sizes.empty()) {
    auto by_scale = [](const ResizedAxis& a, const ResizedAxis& b) { return a.scale < b.scale; };
    const double scale = policy == "not_larger" ? std::min_element(out.begin(), out.end(), by_scale)->scale
                                                : std::max_element(out.begin(), out.end(), by_scale)->scale;
    for (ResizedAxis& r : out) {
      r.scale = scale;
      r.out = static_cast<int64_t>(std::floor(scale * static_cast<double>(r.in) + 0.5));
    }
  }
  return out;
}

// Where output `o` lies on the input's axis.
double coordinate(const std::string& mode, const ResizedAxis& r, int64_t o) {
  const auto x = static_cast<double>(o), in = static_cast<double>(r.in);
  const double resized =
      std::abs(r.scale * in - static_cast<double>(r.out)) < 1e-6 ? static_cast<double>(r.out) : r.scale * in;
  if (mode == "align_corners") return resized == 1 ? 0 : x * (in - 1) / (resized - 1);
  if (mode == "asymmetric") return x / r.scale;
  if (mode == "tf_half_pixel_for_nn") return (x + 0.5) / r.scale;
  if (mode == "tf_crop_and_resize") {
    const double span = (r.end - r.start) * (in - 1);
    return r.start * (in - 1) + (resized == 1 ? span / 2 : x * span / (resized - 1));
  }
  if (mode == "pytorch_half_pixel" && r.out <= 1) return 0;
  const double half = (x + 0.5) / r.scale - 0.5;
  if (mode == "half_pixel_symmetric")
    return in / 2 * (1 - static_cast<double>(r.out) / (r.scale * in)) + half;
  require(mode == "half_pixel" || mode == "pytorch_half_pixel", "unknown coordinate_transformation_mode '",
          mode, "'");
  return half;
}

int64_t nearest(const std::string& mode, double x) {
  if (mode == "round_prefer_floor") return static_cast<int64_t>(std::ceil(x - 0.5));
  if (mode == "round_prefer_ceil") return static_cast<int64_t>(std::floor(x + 0.5));
  if (mode == "floor") return static_cast<int64_t>(std::floor(x));
  require(mode == "ceil", "unknown nearest_mode '", mode, "'");
  return static_cast<int64_t>(std::ceil(x));
}

double triangle(double x) { return std::max(0.0, 1 - std::abs(x)); }

// Keys' kernel with parameter a.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// With antialias a shrinking axis stretches the kernel over 1/scale inputs. The output lies between taps
// width/2 - 1 and width/2 (on the latter, if on one).
Taps taps_of(const Node& n, const ResizedAxis& r) {
  const std::string &mode = n.s("mode"), &where = n.s("coordinate_transformation_mode");
  const bool linear = mode == "linear";
  require(linear || mode == "cubic" || mode == "nearest", "unknown mode '", mode, "'");
  Taps taps;
  if (mode == "nearest") {
    for (int64_t o = 0; o < r.out; o++) {
      taps.first.push_back(
          std::clamp<int64_t>(nearest(n.s("nearest_mode"), coordinate(where, r, o)), -r.in, 2 * r.in));
      taps.weights.push_back(1);
    }
    return taps;
  }
  const double stretch = n.i("antialias") != 0 ? std::min(r.scale, 1.0) : 1, a = n.f("cubic_coeff_a");
  const auto half = static_cast<int64_t>(std::ceil((linear ? 1 : 2) / stretch));
  require(half < (int64_t{1} << 20), "scale ", r.scale, " is too small");
  taps.width = 2 * half;
  for (int64_t o = 0; o < r.out; o++) {
    const double x = coordinate(where, r, o);
    const auto left = static_cast<int64_t>(std::ceil(x)) - 1;
    taps.first.push_back(left - half + 1);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t k = 0; k < taps.width; k++) {
      const int64_t at = taps.first.back() + k;
      const double distance = (static_cast<double>(at) - x) * stretch;
      double w = linear ? triangle(distance) : cubic(distance, a);
      if (n.i("exclude_outside") != 0 && (at < 0 || at >= r.in)) w = 0;
      weights.push_back(w);
      sum += w;
    }
    if (stretch == 1 && n.i("exclude_outside") == 0) sum = 1;
    for (double w : weights) taps.weights.push_back(sum == 0 ? 0 : w / sum);
  }
  return taps;
}

std::vector<Type> infer(const Node& n) {
  Type out = n.in_type(0);
  require(n.s("mode") == "nearest" || is_float(out.dtype), "mode ", n.s("mode"), " on ", name(out.dtype),
          "; only nearest moves integers");
  for (const ResizedAxis& r : resized_axes(n)) out.dims[static_cast<size_t>(r.axis)] = r.out;
  element_count(out.dims);
  return {out};
}

Values expand_resize(Graph& to, const Node& n, const Values& in) {
  const std::string& coordinates = n.s("coordinate_transformation_mode");
  Value y = in[0], inside;
  if (n.type().count() == 0) return {reshape(to.constant(Tensor(Type{y.dtype(), {0}})), n.type().dims)};
  for (const ResizedAxis& r : resized_axes(n)) {
    if (coordinates == "tf_crop_and_resize") {
      Dims line(y.dims().size(), 1);
      line[static_cast<size_t>(r.axis)] = r.out;
      std::vector<double> within;
      for (int64_t o = 0; o < r.out; o++) {
        const double x = coordinate(coordinates, r, o);
        within.push_back(x >= 0 && x <= static_cast<double>(r.in - 1));
      }
      if (std::count(within.begin(), within.end(), 1) < r.out) {
        Value here = to.constant(Tensor::of(line, within, DType::boolean));
        inside = inside ? logical_and(inside, here) : here;
      }
    } else if (r.out == r.in && r.scale == 1) {
      continue;
    }
    y = resample(y, r.axis, taps_of(n, r), n.s("mode") == "nearest");
  }
  return {inside ? ir::where(inside, y, constant_like(y, n.f("extrapolation_value"))) : y};
}

const OpDef resize = {
    .name = "Resize",
    .attrs = {{"mode", "nearest"},
              {"coordinate_transformation_mode", "half_pixel"},
              {"nearest_mode", "round_prefer_floor"},
              {"cubic_coeff_a", -0.75},
              {"exclude_outside", 0},
              {"extrapolation_value", 0.0},
              {"antialias", 0},
              {"keep_aspect_ratio_policy", "stretch"},
              {"axes", Ints{}, AttrSpec::optional},
              {"roi", Floats{}, AttrSpec::optional},
              {"scales", Floats{}, AttrSpec::optional},
              {"sizes", Ints{}, AttrSpec::optional}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_resize,
    .constant_inputs = {{1, "roi"}, {2, "scales"}, {3, "sizes"}},
};
MEZZO_REGISTER_OP(resize);

}  // namespace
}  // namespace mezzo::ir
