// tiled_product.cpp: matrix products and channels-last convolutions as blocked products.
#include <omp.h>

#include <algorithm>

#include "codegen/alignment.h"
#include "codegen/cpu/blocked_product.h"
#include "codegen/cpu/products.h"
#include "codegen/cpu/tile_kernel.h"
#include "ir/op.h"

namespace mezzo::codegen::cpu {
namespace {

constexpr int64_t kParallelFlops = 400000;

// A list of blocked products that share out their parts; what scratch they need stands one after the other.
class Tiled : public Launch {
 protected:
  explicit Tiled(Threads threads) : threads_(threads) {}

  struct Item {
    BlockedProduct product;
    std::vector<ProductPart> parts;
    int64_t sums = 0;             // in the scratch
    int64_t a = 0, b = 0, y = 0;  // bytes from the operands
  };
  // `at`: as many copies of the product, at these offsets of the operands.
  void add(const BlockedProduct& product, int64_t batches) {
    const bool alone = 2 * product.rows * product.columns * product.depth * batches < kParallelFlops;
    if (!alone) workers_ = threads_.count;
    block_bytes_ = std::max(block_bytes_, product.block_bytes());
    Item item{product, divide(product, alone || batches >= 2 * threads_.count ? 1 : threads_.count)};
    items_.insert(items_.end(), static_cast<size_t>(batches), item);
  }
  void reserve() {
    for (size_t i = 0; i < items_.size(); i++) {
      items_[i].sums = scratch_bytes;
      scratch_bytes += items_[i].product.sum_bytes();
      for (const ProductPart& part : items_[i].parts) tasks_.push_back({i, part});
    }
    workers_ = static_cast<int>(std::min<int64_t>(workers_, static_cast<int64_t>(tasks_.size())));
    blocks_ = scratch_bytes;
    scratch_bytes += block_bytes_ * std::max(workers_, 1);
  }
  void multiply(ProductOperands o, std::byte* scratch) const {
#pragma omp parallel for num_threads(std::max(workers_, 1)) schedule(dynamic, 1) if (workers_ > 1)
    for (size_t t = 0; t < tasks_.size(); t++) {
      const Item& i = items_[tasks_[t].item];
      multiply_part(i.product, {o.a + i.a, o.b + i.b, o.bias, o.y + i.y}, tasks_[t].part,
                    scratch + blocks_ + omp_get_thread_num() * block_bytes_,
                    reinterpret_cast<float*>(scratch + i.sums));
    }
  }

  Threads threads_;
  std::vector<Item> items_;
  int workers_ = 1;

 private:
  struct Task {
    size_t item;
    ProductPart part;
  };
  std::vector<Task> tasks_;
  int64_t block_bytes_ = 0, blocks_ = 0;
};

const float* bias_of(const ir::Node& node, std::byte* const* arguments) {
  return node.has(2) ? reinterpret_cast<const float*>(arguments[2]) : nullptr;
}

class TiledDot : public Tiled {
 public:
  TiledDot(const ir::Node& node, DotSizes s, Threads threads)
      : Tiled(threads),
        node_(node),
        a_(node.in_type(0).dtype, s.trans_a ? s.m : s.k, !s.trans_a),
        b_(node.in_type(1).dtype, s.trans_b ? s.k : s.n, s.trans_b) {
    info.detail = "tiled product";
    auto batches = static_cast<int64_t>(s.a.size());
    const bool one_b = std::all_of(s.b.begin(), s.b.end(), [](int64_t q) { return q == 0; });
    bool in_order = true;
    for (size_t q = 0; q < s.a.size(); q++) in_order = in_order && s.a[q] == static_cast<int64_t>(q);
    if (one_b && in_order && !s.trans_a) s.m *= batches, batches = 1;  // rows of one product
    add({s.m, s.n, s.k, &a_, &b_, node.type().dtype}, batches);
    for (size_t q = 0; q < items_.size(); q++) {
      items_[q].a = s.a[q] * s.m * s.k * ir::byte_size(node.in_type(0).dtype);
      items_[q].b = s.b[q] * s.k * s.n * ir::byte_size(node.in_type(1).dtype);
      items_[q].y = static_cast<int64_t>(q) * s.m * s.n * ir::byte_size(node.type().dtype);
    }
    reserve();
  }
  void run(std::byte* const* arguments, std::byte* scratch) override {
    multiply({arguments[0], arguments[1], bias_of(node_, arguments), arguments[node_.input_count()]},
             scratch);
  }

