// attention.cpp: attention and its gradient over tiles of queries and keys, after Dao et al., FlashAttention
// (2022): an online softmax forward, scores computed again from the log-sum-exp backward. Operands of 16 bits
// are widened tile by tile; products, softmax and sums are f32. Work is divided by batch and head (forward
// also by tiles of queries), and every unit goes over its tiles in order.
#include "codegen/cpu/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "codegen/cpu/attention_rows.h"
#include "codegen/cpu/products.h"
#include "ir/attention.h"

namespace mezzo::codegen::cpu {
namespace {

using ir::AttentionStrides;
using In = ir::AttentionInput;

constexpr int64_t kQueries = 128, kKeys = 256;  // of a tile: its scores fit into the second-level cache

int64_t room(int64_t floats) { return (floats * 4 + 63) / 64 * 64; }

// What forward and backward share: the operands' places and the tile's mask.
class AttentionLaunch : public Launch {
 public:
  AttentionLaunch(const ir::Node& n, Threads threads)
      : s_(ir::attention_sizes(n)),
        type_(n.in_type(In::q).dtype),
        mask_(ir::attention_mask_input(n)),
        key_(ir::attention_key_input(n)),
        inputs_(n.input_count()),
        threads_(threads) {}

 protected:
  // Rows [first, first + rows) of an operand: in place for f32, else widened into `scratch`.
  Matrix rows(const std::byte* operand, const AttentionStrides& st, int64_t b, int64_t h, int64_t first,
              int64_t rows, int64_t width, float* scratch) const {
    const int64_t at = b * st.batch + h * st.head + first * st.row;
    if (type_ == ir::DType::f32) return {reinterpret_cast<const float*>(operand) + at, st.row};
    for (int64_t i = 0; i < rows; i++)
      widen(type_, operand + (at + i * st.row) * 2, scratch + i * width, 0, width);
    return {scratch, width};
  }
  // Stores rows of f32, `stride` to a line, rounding once.
  void store(const float* from, int64_t stride, std::byte* operand, const AttentionStrides& st, int64_t b,
             int64_t h, int64_t first, int64_t rows, int64_t width) const {
    const int64_t at = b * st.batch + h * st.head + first * st.row;
    for (int64_t i = 0; i < rows; i++) {
      if (type_ == ir::DType::f32)
        std::copy_n(from + i * stride, width, reinterpret_cast<float*>(operand) + at + i * st.row);
      else
        narrow(type_, from + i * stride, operand + (at + i * st.row) * 2, 0, width);
    }
  }
  // The tile of queries from i and keys from j.
  ScoreTile tile(const std::byte* mask, int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j,
                 int64_t columns) const {
    ScoreTile t{rows,
                columns,
                static_cast<float>(s_.scale),
                static_cast<float>(s_.softcap),
                s_.lower + i - j,
                s_.upper + i - j};
    if (!s_.has_mask) return t;
    const int64_t at = b * s_.mask[0] + h * s_.mask[1] + i * s_.mask[2] + j * s_.mask[3];
    if (s_.mask_is_float)
      t.added = reinterpret_cast<const float*>(mask) + at;
    else
      t.shown = reinterpret_cast<const uint8_t*>(mask) + at;
    t.mask_row = s_.mask[2], t.mask_column = s_.mask[3];
    return t;
  }
  // What the Dropout multiplies the weights of that tile by.
  void draw(std::byte* const* arguments, int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j,
            int64_t columns, float* factors) const {
    const auto* key = reinterpret_cast<const uint32_t*>(arguments[key_]);
    const int64_t first = ((b * s_.heads + h) * s_.queries + i) * s_.keys + j;
    draw_factors(
        {rows, columns, static_cast<uint32_t>(first), static_cast<uint32_t>(s_.keys),
         key[0] ^ s_.dropout->stream, key[1], s_.dropout->threshold, static_cast<float>(s_.dropout->factor)},
        factors);
  }
  // Floats for the factors of a tile.
  int64_t factor_room() const { return s_.dropout ? kQueries * kKeys : 0; }
  // Keys that the queries [i, i + rows) may see.
  bool sees(int64_t i, int64_t rows, int64_t j, int64_t columns) const {
    return s_.first_key(i) < j + columns && s_.last_key(i + rows) > j;
  }
  int threads_for(int64_t units) const {
    const int64_t work = s_.batch * s_.heads * s_.queries * s_.keys * (s_.head + s_.value) / 8;
    return threads_.worth(work) ? static_cast<int>(std::min<int64_t>(threads_.count, units)) : 1;
  }

