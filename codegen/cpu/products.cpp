// products.cpp: who computes matrix products and convolutions.
#include "codegen/cpu/products.h"

#include <algorithm>
#include <bit>

#include "codegen/alignment.h"
#include "codegen/cpu/tile_kernel.h"
#include "ir/op.h"

namespace mezzo::codegen::cpu {
namespace {

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
    scratch_bytes += host_aligned(t.count() * 4);
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

// Whether tiles are worth bringing operands into their order: not for a few rows, and not for few channels.
bool fills_tiles(const ir::Node& node, ProductKind kind) {
  if (kind == ProductKind::dot) return node.type().dims[node.type().dims.size() - 2] >= kTileRows;
  const ConvolutionSizes s = convolution_sizes(node, kind);
  return std::min(s.channels, s.filters) >= kTileColumns;
}

}  // namespace

// The conversions of bf16 stand here as well as in ir/type.cpp, branch-free, so that the loops become
// vectors.
void widen(ir::DType from, const std::byte* in, float* out, int64_t begin, int64_t end) {
  const auto* bits = reinterpret_cast<const uint16_t*>(in);
  if (tile_kernel_available()) return widen_run(from, bits + begin, out + begin, end - begin);
  if (from == ir::DType::bf16)
    for (int64_t i = begin; i < end; i++) out[i] = std::bit_cast<float>(static_cast<uint32_t>(bits[i]) << 16);
  else
    for (int64_t i = begin; i < end; i++) out[i] = ir::f16_to_f32(bits[i]);
}

void narrow(ir::DType to, const float* in, std::byte* out, int64_t begin, int64_t end) {
  auto* bits = reinterpret_cast<uint16_t*>(out);
  if (tile_kernel_available()) return narrow_run(to, in + begin, bits + begin, end - begin);
  if (to == ir::DType::bf16)
    for (int64_t i = begin; i < end; i++) {
      auto u = std::bit_cast<uint32_t>(in[i]);
      uint32_t rounded = u + 0x7fff + ((u >> 16) & 1), quiet = u | 0x400000;
      bits[i] = static_cast<uint16_t>(((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
    }
  else
    for (int64_t i = begin; i < end; i++) bits[i] = ir::f32_to_f16(in[i]);
}

std::unique_ptr<Launch> lower_product(const ir::Node& node, ProductKind kind, std::string name,
                                      Threads threads) {
  ir::DType operands = node.in_type(0).dtype, result = node.type().dtype;
  if (!ir::is_float(operands)) return nullptr;
  std::unique_ptr<Launch> launch;
  if (tile_kernel_preferred() && fills_tiles(node, kind)) launch = tiled_product(node, kind, threads);
  if (!launch) launch = onednn_product(node, kind, operands, result, threads);
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