 private:
  const ir::Node& node_;
  MatrixLines a_, b_;
};

// Positions of every stride-th pixel of channels-last images, from `first` on.
class PhaseRows : public ResultRows {
 public:
  PhaseRows(const ConvolutionSizes& s, const int64_t* first, const int64_t* grid) : s_(s) {
    std::copy_n(first, 3, first_);
    std::copy_n(grid, 3, grid_);
  }
  int64_t at(int64_t row) const override {
    int64_t at = 0;
    for (int j = 2; j >= 0; j--) {
      at += (row % grid_[j] * s_.strides[j] + first_[j]) * s_.x[2 + j];
      row /= grid_[j];
    }
    return at + row * s_.x[0];
  }

 private:
  ConvolutionSizes s_;
  int64_t first_[3], grid_[3];
};

// Forward: y[pixel, m] = patches of x [pixel, (tap, c)] by w. Weight gradient: dw[m, (tap, c)] = dy^T by
// patches of x. Input gradient: what a pixel gets comes from the taps that reach it from a pixel of y: which
// these are depends on the pixel's remainder by the stride, so there is a product per remainder.
class TiledConvolution : public Tiled {
 public:
  TiledConvolution(const ir::Node& node, ProductKind kind, const ConvolutionSizes& s, Threads threads)
      : Tiled(threads), node_(node), kind_(kind), s_(s), operands_(node.in_type(0).dtype) {
    info.detail = "tiled convolution";
    taps_ = s.kernel[0] * s.kernel[1] * s.kernel[2];
    pixels_ = s.batch * s.out[0] * s.out[1] * s.out[2];
    if (kind == ProductKind::input_grad) {
      for (int64_t phase = 0; phase < s.strides[0] * s.strides[1] * s.strides[2]; phase++) add_phase(phase);
      reserve();
      return;
    }
    const bool forward = kind == ProductKind::convolution;
    const Lines* x = patches(forward);
    if (forward) {
      std::vector<int64_t> all;
      for (int64_t t = 0; t < taps_; t++) all.push_back(t);
      const Lines* w =
          own(std::make_unique<WeightLines>(operands_, s.filters, s.channels, taps_, std::move(all), true));
      add({pixels_, s.filters, taps_ * s.channels, x, w, node.type().dtype}, 1);
    } else {
      const Lines* dy = own(std::make_unique<MatrixLines>(operands_, s.filters, false));
      const bool ordered = taps_ == 1 || s.channels == 1;
      add({s.filters, taps_ * s.channels, pixels_, dy, x, ordered ? node.type().dtype : ir::DType::f32}, 1);
      if (!ordered) {
        order_ = true;
        scratch_bytes = host_aligned(4 * s.filters * s.channels * taps_);
      }
    }
    reserve();
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    std::byte* y = arguments[node_.input_count()];
    if (clear_) std::fill_n(y, node_.type().count() * ir::byte_size(node_.type().dtype), std::byte{0});
    if (kind_ == ProductKind::weight_grad)
      multiply({arguments[1], arguments[0], nullptr, order_ ? scratch : y}, scratch);
    else
      multiply({arguments[0], arguments[1],
                kind_ == ProductKind::convolution ? bias_of(node_, arguments) : nullptr, y},
               scratch);
    if (order_) order_weights(reinterpret_cast<const float*>(scratch), y);
  }

 private:
  const Lines* own(std::unique_ptr<Lines> lines) {
    lines_.push_back(std::move(lines));
    return lines_.back().get();
  }

  // x as a line per pixel of y.
  const Lines* patches(bool along_depth) {
    bool plain = taps_ == 1;
    for (int j = 0; j < 3; j++)
      plain = plain && s_.strides[j] == 1 && s_.pads[j] == 0 && s_.in[j] == s_.out[j];
    if (plain) return own(std::make_unique<MatrixLines>(operands_, s_.channels, along_depth));
    PatchLines::Sizes p{};
    p.channels = s_.channels, p.batch_step = s_.x[0];
    for (int j = 0; j < 3; j++) {
      p.grid[j] = s_.out[j], p.stride[j] = s_.strides[j], p.extent[j] = s_.in[j], p.steps[j] = s_.x[2 + j];
    }
    std::vector<std::array<int64_t, 3>> taps;
    for (int64_t t = 0; t < taps_; t++) {
      const auto tap = tap_at(t);
      taps.push_back({tap[0] * s_.dilations[0] - s_.pads[0], tap[1] * s_.dilations[1] - s_.pads[1],
                      tap[2] * s_.dilations[2] - s_.pads[2]});
    }
    return own(std::make_unique<PatchLines>(operands_, std::move(p), taps, along_depth));
  }
  std::array<int64_t, 3> tap_at(int64_t t) const {
    return {t / s_.kernel[2] / s_.kernel[1], t / s_.kernel[2] % s_.kernel[1], t % s_.kernel[2]};
  }

