// own_products.cpp: matrix products and convolutions without a library: right for every size and type of
// float, and quick enough for small ones.
#include <algorithm>
#include <cstring>

#include "codegen/cpu/products.h"
#include "ir/op.h"

namespace mezzo::codegen::cpu {
namespace {

constexpr int64_t kParallelFlops = 400000;

// y[rows lo..hi, n] = a b (+ bias), all row-major. Four rows at a time share what is loaded of b; columns go
// by in strips that stay in the first-level cache, and the compiler makes vectors of the innermost loop.
template <class T>
void multiply(const T* a, const T* b, const T* bias, T* y, int64_t lo, int64_t hi, int64_t n, int64_t k) {
  constexpr int64_t kStrip = 64;
  for (int64_t first = 0; first < n; first += kStrip) {
    int64_t width = std::min(kStrip, n - first);
    for (int64_t i = lo; i < hi; i += 4) {
      int64_t rows = std::min<int64_t>(4, hi - i);
      T sum[4][kStrip] = {};
      for (int64_t p = 0; p < k; p++) {
        const T* line = b + p * n + first;
        for (int64_t r = 0; r < rows; r++) {
          T x = a[(i + r) * k + p];
          for (int64_t j = 0; j < width; j++) sum[r][j] += x * line[j];
        }
      }
      for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++)
          y[(i + r) * n + first + j] = bias ? sum[r][j] + bias[first + j] : sum[r][j];
    }
  }
}

template <class T>
void transpose(const T* from, T* to, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
}

template <class T>
class Dot : public Launch {
 public:
  Dot(const ir::Node& node, Threads threads)
      : s_(dot_sizes(node)), bias_(node.has(2)), result_(node.input_count()), threads_(threads) {
    info.detail = "own matrix product";
    if (s_.trans_a) scratch_bytes += room(s_.m * s_.k);
    if (s_.trans_b) scratch_bytes += room(s_.k * s_.n);
  }
  void run(std::byte* const* arguments, std::byte* scratch) override {
    auto* left = reinterpret_cast<T*>(scratch);
    auto* right = reinterpret_cast<T*>(scratch + (s_.trans_a ? room(s_.m * s_.k) : 0));
    const T* bias = bias_ ? reinterpret_cast<const T*>(arguments[2]) : nullptr;
    for (size_t q = 0; q < s_.a.size(); q++) {
      const T* a = reinterpret_cast<const T*>(arguments[0]) + s_.a[q] * s_.m * s_.k;
      const T* b = reinterpret_cast<const T*>(arguments[1]) + s_.b[q] * s_.k * s_.n;
      T* y = reinterpret_cast<T*>(arguments[result_]) + static_cast<int64_t>(q) * s_.m * s_.n;
      if (s_.trans_a) transpose(a, left, s_.k, s_.m), a = left;
      if (s_.trans_b) transpose(b, right, s_.n, s_.k), b = right;
      int64_t parts =
          2 * s_.m * s_.n * s_.k < kParallelFlops ? 1 : std::min<int64_t>(threads_.count, (s_.m + 3) / 4);
      if (parts <= 1) {
        multiply(a, b, bias, y, 0, s_.m, s_.n, s_.k);
        continue;
      }
#pragma omp parallel for num_threads(static_cast <int>(parts)) schedule(static, 1)
      for (int64_t t = 0; t < parts; t++)
        multiply(a, b, bias, y, s_.m * t / parts, s_.m * (t + 1) / parts, s_.n, s_.k);
    }
  }

 private:
  static int64_t room(int64_t count) { return (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64; }
  DotSizes s_;
  bool bias_;
  size_t result_;
  Threads threads_;
};

// Direct loops. Every thread owns what it writes: images for y and dx, filters for dw.
template <class T>
class Convolution : public Launch {
 public:
  Convolution(const ir::Node& node, ProductKind kind, Threads threads)
      : s_(convolution_sizes(node, kind)),
        kind_(kind),
        bias_(kind == ProductKind::convolution && node.has(2)),
        result_(node.input_count()),
        count_(node.type().count()),
        threads_(threads) {
    info.detail = "own convolution";
    int64_t step = 1;
    for (int j = 2; j >= 0; j--) w_[2 + j] = step, step *= s_.kernel[j];
    w_[1] = step;
    w_[0] = step * s_.channels / s_.groups;
  }

  void run(std::byte* const* arguments, std::byte*) override {
    const T* left = reinterpret_cast<const T*>(arguments[0]);
    const T* right = reinterpret_cast<const T*>(arguments[1]);
    T* out = reinterpret_cast<T*>(arguments[result_]);
    int64_t units = kind_ == ProductKind::weight_grad ? s_.filters : s_.batch;
    if (kind_ != ProductKind::convolution) std::fill_n(out, count_, T(0));
    auto parts = static_cast<int>(std::min<int64_t>(threads_.count, units));
#pragma omp parallel for num_threads(std::max(parts, 1)) schedule(static) if (parts > 1)
    for (int64_t u = 0; u < units; u++) {
      switch (kind_) {
        case ProductKind::convolution:
          forward(left, right, bias_ ? reinterpret_cast<const T*>(arguments[2]) : nullptr, out, u);
          break;
        case ProductKind::input_grad: input_grad(left, right, out, u); break;
        default: weight_grad(left, right, out, u); break;
      }
    }
  }