  ir::AttentionSizes s_;
  ir::DType type_;
  size_t mask_, key_, inputs_;
  Threads threads_;
};

class Forward : public AttentionLaunch {
 public:
  Forward(const ir::Node& n, Threads threads) : AttentionLaunch(n, threads) {
    scores_ = room(kQueries * s_.head);
    keys_ = scores_ + room(kQueries * kKeys);
    sums_ = keys_ + room(kKeys * std::max(s_.head, s_.value));
    rows_ = sums_ + room(kQueries * s_.value);
    factors_ = rows_ + 3 * room(kQueries);
    per_thread_ = factors_ + room(factor_room());
    scratch_bytes = per_thread_ * threads_.count;
    info.detail = "tiled attention";
    info.flops = 2 * s_.batch * s_.heads * s_.queries * s_.keys * (s_.head + s_.value);
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    const int64_t tiles = (s_.queries + kQueries - 1) / kQueries, units = s_.batch * s_.heads * tiles;
    // Under a causal mask later tiles have more to do.
#pragma omp parallel for num_threads(threads_for(units)) schedule(dynamic, 1)
    for (int64_t u = 0; u < units; u++) {
      const int64_t i = u % tiles * kQueries;
      unit(arguments, scratch + omp_get_thread_num() * per_thread_, u / tiles / s_.heads,
           u / tiles % s_.heads, i, std::min(kQueries, s_.queries - i));
    }
  }

 private:
  void unit(std::byte* const* arguments, std::byte* scratch, int64_t b, int64_t h, int64_t first,
            int64_t n) const {
    auto at = [&](int64_t offset) { return reinterpret_cast<float*>(scratch + offset); };
    float *s = at(scores_), *sums = at(sums_), *top = at(rows_), *sum = at(rows_ + room(kQueries)),
          *shrink = at(rows_ + 2 * room(kQueries));
    const Matrix q = rows(arguments[In::q], s_.q, b, h, first, n, s_.head, at(0));
    std::fill_n(top, n, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, n, 0.0f);
    std::fill_n(sums, n * s_.value, 0.0f);
    for (int64_t j = 0; j < s_.keys; j += kKeys) {
      const int64_t columns = std::min(kKeys, s_.keys - j);
      if (!sees(first, n, j, columns)) continue;
      const int64_t g = h / s_.group();
      Matrix k = rows(arguments[In::k], s_.k, b, g, j, columns, s_.head, at(keys_));
      k.transposed = true;
      multiply_tile(n, columns, s_.head, q, k, false, s, columns);
      softmax_rows(tile(arguments[mask_], b, h, first, n, j, columns), s, top, sum, shrink);
      if (s_.dropout) {
        draw(arguments, b, h, first, n, j, columns, at(factors_));
        drop(s, at(factors_), n * columns);
      }
      for (int64_t i = 0; i < n; i++)
        if (shrink[i] != 1)
          for (int64_t e = 0; e < s_.value; e++) sums[i * s_.value + e] *= shrink[i];
      const Matrix v = rows(arguments[In::v], s_.v, b, g, j, columns, s_.value, at(keys_));
      multiply_tile(n, s_.value, columns, {s, columns}, v, true, sums, s_.value);
    }
    auto* log_sum =
        reinterpret_cast<float*>(arguments[inputs_ + 1]) + (b * s_.heads + h) * s_.queries + first;
    for (int64_t i = 0; i < n; i++) {
      log_sum[i] = sum[i] > 0 ? top[i] + std::log(sum[i]) : top[i];
      if (sum[i] > 0)
        for (int64_t e = 0; e < s_.value; e++) sums[i * s_.value + e] /= sum[i];
    }
    store(sums, s_.value, arguments[inputs_], s_.y, b, h, first, n, s_.value);
  }

