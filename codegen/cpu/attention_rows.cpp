#include "codegen/cpu/attention_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ir/philox.h"

namespace mezzo::codegen::cpu {
namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();
constexpr int kLanes = 16;  // of sums and maxima: as many as the widest vector has, on every machine

// e^x for x <= 0 (and a little above): x = k ln 2 + r, e^r by a polynomial, within 2 units in the last place;
// 0 below the range of normal numbers, NaN for NaN. Choices are made on the bits: the compiler makes no
// vectors of a comparison of floats that might trap.
[[gnu::always_inline]] inline float exp_nonpositive(float x) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.1219444e-4f;
  constexpr uint32_t kLeast = 0xc2ae0000, kMinusInfinity = 0xff800000;  // -87; below it bits are greater
  const auto given = std::bit_cast<uint32_t>(x);
  const uint32_t below = given > kLeast && given <= kMinusInfinity ? ~0u : 0u;
  const float in = std::bit_cast<float>((given & ~below) | (kLeast & below));
  const float t = in * 1.44269504f + kRounder;
  const float k = t - kRounder;
  const float r = (in - k * kLn2High) - k * kLn2Low;
  float p = 0.0013951719f;
  p = p * r + 0.008369599f;
  p = p * r + 0.041666187f;
  p = p * r + 0.16666512f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  const float power = std::bit_cast<float>((std::bit_cast<uint32_t>(t) << 23) + 0x3f800000u);  // 2^k
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p * power) & ~below);
}

// Products of row i -> scores. `slope`: what softcap multiplies gradients by, one per column.
[[gnu::always_inline]] inline void score_row(const ScoreTile& t, int64_t i, float* s, float* slope) {
  const int64_t n = t.columns;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) s[j] *= t.scale;
  if (t.softcap > 0)
    for (int64_t j = 0; j < n; j++) {
      const float h = std::tanh(s[j] / t.softcap);
      s[j] = h * t.softcap;
      if (slope) slope[j] = 1 - h * h;
    }
  if (t.added) {
    const float* mask = t.added + i * t.mask_row;
    if (t.mask_column == 0) {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) s[j] += mask[0];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) s[j] += mask[j];
    }
  }
  if (t.shown) {
    const uint8_t* mask = t.shown + i * t.mask_row;
    if (t.mask_column == 0) {
      if (!mask[0]) std::fill_n(s, n, kHidden);
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) s[j] = mask[j] ? s[j] : kHidden;
    }
  }
  const int64_t first = std::clamp<int64_t>(t.lower + i, 0, n),
                last = std::clamp<int64_t>(t.upper + i + 1, 0, n);
  std::fill(s, s + first, kHidden);
  std::fill(s + std::max(first, last), s + n, kHidden);
}

// s[j] = exp(s[j] - top); their sum, by lanes.
[[gnu::always_inline]] inline float exponentials(float* s, int64_t n, float top) {
  float lane[kLanes] = {};
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
#pragma omp simd
    for (int l = 0; l < kLanes; l++) {
      s[j + l] = exp_nonpositive(s[j + l] - top);
      lane[l] += s[j + l];
    }
  for (; j < n; j++) {
    s[j] = exp_nonpositive(s[j] - top);
    lane[j % kLanes] += s[j];
  }
  float sum = 0;
  for (float l : lane) sum += l;
  return sum;
}

[[gnu::always_inline]] inline float greatest(const float* s, int64_t n, float top) {
  float lane[kLanes];
  std::fill_n(lane, kLanes, top);
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
#pragma omp simd
    for (int l = 0; l < kLanes; l++) lane[l] = s[j + l] > lane[l] ? s[j + l] : lane[l];
  for (; j < n; j++) lane[0] = s[j] > lane[0] ? s[j] : lane[0];
  return *std::max_element(lane, lane + kLanes);
}

[[gnu::always_inline]] inline void softmax_tile(const ScoreTile& t, float* s, float* top, float* sum,
                                                float* shrink) {
  for (int64_t i = 0; i < t.rows; i++, s += t.columns) {
    score_row(t, i, s, nullptr);
    const float before = top[i], now = greatest(s, t.columns, before);
    if (now == kHidden) {  // nothing to see yet
      std::fill_n(s, t.columns, 0.0f);
      shrink[i] = 1;
      continue;
    }
    top[i] = now;
    shrink[i] = before == kHidden ? 0 : exp_nonpositive(before - now);
    sum[i] = sum[i] * shrink[i] + exponentials(s, t.columns, now);
  }
}

[[gnu::always_inline]] inline void gradient_tile(const ScoreTile& t, float* s, float* d,
                                                 const float* log_sum_exp, const float* rest, float* dscores,
                                                 int64_t dscores_row) {
  constexpr int64_t kMost = 512;  // columns of a tile
  float slope[kMost];
  for (int64_t i = 0; i < t.rows; i++, s += t.columns, d += t.columns) {
    score_row(t, i, s, slope);
    if (log_sum_exp[i] == kHidden) {
      std::fill_n(s, t.columns, 0.0f);
      std::fill_n(d, t.columns, 0.0f);
    } else {
      const float total = log_sum_exp[i], r = rest[i];
#pragma omp simd
      for (int64_t j = 0; j < t.columns; j++) {
        s[j] = exp_nonpositive(s[j] - total);
        d[j] = s[j] * (d[j] - r);
      }
    }
    if (dscores) std::copy_n(d, t.columns, dscores + i * dscores_row);
    if (t.softcap > 0)
      for (int64_t j = 0; j < t.columns; j++) d[j] *= slope[j];
#pragma omp simd
    for (int64_t j = 0; j < t.columns; j++) d[j] *= t.scale;
  }
}