 private:
  // Calls f(spatial offset in x, in w, in y) for every output position and tap inside the image.
  template <class F>
  void taps(F f) const {
    for (int64_t t0 = 0; t0 < s_.kernel[0]; t0++)
      for (int64_t t1 = 0; t1 < s_.kernel[1]; t1++)
        for (int64_t t2 = 0; t2 < s_.kernel[2]; t2++)
          for (int64_t o0 = 0; o0 < s_.out[0]; o0++) {
            int64_t i0 = o0 * s_.strides[0] + t0 * s_.dilations[0] - s_.pads[0];
            if (i0 < 0 || i0 >= s_.in[0]) continue;
            for (int64_t o1 = 0; o1 < s_.out[1]; o1++) {
              int64_t i1 = o1 * s_.strides[1] + t1 * s_.dilations[1] - s_.pads[1];
              if (i1 < 0 || i1 >= s_.in[1]) continue;
              for (int64_t o2 = 0; o2 < s_.out[2]; o2++) {
                int64_t i2 = o2 * s_.strides[2] + t2 * s_.dilations[2] - s_.pads[2];
                if (i2 < 0 || i2 >= s_.in[2]) continue;
                f(i0 * s_.x[2] + i1 * s_.x[3] + i2 * s_.x[4], t0 * w_[2] + t1 * w_[3] + t2 * w_[4],
                  o0 * s_.y[2] + o1 * s_.y[3] + o2 * s_.y[4]);
              }
            }
          }
  }
  int64_t channels() const { return s_.channels / s_.groups; }
  int64_t group_of(int64_t m) const { return m / (s_.filters / s_.groups); }

  void forward(const T* x, const T* w, const T* bias, T* y, int64_t image) const {
    x += image * s_.x[0], y += image * s_.y[0];
    for (int64_t m = 0; m < s_.filters; m++) {
      T* to = y + m * s_.y[1];
      for (int64_t a = 0; a < s_.out[0]; a++)
        for (int64_t b = 0; b < s_.out[1]; b++)
          for (int64_t c = 0; c < s_.out[2]; c++)
            to[a * s_.y[2] + b * s_.y[3] + c * s_.y[4]] = bias ? bias[m] : T(0);
      for (int64_t c = 0; c < channels(); c++) {
        const T* from = x + (group_of(m) * channels() + c) * s_.x[1];
        const T* by = w + m * w_[0] + c * w_[1];
        taps([&](int64_t i, int64_t t, int64_t o) { to[o] += from[i] * by[t]; });
      }
    }
  }
  void input_grad(const T* dy, const T* w, T* dx, int64_t image) const {
    dy += image * s_.y[0], dx += image * s_.x[0];
    for (int64_t m = 0; m < s_.filters; m++)
      for (int64_t c = 0; c < channels(); c++) {
        const T* from = dy + m * s_.y[1];
        const T* by = w + m * w_[0] + c * w_[1];
        T* to = dx + (group_of(m) * channels() + c) * s_.x[1];
        taps([&](int64_t i, int64_t t, int64_t o) { to[i] += from[o] * by[t]; });
      }
  }
  void weight_grad(const T* x, const T* dy, T* dw, int64_t m) const {
    for (int64_t image = 0; image < s_.batch; image++)
      for (int64_t c = 0; c < channels(); c++) {
        const T* from = x + image * s_.x[0] + (group_of(m) * channels() + c) * s_.x[1];
        const T* by = dy + image * s_.y[0] + m * s_.y[1];
        T* to = dw + m * w_[0] + c * w_[1];
        taps([&](int64_t i, int64_t t, int64_t o) { to[t] += from[i] * by[o]; });
      }
  }

  ConvolutionSizes s_;
  ProductKind kind_;
  bool bias_;
  size_t result_;
  int64_t count_;
  Threads threads_;
  int64_t w_[5];
};

}  // namespace

void multiply_tile(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, bool add, float* c,
                   int64_t c_stride) {
  if (onednn_multiply_tile(m, n, k, a, b, add, c, c_stride)) return;
  for (int64_t i = 0; i < m; i++) {
    float* line = c + i * c_stride;
    if (!add) std::fill_n(line, n, 0.0f);
    for (int64_t p = 0; p < k; p++) {
      const float x = a.transposed ? a.data[p * a.stride + i] : a.data[i * a.stride + p];
      if (b.transposed)
        for (int64_t j = 0; j < n; j++) line[j] += x * b.data[j * b.stride + p];
      else
        for (int64_t j = 0; j < n; j++) line[j] += x * b.data[p * b.stride + j];
    }
  }
}

std::unique_ptr<Launch> own_product(const ir::Node& node, ProductKind kind, ir::DType type, Threads threads) {
  if (kind == ProductKind::dot) {
    if (type == ir::DType::f64) return std::make_unique<Dot<double>>(node, threads);
    return std::make_unique<Dot<float>>(node, threads);
  }
  if (type == ir::DType::f64) return std::make_unique<Convolution<double>>(node, kind, threads);
  return std::make_unique<Convolution<float>>(node, kind, threads);
}

}  // namespace mezzo::codegen::cpu
