// roi_align.cpp: ONNX RoiAlign: every cell of a grid over a region is the mean (or maximum) of
// sampling_ratio^2 places in it, read by linear interpolation. Regions get no gradient. MaxUnpool: pooled
// maxima put back where they were found.
#include "ir/indexing.h"
#include "ir/op.h"
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

struct Regions {
  int64_t count, channels, rows, columns, samples;
};

Regions regions_of(const Node& n) {
  const Type &x = n.in_type(0), &rois = n.in_type(1), &batch = n.in_type(2);
  require(is_float(x.dtype) && x.rank() == 4, "input ", to_string(x), " must be floats [N, C, H, W]");
  require(x.dims[0] >= 1 && x.dims[2] >= 1 && x.dims[3] >= 1, "input ", to_string(x.dims), " is empty");
  require(rois.rank() == 2 && rois.dims[1] == 4 && compute_type(rois.dtype) == compute_type(x.dtype),
          "rois are ", to_string(rois), ", expected floats [regions, 4]");
  require(is_integer(batch.dtype) && batch.dims == Dims{rois.dims[0]}, "batch_indices are ", to_string(batch),
          ", expected integers [", rois.dims[0], "]");
  const Regions r{rois.dims[0], x.dims[1], n.i("output_height"), n.i("output_width"), n.i("sampling_ratio")};
  require(r.rows >= 1 && r.columns >= 1, "the output is empty");
  if (r.samples < 1)
    throw Error(ErrorCode::unsupported, "sampling_ratio 0: the number of samples would depend on the regions",
                "", "export with a positive sampling_ratio, such as 2");
  require(n.s("mode") == "avg" || n.s("mode") == "max", "mode '", n.s("mode"), "' is neither avg nor max");
  const std::string& where = n.s("coordinate_transformation_mode");
  require(where == "half_pixel" || where == "output_half_pixel", "coordinate_transformation_mode '", where,
          "' is neither half_pixel nor output_half_pixel");
  return r;
}

// One axis: the sampled places of all regions, [regions, cells * samples].
struct Line {
  Value low, high;  // neighbours, i64
  Value part;       // weight of `high`
  Value inside;
};

Line line(const Node& n, Value rois, int64_t first_column, int64_t cells, int64_t samples, int64_t extent) {
  const bool half = n.s("coordinate_transformation_mode") == "half_pixel";
  const double scale = n.f("spatial_scale");
  auto edge = [&](int64_t column) {
    return slice(rois, {column}, {column + 1}, {1}, {1}) * scale - (half ? 0.5 : 0.0);
  };
  Value start = edge(first_column), size = edge(first_column + 2) - start;
  if (!half) size = maximum(size, constant_like(size, 1));
  Value at = iota(rois.node->graph(), {1, cells * samples}, 1, rois.dtype());
  Value place = start + size * ((at + 0.5) / static_cast<double>(cells * samples));
  Line out;
  const auto last = static_cast<double>(extent - 1);
  out.inside = logical_and(less_equal(constant_like(place, -1), place),
                           less_equal(place, constant_like(place, static_cast<double>(extent))));
  place = where(out.inside, minimum(maximum(place, constant_like(place, 0)), constant_like(place, last)),
                constant_like(place, 0));
  Value low = floor(place);
  out.part = place - low;
  out.low = cast(low, DType::i64);
  out.high = cast(minimum(low + 1.0, constant_like(low, last)), DType::i64);
  return out;
}

Values expand_roi_align(Graph&, const Node& n, const Values& in) {
  const Regions r = regions_of(n);
  const Dims& x = in[0].dims();
  const int64_t rows = r.rows * r.samples, columns = r.columns * r.samples;
  const Line vertical = line(n, in[1], 1, r.rows, r.samples, x[2]);
  const Line horizontal = line(n, in[1], 0, r.columns, r.samples, x[3]);
  // [regions, rows, 1], [regions, 1, columns]
  auto down = [&](Value v) { return reshape(v, {r.count, rows, 1}); };
  auto across = [&](Value v) { return reshape(v, {r.count, 1, columns}); };
  Value image = reshape(cast(in[2], DType::i64), {r.count, 1, 1}) * static_cast<double>(x[2]);
  Value images = reshape(transpose(in[0], {1, 0, 2, 3}), {r.channels, x[0] * x[2] * x[3]});
  Value inside = logical_and(down(vertical.inside), across(horizontal.inside));
  Values corners;
  for (bool lower : {false, true})
    for (bool right : {false, true}) {
      Value place = (image + down(lower ? vertical.high : vertical.low)) * static_cast<double>(x[3]) +
                    across(right ? horizontal.high : horizontal.low);
      Value weight = down(lower ? vertical.part : 1.0 - vertical.part) *
                     across(right ? horizontal.part : 1.0 - horizontal.part);
      weight = reshape(where(inside, weight, constant_like(weight, 0)), {1, r.count * rows * columns});
      Value found = take_along_axis(images, reshape(place, {1, r.count * rows * columns}), 1);
      corners.push_back(found * weight);
    }
  const Dims cells{r.channels, r.count, r.rows, r.samples, r.columns, r.samples};
  Value y;
  if (n.s("mode") == "avg") {
    y = reduce_mean(reshape(corners[0] + corners[1] + corners[2] + corners[3], cells), {3, 5});
  } else {  // of the weighted neighbours, not of the interpolated places: so the operator is defined
    Value top = maximum(maximum(corners[0], corners[1]), maximum(corners[2], corners[3]));
    y = reduce_max(reshape(top, cells), {3, 5});
  }
  return {transpose(reshape(y, {r.channels, r.count, r.rows, r.columns}), {1, 0, 2, 3})};
}

