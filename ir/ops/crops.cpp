// crops.cpp: ONNX CenterCropPad, Col2Im and AffineGrid.
#include "ir/build.h"
#include "ir/op.h"
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

// `shape` has an entry per axis of `axes` (default: all).
Dims center_dims(const Node& n) {
  Dims dims = n.in_type(0).dims;
  Ints axes;
  if (n.has_attr("axes"))
    axes = n.ints("axes");
  else
    for (int64_t a = 0; a < n.in_type(0).rank(); a++) axes.push_back(a);
  require(axes.size() == n.ints("shape").size(), "shape has ", n.ints("shape").size(), " numbers for ",
          axes.size(), " axes");
  for (size_t i = 0; i < axes.size(); i++) {
    require(n.ints("shape")[i] >= 0, "extent ", n.ints("shape")[i], " is negative");
    dims[static_cast<size_t>(normalize_axis(axes[i], n.in_type(0).rank()))] = n.ints("shape")[i];
  }
  element_count(dims);
  return dims;
}

const OpDef center_crop_pad = {
    .name = "CenterCropPad",
    .attrs = {{"shape", Ints{}, AttrSpec::required}, {"axes", Ints{}, AttrSpec::optional}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      return {{n.in_type(0).dtype, center_dims(n)}};
    },
    // An odd difference: one more is padded behind, and one more is cropped behind.
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Dims &from = in[0].dims(), &to = n.type().dims;
      Ints begin, end;
      for (size_t i = 0; i < from.size(); i++) {
        const int64_t difference = to[i] - from[i];
        begin.push_back(difference / 2);
        end.push_back(difference - begin.back());
      }
      return {pad(in[0], begin, end)};
    },
    .constant_inputs = {{1, "shape"}},
};
MEZZO_REGISTER_OP(center_crop_pad);

struct Blocks {
  WindowSpec windows;
  int64_t channels = 0;
};

Blocks blocks_of(const Node& n) {
  const Type& x = n.in_type(0);
  const Ints &image = n.ints("image_shape"), &block = n.ints("block_shape");
  const size_t axes = image.size();
  require(x.rank() == 3, "input ", to_string(x.dims), " must be [N, C * block, blocks]");
  require(axes >= 1 && block.size() == axes, "image_shape and block_shape need one entry per spatial axis");
  auto numbers = [&](std::string_view attr, size_t count, int64_t fallback, int64_t least) {
    Ints v(count, fallback);
    if (n.has_attr(attr) && !n.ints(attr).empty()) v = n.ints(attr);
    require(v.size() == count, attr, " has ", v.size(), " numbers, expected ", count);
    for (int64_t k : v) require(k >= least && k < (int64_t{1} << 31), attr, " ", k, " is out of range");
    return v;
  };
  const Ints pads = numbers("pads", 2 * axes, 0, 0);
  Blocks b;
  b.windows = {block,
               numbers("strides", axes, 1, 1),
               numbers("dilations", axes, 1, 1),
               {pads.begin(), pads.begin() + static_cast<int64_t>(axes)},
               {},
               int64_t{2}};
  for (size_t i = 0; i < axes; i++) {
    require(block[i] >= 1 && image[i] >= 1, "image_shape and block_shape must be positive");
    const int64_t room = image[i] + pads[i] + pads[axes + i] - ((block[i] - 1) * b.windows.dilations[i] + 1);
    require(room >= 0, "a block does not fit into the padded extent of axis ", i);
    b.windows.outputs.push_back(room / b.windows.strides[i] + 1);
  }
  const int64_t size = element_count(block), count = element_count(b.windows.outputs);
  require(x.dims[1] % size == 0 && x.dims[2] == count, "input ", to_string(x.dims),
          " is not made of blocks of ", size, " at ", count, " places");
  b.channels = x.dims[1] / size;
  return b;
}