constexpr int kDrawn =
    32;  // at once: several vectors, so that one multiplication does not wait for the one before

// ir::philox of `first` and the places behind it, round by round: a loop over lanes is what makes vectors.
[[gnu::always_inline]] inline void draw_lanes(uint32_t first, uint32_t step, uint32_t key, uint32_t* left) {
  uint32_t right[kDrawn];
  for (uint32_t l = 0; l < kDrawn; l++) left[l] = first + l, right[l] = step;
  for (int round = 0; round < ir::kPhiloxRounds; round++, key += ir::kPhiloxKeyStep)
#pragma omp simd
    for (int l = 0; l < kDrawn; l++) {
      const uint64_t product = uint64_t{left[l]} * ir::kPhiloxMultiplier;
      left[l] = static_cast<uint32_t>(product >> 32) ^ key ^ right[l];
      right[l] = static_cast<uint32_t>(product);
    }
}

[[gnu::always_inline]] inline void factors_of_tile(const DropoutTile& t, float* factors) {
  uint32_t bits[kDrawn];
  const auto threshold = static_cast<int32_t>(t.threshold);  // of 24 bits
  const auto factor = std::bit_cast<uint32_t>(t.factor);
  for (int64_t i = 0; i < t.rows; i++, factors += t.columns)
    for (int64_t j = 0; j < t.columns; j += kDrawn) {
      draw_lanes(t.first + static_cast<uint32_t>(i) * t.row + static_cast<uint32_t>(j), t.step, t.seed, bits);
      float kept[kDrawn];
#pragma omp simd
      for (int l = 0; l < kDrawn; l++) {
        const uint32_t dropped = static_cast<int32_t>(bits[l] >> 8) < threshold ? ~0u : 0u;
        kept[l] = std::bit_cast<float>(factor & ~dropped);
      }
      std::copy_n(kept, std::min<int64_t>(kDrawn, t.columns - j), factors + j);
    }
}

// Chosen on the bits, as in exp_nonpositive.
[[gnu::always_inline]] inline void drop_values(float* x, const float* factors, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const uint32_t kept = std::bit_cast<uint32_t>(factors[i]) != 0 ? ~0u : 0u;
    x[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(x[i] * factors[i]) & kept);
  }
}

// The same code for the vectors of newer machines; products and sums are not contracted, so that all give the
// same bits.
#if defined(__x86_64__)
[[gnu::target("avx2")]] void softmax_avx2(const ScoreTile& t, float* s, float* top, float* sum,
                                          float* shrink) {
  softmax_tile(t, s, top, sum, shrink);
}
[[gnu::target("avx2")]] void gradient_avx2(const ScoreTile& t, float* s, float* d, const float* l,
                                           const float* r, float* ds, int64_t row) {
  gradient_tile(t, s, d, l, r, ds, row);
}
[[gnu::target("avx512f")]] void softmax_avx512(const ScoreTile& t, float* s, float* top, float* sum,
                                               float* shrink) {
  softmax_tile(t, s, top, sum, shrink);
}
[[gnu::target("avx512f")]] void gradient_avx512(const ScoreTile& t, float* s, float* d, const float* l,
                                                const float* r, float* ds, int64_t row) {
  gradient_tile(t, s, d, l, r, ds, row);
}
[[gnu::target("avx2")]] void factors_avx2(const DropoutTile& t, float* f) { factors_of_tile(t, f); }
[[gnu::target("avx512f")]] void factors_avx512(const DropoutTile& t, float* f) { factors_of_tile(t, f); }
[[gnu::target("avx2")]] void drop_avx2(float* x, const float* f, int64_t n) { drop_values(x, f, n); }
[[gnu::target("avx512f")]] void drop_avx512(float* x, const float* f, int64_t n) { drop_values(x, f, n); }
int vector_level() {
  static const int level = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx2") ? 1 : 0;
  return level;
}
#endif

}  // namespace

void softmax_rows(const ScoreTile& t, float* s, float* top, float* sum, float* shrink) {
#if defined(__x86_64__)
  if (vector_level() == 2) return softmax_avx512(t, s, top, sum, shrink);
  if (vector_level() == 1) return softmax_avx2(t, s, top, sum, shrink);
#endif
  softmax_tile(t, s, top, sum, shrink);
}

void softmax_gradient_rows(const ScoreTile& t, float* s, float* d, const float* log_sum_exp,
                           const float* rest, float* dscores, int64_t dscores_row) {
#if defined(__x86_64__)
  if (vector_level() == 2) return gradient_avx512(t, s, d, log_sum_exp, rest, dscores, dscores_row);
  if (vector_level() == 1) return gradient_avx2(t, s, d, log_sum_exp, rest, dscores, dscores_row);
#endif
  gradient_tile(t, s, d, log_sum_exp, rest, dscores, dscores_row);
}

void draw_factors(const DropoutTile& t, float* factors) {
#if defined(__x86_64__)
  if (vector_level() == 2) return factors_avx512(t, factors);
  if (vector_level() == 1) return factors_avx2(t, factors);
#endif
  factors_of_tile(t, factors);
}

void drop(float* x, const float* factors, int64_t n) {
#if defined(__x86_64__)
  if (vector_level() == 2) return drop_avx512(x, factors, n);
  if (vector_level() == 1) return drop_avx2(x, factors, n);
#endif
  drop_values(x, factors, n);
}

}  // namespace mezzo::codegen::cpu