const OpDef roi_align = {
    .name = "RoiAlign",
    .min_inputs = 3,
    .max_inputs = 3,
    .attrs = {{"coordinate_transformation_mode", "half_pixel"},
              {"mode", "avg"},
              {"output_height", 1},
              {"output_width", 1},
              {"sampling_ratio", 0},
              {"spatial_scale", 1.0}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Regions r = regions_of(n);
      const Dims out{r.count, r.channels, r.rows, r.columns};
      element_count(out);
      return {{n.in_type(0).dtype, out}};
    },
    .expand = expand_roi_align,
    .no_grad_inputs = {1},
    .f32_inputs = {1},
};
MEZZO_REGISTER_OP(roi_align);

// The extents that a MaxPool with these attributes has read.
Dims unpooled_dims(const Node& n) {
  const Type& x = n.in_type(0);
  const Ints& kernel = n.ints("kernel_shape");
  const size_t axes = kernel.size();
  require(x.rank() >= 3 && x.dims.size() == axes + 2, "input ", to_string(x.dims),
          " does not fit a kernel of ", axes, " axes");
  auto numbers = [&](std::string_view attr, size_t count, int64_t fallback) {
    Ints v(count, fallback);
    if (n.has_attr(attr) && !n.ints(attr).empty()) v = n.ints(attr);
    require(v.size() == count, attr, " has ", v.size(), " numbers, expected ", count);
    for (int64_t k : v) require(k >= 0 && k < (int64_t{1} << 31), attr, " ", k, " is out of range");
    return v;
  };
  const Ints pads = numbers("pads", 2 * axes, 0), strides = numbers("strides", axes, 1);
  Ints out;
  for (size_t i = 0; i < axes; i++) {
    require(kernel[i] >= 1 && kernel[i] < (int64_t{1} << 31), "kernel extent ", kernel[i]);
    out.push_back(element_count({x.dims[i + 2] - 1, strides[i]}) + kernel[i] - pads[i] - pads[axes + i]);
    require(out.back() >= 1, "the output is empty");
  }
  return with_spatial(x.dims, out);
}

Dims unpool_result(const Node& n) {
  const Dims inferred = unpooled_dims(n);
  if (!n.has_attr("output_shape")) return inferred;
  const Dims& out = n.ints("output_shape");
  require(out.size() == inferred.size() && out[0] == inferred[0] && out[1] == inferred[1], "output_shape ",
          to_string(out), " does not fit ", to_string(inferred));
  element_count(out);
  return out;
}

// Indices count in the tensor that was pooled; a larger output_shape adds zeros behind it.
const OpDef max_unpool = {
    .name = "MaxUnpool",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"kernel_shape", Ints{}, AttrSpec::required},
              {"pads", Ints{}, AttrSpec::optional},
              {"strides", Ints{}, AttrSpec::optional},
              {"output_shape", Ints{}, AttrSpec::optional}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      require(n.in_type(1).dims == n.in_type(0).dims, "indices ", to_string(n.in_type(1).dims),
              " must have the shape of the input ", to_string(n.in_type(0).dims));
      check_indices(n.in_type(1));
      return {{n.in_type(0).dtype, unpool_result(n)}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Dims inferred = unpooled_dims(n), &out = n.type().dims;
      const int64_t count = in[0].type().count();
      Value flat = scatter_along_axis({}, reshape(in[1], {count}), reshape(in[0], {count}), 0,
                                      element_count(inferred), "none");
      Ints begin(out.size()), end;
      for (size_t i = 0; i < out.size(); i++) end.push_back(out[i] - inferred[i]);
      return {pad(reshape(flat, inferred), begin, end)};
    },
    .constant_inputs = {{2, "output_shape"}},
};
MEZZO_REGISTER_OP(max_unpool);

}  // namespace
}  // namespace mezzo::ir