  int64_t scores_, keys_, sums_, rows_, factors_, per_thread_;  // byte offsets into a thread's scratch
};

// One unit is a head of K and V with the heads of Q that share it: it owns what it writes.
class Backward : public AttentionLaunch {
 public:
  Backward(const ir::Node& n, Threads threads)
      : AttentionLaunch(n, threads),
        gives_scores_(n.i("scores") != 0),
        has_d_log_sum_(n.has(In::d_log_sum_exp)) {
    for (auto [offset, floats] : {std::pair(&q_, kQueries * s_.head),
                                  {&dy_, kQueries * s_.value},
                                  {&k_, kKeys * s_.head},
                                  {&v_, kKeys * s_.value},
                                  {&dk_, kKeys * s_.head},
                                  {&dv_, kKeys * s_.value},
                                  {&p_, kQueries * kKeys},
                                  {&ds_, kQueries * kKeys},
                                  {&factors_, factor_room()},
                                  {&rest_, s_.group() * s_.queries},
                                  {&dq_, s_.group() * s_.queries * s_.head}}) {
      *offset = per_thread_;
      per_thread_ += room(floats);
    }
    scratch_bytes = per_thread_ * threads_.count;
    info.detail = "tiled attention, scores again";
    info.flops = 2 * s_.batch * s_.heads * s_.queries * s_.keys * (3 * s_.head + 2 * s_.value);
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    const int64_t units = s_.batch * s_.kv_heads;
#pragma omp parallel for num_threads(threads_for(units)) schedule(dynamic, 1)
    for (int64_t u = 0; u < units; u++)
      unit(arguments, scratch + omp_get_thread_num() * per_thread_, u / s_.kv_heads, u % s_.kv_heads);
  }

 private:
  static float* at(std::byte* scratch, int64_t offset) { return reinterpret_cast<float*>(scratch + offset); }

  void unit(std::byte* const* arguments, std::byte* scratch, int64_t b, int64_t g) const {
    float *dk = at(scratch, dk_), *dv = at(scratch, dv_), *dq = at(scratch, dq_);
    const int64_t heads = s_.group();
    std::fill_n(dq, heads * s_.queries * s_.head, 0.0f);
    for (int64_t r = 0; r < heads; r++) find_rest(arguments, scratch, b, g * heads + r, r);
    for (int64_t j = 0; j < s_.keys; j += kKeys) {
      const int64_t columns = std::min(kKeys, s_.keys - j);
      std::fill_n(dk, columns * s_.head, 0.0f);
      std::fill_n(dv, columns * s_.value, 0.0f);
      const Matrix k = rows(arguments[In::k], s_.k, b, g, j, columns, s_.head, at(scratch, k_));
      const Matrix v = rows(arguments[In::v], s_.v, b, g, j, columns, s_.value, at(scratch, v_));
      for (int64_t r = 0; r < heads; r++)
        for (int64_t i = 0; i < s_.queries; i += kQueries) {
          const int64_t n = std::min(kQueries, s_.queries - i);
          if (sees(i, n, j, columns))
            tile_gradient(arguments, scratch, b, g * heads + r, r, i, n, j, columns, k, v);
          else if (gives_scores_)
            hide_scores(arguments, b, g * heads + r, i, n, j, columns);
        }
      store(dk, s_.head, arguments[inputs_ + 1], s_.k, b, g, j, columns, s_.head);
      store(dv, s_.value, arguments[inputs_ + 2], s_.v, b, g, j, columns, s_.value);
    }
    for (int64_t r = 0; r < heads; r++)
      store(dq + r * s_.queries * s_.head, s_.head, arguments[inputs_], s_.q, b, g * heads + r, 0, s_.queries,
            s_.head);
  }

