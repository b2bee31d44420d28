// products.cpp: sizes of matrix products and convolutions, and the choice of who computes them.
#include "codegen/cpu/products.h"

#include <algorithm>
#include <bit>

#include "ir/op.h"

namespace mezzo::codegen::cpu {
namespace {

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// 16-bit storage around a product in f32: operands are widened, the accumulator is rounded once.
class Widened : public Launch {
 public:
  Widened(const ir::Node& node, std::unique_ptr<Launch> inner, Threads threads)
      : inner_(std::move(inner)), threads_(threads), result_(node.input_count()) {
    info.detail = inner_->info.detail + " +widen";
    for (size_t i = 0; i < node.input_count(); i++)
      if (node.has(i) && ir::is_low(node.in_type(i).dtype)) add(i, node.in_type(i));
    if (ir::is_low(node.type().dtype)) add(result_, node.type());
    own_ = scratch_bytes;
    scratch_bytes += inner_->scratch_bytes;
    pointers_.resize(result_ + 1);
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    std::copy_n(arguments, pointers_.size(), pointers_.begin());
    for (const Port& p : ports_) {
      auto* wide = reinterpret_cast<float*>(scratch + p.offset);
      pointers_[p.argument] = scratch + p.offset;
      if (p.argument != result_)
        share(p.count, [&](int64_t lo, int64_t hi) { widen(p.dtype, arguments[p.argument], wide, lo, hi); });
    }
    inner_->run(pointers_.data(), scratch + own_);
    for (const Port& p : ports_)
      if (p.argument == result_)
        share(p.count, [&](int64_t lo, int64_t hi) {
          narrow(p.dtype, reinterpret_cast<const float*>(scratch + p.offset), arguments[result_], lo, hi);
        });
  }

 private:
  struct Port {
    size_t argument;
    ir::DType dtype;
    int64_t count, offset;
  };
  void add(size_t argument, const ir::Type& t) {
    ports_.push_back({argument, t.dtype, t.count(), scratch_bytes});
    scratch_bytes += aligned(t.count() * 4);
  }
  template <class F>
  void share(int64_t count, F f) const {
    int parts = threads_.worth(count) ? threads_.count : 1;
    if (parts == 1) return f(0, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int t = 0; t < parts; t++) f(count * t / parts, count * (t + 1) / parts);
  }

  std::unique_ptr<Launch> inner_;
  Threads threads_;
  size_t result_;
  std::vector<Port> ports_;
  std::vector<std::byte*> pointers_;
  int64_t own_ = 0;
};

}  // namespace

// The conversions of bf16 stand here as well as in ir/type.cpp, branch-free, so that the loops become
// vectors.
void widen(ir::DType from, const std::byte* in, float* out, int64_t begin, int64_t end) {
  const auto* bits = reinterpret_cast<const uint16_t*>(in);
  if (from == ir::DType::bf16)
    for (int64_t i = begin; i < end; i++) out[i] = std::bit_cast<float>(static_cast<uint32_t>(bits[i]) << 16);
  else
    for (int64_t i = begin; i < end; i++) out[i] = ir::f16_to_f32(bits[i]);
}

void narrow(ir::DType to, const float* in, std::byte* out, int64_t begin, int64_t end) {
  auto* bits = reinterpret_cast<uint16_t*>(out);
  if (to == ir::DType::bf16)
    for (int64_t i = begin; i < end; i++) {
      auto u = std::bit_cast<uint32_t>(in[i]);
      uint32_t rounded = u + 0x7fff + ((u >> 16) & 1), quiet = u | 0x400000;
      bits[i] = static_cast<uint16_t>(((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
    }
  else
    for (int64_t i = begin; i < end; i++) bits[i] = ir::f32_to_f16(in[i]);
}

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

ConvolutionSizes convolution_sizes(const ir::Node& n, ProductKind kind) {
  bool last = n.i("channels_last") != 0;
  const ir::Dims& xd = kind == ProductKind::input_grad ? n.ints("shape") : n.in_type(0).dims;
  const ir::Dims& wd = kind == ProductKind::weight_grad ? n.ints("shape") : n.in_type(1).dims;
  const ir::Dims& yd = kind == ProductKind::convolution  ? n.type().dims
                       : kind == ProductKind::input_grad ? n.in_type(0).dims
                                                         : n.in_type(1).dims;
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

std::unique_ptr<Launch> lower_product(const ir::Node& node, ProductKind kind, std::string name,
                                      Threads threads) {
  ir::DType operands = node.in_type(0).dtype, result = node.type().dtype;
  if (!ir::is_float(operands)) return nullptr;
  std::unique_ptr<Launch> launch = onednn_product(node, kind, operands, result, threads);
  if (!launch) {
    ir::DType wide = ir::compute_type(operands);
    launch = onednn_product(node, kind, wide, wide, threads);
    if (!launch) launch = own_product(node, kind, wide, threads);
    if (launch && ir::is_low(operands)) launch = std::make_unique<Widened>(node, std::move(launch), threads);
  }
  if (!launch) return nullptr;
  launch->info = describe(node, std::move(name), launch->info.detail);
  launch->info.flops = product_flops(node, kind);
  return launch;
}

}  // namespace mezzo::codegen::cpu
