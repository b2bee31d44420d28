#include "codegen/product_sizes.h"

#include "ir/op.h"

namespace mezzo::codegen {

std::optional<ProductKind> product_kind(const ir::Node& n) {
  if (ir::is_dot(n)) return ProductKind::dot;
  if (ir::is_convolution(n)) return ProductKind::convolution;
  if (ir::is_convolution_input_grad(n)) return ProductKind::input_grad;
  if (ir::is_convolution_weight_grad(n)) return ProductKind::weight_grad;
  return std::nullopt;
}

int64_t product_flops(const ir::Node& n, ProductKind kind) {
  if (kind == ProductKind::dot) {
    const ir::Dims& a = n.in_type(0).dims;
    return 2 * n.type().count() * a[a.size() - (n.i("trans_a") != 0 ? 2 : 1)];
  }
  ConvolutionSizes s = convolution_sizes(n, kind);
  int64_t per_output = s.channels / s.groups;
  for (int j = 0; j < 3; j++) per_output *= s.kernel[j] * s.out[j];
  return 2 * s.batch * s.filters * per_output;
}

DotSizes dot_sizes(const ir::Node& n) {
  const ir::Dims &a = n.in_type(0).dims, &b = n.in_type(1).dims, &y = n.type().dims;
  DotSizes s{y[y.size() - 2], y[y.size() - 1], 0, n.i("trans_a") != 0, n.i("trans_b") != 0, {}, {}};
  s.k = a[a.size() - (s.trans_a ? 2 : 1)];
  ir::Dims batch(y.begin(), y.end() - 2), strides = ir::strides_of(batch);
  auto matrix = [&](const ir::Dims& dims, int64_t q) {
    int64_t at = 0;
    size_t lead = y.size() - dims.size();
    for (size_t i = lead; i < batch.size(); i++) {
      int64_t extent = dims[i - lead];
      at = at * extent + (extent == 1 ? 0 : q / strides[i] % batch[i]);
    }
    return at;
  };
  for (int64_t q = 0; q < ir::element_count(batch); q++) {
    s.a.push_back(matrix(a, q));
    s.b.push_back(matrix(b, q));
  }
  return s;
}

ConvolutionDims convolution_dims(const ir::Node& n, ProductKind kind) {
  switch (kind) {
    case ProductKind::input_grad: return {n.ints("shape"), n.in_type(1).dims, n.in_type(0).dims};
    case ProductKind::weight_grad: return {n.in_type(0).dims, n.ints("shape"), n.in_type(1).dims};
    default: return {n.in_type(0).dims, n.in_type(1).dims, n.type().dims};
  }
}

ConvolutionSizes convolution_sizes(const ir::Node& n, ProductKind kind) {
  bool last = n.i("channels_last") != 0;
  const auto [xd, wd, yd] = convolution_dims(n, kind);
  size_t rank = xd.size(), spatial = rank - 2, first = last ? 1 : 2, channel = last ? rank - 1 : 1;
  ir::Dims xs = ir::strides_of(xd), ys = ir::strides_of(yd);
  ConvolutionSizes s{xd[0],     xd[channel], wd[0],     n.i("groups"),
                     {1, 1, 1}, {1, 1, 1},   {1, 1, 1}, {1, 1, 1},
                     {1, 1, 1}, {},          {},        {}};
  s.x[0] = xs[0], s.x[1] = xs[channel];
  s.y[0] = ys[0], s.y[1] = ys[channel];
  for (size_t j = 0; j < spatial; j++) {
    size_t to = 3 - spatial + j;
    s.in[to] = xd[first + j], s.out[to] = yd[first + j], s.kernel[to] = wd[2 + j];
    s.strides[to] = n.ints("strides")[j], s.dilations[to] = n.ints("dilations")[j],
    s.pads[to] = n.ints("pads_begin")[j];
    s.x[2 + to] = xs[first + j], s.y[2 + to] = ys[first + j];
  }
  return s;
}

}  // namespace mezzo::codegen