  // rowsum(dY * Y) - dLogSumExp of head h, the r-th of its group.
  void find_rest(std::byte* const* arguments, std::byte* scratch, int64_t b, int64_t h, int64_t r) const {
    float* rest = at(scratch, rest_) + r * s_.queries;
    const auto* extra =
        has_d_log_sum_ ? reinterpret_cast<const float*>(arguments[In::d_log_sum_exp]) : nullptr;
    if (extra) extra += (b * s_.heads + h) * s_.queries;
    for (int64_t i = 0; i < s_.queries; i += kQueries) {
      const int64_t n = std::min(kQueries, s_.queries - i);
      const Matrix dy = rows(arguments[In::dy], s_.y, b, h, i, n, s_.value, at(scratch, dy_));
      const Matrix y = rows(arguments[In::y], s_.y, b, h, i, n, s_.value, at(scratch, v_));
      for (int64_t a = 0; a < n; a++) {
        float sum = extra ? -extra[i + a] : 0;
        for (int64_t e = 0; e < s_.value; e++) sum += dy.data[a * dy.stride + e] * y.data[a * y.stride + e];
        rest[i + a] = sum;
      }
    }
  }

  void tile_gradient(std::byte* const* arguments, std::byte* scratch, int64_t b, int64_t h, int64_t r,
                     int64_t i, int64_t n, int64_t j, int64_t columns, Matrix k, Matrix v) const {
    float *p = at(scratch, p_), *ds = at(scratch, ds_);
    const Matrix q = rows(arguments[In::q], s_.q, b, h, i, n, s_.head, at(scratch, q_));
    const Matrix dy = rows(arguments[In::dy], s_.y, b, h, i, n, s_.value, at(scratch, dy_));
    Matrix kt = k, vt = v;
    kt.transposed = vt.transposed = true;
    multiply_tile(n, columns, s_.head, q, kt, false, p, columns);
    multiply_tile(n, columns, s_.value, dy, vt, false, ds, columns);
    if (s_.dropout) {
      draw(arguments, b, h, i, n, j, columns, at(scratch, factors_));
      drop(ds, at(scratch, factors_), n * columns);
    }
    const int64_t row = (b * s_.heads + h) * s_.queries + i;
    softmax_gradient_rows(tile(arguments[mask_], b, h, i, n, j, columns), p, ds,
                          reinterpret_cast<const float*>(arguments[In::log_sum_exp]) + row,
                          at(scratch, rest_) + r * s_.queries + i, scores_at(arguments, row, j), s_.keys);
    if (s_.dropout) drop(p, at(scratch, factors_), n * columns);
    multiply_tile(columns, s_.value, n, {p, columns, true}, dy, true, at(scratch, dv_), s_.value);
    multiply_tile(columns, s_.head, n, {ds, columns, true}, q, true, at(scratch, dk_), s_.head);
    multiply_tile(n, s_.head, columns, {ds, columns}, k, true,
                  at(scratch, dq_) + (r * s_.queries + i) * s_.head, s_.head);
  }

  float* scores_at(std::byte* const* arguments, int64_t row, int64_t j) const {
    return gives_scores_ ? reinterpret_cast<float*>(arguments[inputs_ + 3]) + row * s_.keys + j : nullptr;
  }
  void hide_scores(std::byte* const* arguments, int64_t b, int64_t h, int64_t i, int64_t n, int64_t j,
                   int64_t columns) const {
    for (int64_t a = i; a < i + n; a++)
      std::fill_n(scores_at(arguments, (b * s_.heads + h) * s_.queries + a, j), columns, 0.0f);
  }

  bool gives_scores_, has_d_log_sum_;
  int64_t q_, dy_, k_, v_, dk_, dv_, p_, ds_, factors_, rest_, dq_;  // byte offsets into a thread's scratch
  int64_t per_thread_ = 0;
};

}  // namespace

std::unique_ptr<Launch> lower_attention(const ir::Node& node, std::string name, Threads threads) {
  if (!ir::is_attention(node) && !ir::is_attention_gradient(node)) return nullptr;
  const ir::DType type = node.in_type(In::q).dtype;
  const size_t mask = ir::attention_mask_input(node);
  if (type == ir::DType::f64 || (node.has(mask) && ir::is_low(node.in_type(mask).dtype))) return nullptr;
  std::unique_ptr<Launch> launch;
  if (ir::is_attention(node))
    launch = std::make_unique<Forward>(node, threads);
  else
    launch = std::make_unique<Backward>(node, threads);
  const int64_t flops = launch->info.flops;
  launch->info = describe(node, std::move(name), launch->info.detail);
  launch->info.flops = flops;
  return launch;
}

}  // namespace mezzo::codegen::cpu