Dims joined(Dims a, const Ints& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// [N, C * K, O] as [N, C, K..., O...], and the order that makes it [N, C, O..., K...].
Dims blocks_first(int64_t batch, const Blocks& b) {
  return joined(joined({batch, b.channels}, b.windows.kernel), b.windows.outputs);
}
Ints places_first(const Blocks& b) {
  const auto axes = static_cast<int64_t>(b.windows.kernel.size());
  Ints perm{0, 1};
  for (int64_t i = 0; i < axes; i++) perm.push_back(2 + axes + i);
  for (int64_t i = 0; i < axes; i++) perm.push_back(2 + i);
  return perm;
}

// The sum of overlapping blocks: the gradient of taking them.
const OpDef col2im = {
    .name = "Col2Im",
    .attrs = {{"image_shape", Ints{}, AttrSpec::required},
              {"block_shape", Ints{}, AttrSpec::required},
              {"dilations", Ints{}, AttrSpec::optional},
              {"pads", Ints{}, AttrSpec::optional},
              {"strides", Ints{}, AttrSpec::optional}},
    .precision = Precision::unbounded,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Dims out = joined({n.in_type(0).dims.empty() ? 0 : n.in_type(0).dims[0], blocks_of(n).channels},
                              n.ints("image_shape"));
      element_count(out);
      return {{n.in_type(0).dtype, out}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Blocks b = blocks_of(n);
      Value v = transpose(reshape(in[0], blocks_first(in[0].dims()[0], b)), places_first(b));
      const auto axes = static_cast<int64_t>(b.windows.kernel.size());
      return {reduce_sum(unwindow(v, b.windows, n.ints("image_shape")), axis_range(2 + axes, 2 + 2 * axes),
                         false)};
    },
    .grad = [](Grad& g) -> Values {
      const Blocks b = blocks_of(g.node);
      Value taken = transpose(window(g.dy[0], b.windows), inverse(places_first(b)));
      return {reshape(taken, g.node.in_type(0).dims)};
    },
    .constant_inputs = {{1, "image_shape"}, {2, "block_shape"}},
};
MEZZO_REGISTER_OP(col2im);

// theta [N, 2, 3] or [N, 3, 4] -> the coordinates [N, (D,) H, W, 2 or 3] that GridSample reads at.
const OpDef affine_grid = {
    .name = "AffineGrid",
    .attrs = {{"size", Ints{}, AttrSpec::required}, {"align_corners", 0}},
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Ints& size = n.ints("size");
      const Type& theta = n.in_type(0);
      require(size.size() == 4 || size.size() == 5, "size has ", size.size(), " numbers, expected 4 or 5");
      const auto axes = static_cast<int64_t>(size.size()) - 2;
      require(is_float(theta.dtype) && theta.dims == Dims{size[0], axes, axes + 1}, "theta is ",
              to_string(theta), ", expected floats [", size[0], ",", axes, ",", axes + 1, "]");
      Dims out{size[0]};
      out.insert(out.end(), size.begin() + 2, size.end());
      out.push_back(axes);
      element_count(out);
      return {{theta.dtype, out}};
    },
    .expand = [](Graph& to, const Node& n, const Values& in) -> Values {
      const Ints& size = n.ints("size");
      const auto axes = static_cast<int64_t>(size.size()) - 2;
      const Dims space(size.begin() + 2, size.end());
      const int64_t points = element_count(space);
      // Rows: x (the last axis), y, z, 1; columns: the grid's points.
      Tensor base(Type{in[0].dtype(), {axes + 1, points}});
      const Dims strides = strides_of(space);
      for (int64_t r = 0; r <= axes; r++)
        for (int64_t p = 0; p < points; p++) {
          if (r == axes) {
            base.set(r * points + p, 1);
            continue;
          }
          const auto axis = static_cast<size_t>(axes - 1 - r);
          const auto extent = static_cast<double>(space[axis]),
                     at = static_cast<double>(p / strides[axis] % space[axis]);
          base.set(r * points + p, n.i("align_corners") != 0 ? (extent == 1 ? 0 : 2 * at / (extent - 1) - 1)
                                                             : (2 * at + 1) / extent - 1);
        }
      Value grid = dot(in[0], to.constant(std::move(base)));  // [N, axes, points]
      return {reshape(transpose(grid, {0, 2, 1}), n.type().dims)};
    },
    .constant_inputs = {{1, "size"}},
};
MEZZO_REGISTER_OP(affine_grid);

}  // namespace
}  // namespace mezzo::ir