  // dx at the pixels whose remainders by the strides are the phase's.
  void add_phase(int64_t phase) {
    const int64_t first[3] = {phase / s_.strides[2] / s_.strides[1], phase / s_.strides[2] % s_.strides[1],
                              phase % s_.strides[2]};
    PatchLines::Sizes p{};
    p.channels = s_.filters, p.batch_step = s_.y[0];
    int64_t rows = s_.batch;
    for (int j = 0; j < 3; j++) {
      p.grid[j] = (s_.in[j] - first[j] + s_.strides[j] - 1) / s_.strides[j];
      p.stride[j] = 1, p.extent[j] = s_.out[j], p.steps[j] = s_.y[2 + j];
      rows *= p.grid[j];
    }
    std::vector<int64_t> taps;
    std::vector<std::array<int64_t, 3>> from_pixel;
    for (int64_t t = taps_; t-- > 0;) {  // backwards, so that neighbours in dy follow each other
      const auto tap = tap_at(t);
      std::array<int64_t, 3> from{};
      bool reaches = true;
      for (size_t j = 0; j < 3; j++) {
        const int64_t way = first[j] + s_.pads[j] - tap[j] * s_.dilations[j];
        reaches = reaches && way % s_.strides[j] == 0;
        from[j] = way / s_.strides[j];
      }
      if (!reaches) continue;
      taps.push_back(t);
      from_pixel.push_back(from);
    }
    if (rows == 0) return;
    if (taps.empty()) {
      clear_ = true;
      return;
    }
    places_.push_back(std::make_unique<PhaseRows>(s_, first, p.grid));
    const auto depth = static_cast<int64_t>(taps.size()) * s_.filters;
    const Lines* dy = own(std::make_unique<PatchLines>(operands_, std::move(p), from_pixel, true));
    const Lines* w =
        own(std::make_unique<WeightLines>(operands_, s_.filters, s_.channels, taps_, std::move(taps), false));
    BlockedProduct product{rows, s_.channels, depth, dy, w, node_.type().dtype};
    const bool every = s_.strides[0] * s_.strides[1] * s_.strides[2] == 1;  // rows stand side by side
    if (!every) product.places = places_.back().get();
    add(product, 1);
  }

  // [m, tap, c] -> [m, c, tap].
  void order_weights(const float* from, std::byte* to) const {
    const int64_t size = s_.channels * taps_;
#pragma omp parallel for num_threads(workers_) if (workers_ > 1)
    for (int64_t m = 0; m < s_.filters; m++) {
      const float* line = from + m * size;
      for (int64_t c = 0; c < s_.channels; c++)
        for (int64_t t = 0; t < taps_; t++) {
          const float v = line[t * s_.channels + c];
          const int64_t at = m * size + c * taps_ + t;
          if (node_.type().dtype == ir::DType::f32)
            reinterpret_cast<float*>(to)[at] = v;
          else
            narrow_run(node_.type().dtype, &v, reinterpret_cast<uint16_t*>(to) + at, 1);
        }
    }
  }

  const ir::Node& node_;
  ProductKind kind_;
  ConvolutionSizes s_;
  ir::DType operands_;
  int64_t taps_, pixels_;
  bool clear_ = false, order_ = false;
  std::vector<std::unique_ptr<Lines>> lines_;
  std::vector<std::unique_ptr<PhaseRows>> places_;
};

}  // namespace

std::unique_ptr<Launch> tiled_product(const ir::Node& node, ProductKind kind, Threads threads) {
  const ir::DType in = node.in_type(0).dtype, out = node.type().dtype;
  if (!tile_kernel_available() || ir::compute_type(in) != ir::DType::f32 ||
      ir::compute_type(out) != ir::DType::f32 || node.type().count() == 0 || node.in_type(0).count() == 0)
    return nullptr;
  if (kind == ProductKind::dot) {
    DotSizes s = dot_sizes(node);
    return std::make_unique<TiledDot>(node, std::move(s), threads);
  }
  const ConvolutionSizes s = convolution_sizes(node, kind);
  const int64_t pixels = s.batch * std::max(s.in[0] * s.in[1] * s.in[2], s.out[0] * s.out[1] * s.out[2]);
  if (node.i("channels_last") == 0 || s.groups != 1 || pixels >= int64_t{1} << 32) return nullptr;
  return std::make_unique<TiledConvolution>(node, kind, s, threads);
}

}  // namespace mezzo::codegen::cpu
