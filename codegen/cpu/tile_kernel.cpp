#include "codegen/cpu/tile_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define MEZZO_TILE_TARGET [[gnu::target("avx2,fma,f16c")]]

namespace mezzo::codegen::cpu {

// Every processor with AVX2 has F16C, which clang 14 cannot ask for.
bool tile_kernel_available() {
  static const bool yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return yes;
}
bool tile_kernel_preferred() {
  static const bool yes = tile_kernel_available() && !__builtin_cpu_supports("avx512f");
  return yes;
}

MEZZO_TILE_TARGET void multiply_tile_6x16(const float* a, int64_t row, int64_t step, const float* b,
                                          int64_t depth, float* c, int64_t c_row, bool add) {
  __m256 sum[kTileRows][2];
#pragma GCC unroll 6
  for (auto& s : sum) s[0] = s[1] = _mm256_setzero_ps();
    // What the sums are added to is on its way while they are made.
#pragma GCC unroll 6
  for (int64_t i = 0; i < kTileRows; i++) {
    _mm_prefetch(reinterpret_cast<const char*>(c + i * c_row), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(c + i * c_row + kTileColumns - 1), _MM_HINT_T0);
  }
  const float* lines[kTileRows];
#pragma GCC unroll 6
  for (int64_t i = 0; i < kTileRows; i++) lines[i] = a + i * row;
  for (int64_t k = 0; k < depth; k++, b += kTileColumns) {
    const __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
    for (int64_t i = 0; i < kTileRows; i++) {
      const __m256 x = _mm256_broadcast_ss(lines[i] + k * step);
      sum[i][0] = _mm256_fmadd_ps(x, left, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(x, right, sum[i][1]);
    }
  }
#pragma GCC unroll 6
  for (int64_t i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
    for (int64_t h = 0; h < 2; h++) {
      float* to = c + i * c_row + 8 * h;
      _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), sum[i][h]) : sum[i][h]);
    }
}

namespace {

// Rows of 8 -> columns of 8.
MEZZO_TILE_TARGET inline void transpose_8(__m256* r) {
  __m256 t[8], u[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

}  // namespace

MEZZO_TILE_TARGET void interleave_16(const float* const* lines, int64_t count, float* to) {
  int64_t k = 0;
  for (; k + 8 <= count; k += 8)
    for (int64_t half = 0; half < 2; half++) {
      __m256 r[8];
#pragma GCC unroll 8
      for (int64_t i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(lines[8 * half + i] + k);
      transpose_8(r);
#pragma GCC unroll 8
      for (int64_t i = 0; i < 8; i++) _mm256_storeu_ps(to + (k + i) * kTileColumns + 8 * half, r[i]);
    }
  for (; k < count; k++)
    for (int64_t j = 0; j < kTileColumns; j++) to[k * kTileColumns + j] = lines[j][k];
}

namespace {

MEZZO_TILE_TARGET inline __m256 widen_8(ir::DType from, const uint16_t* in) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
  if (from == ir::DType::f16) return _mm256_cvtph_ps(bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

// bf16: adding just below half a unit, and one more where the last bit kept is odd, rounds to nearest even; a
// NaN is made quiet instead.
MEZZO_TILE_TARGET inline void narrow_8(ir::DType to, __m256 v, uint16_t* out) {
  __m128i bits;
  if (to == ir::DType::f16) {
    bits = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  } else {
    const __m256i u = _mm256_castps_si256(v),
                  odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1)),
                  rounded = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd),
                  quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000)),
                  nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)),
                  high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    bits = _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bits);
}

}  // namespace

MEZZO_TILE_TARGET void widen_run(ir::DType from, const uint16_t* in, float* out, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(out + i, widen_8(from, in + i));
  for (; i < count; i++) out[i] = from == ir::DType::bf16 ? ir::bf16_to_f32(in[i]) : ir::f16_to_f32(in[i]);
}

MEZZO_TILE_TARGET void narrow_run(ir::DType to, const float* in, uint16_t* out, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) narrow_8(to, _mm256_loadu_ps(in + i), out + i);
  for (; i < count; i++) out[i] = to == ir::DType::bf16 ? ir::f32_to_bf16(in[i]) : ir::f32_to_f16(in[i]);
}

MEZZO_TILE_TARGET void add_16(float* to, const float* what) {
  for (int64_t i = 0; i < kTileColumns; i += 8)
    _mm256_storeu_ps(to + i, _mm256_add_ps(_mm256_loadu_ps(to + i), _mm256_loadu_ps(what + i)));
}

}  // namespace mezzo::codegen::cpu

#else

namespace mezzo::codegen::cpu {
bool tile_kernel_available() { return false; }
bool tile_kernel_preferred() { return false; }
void multiply_tile_6x16(const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t, bool) {}
void interleave_16(const float* const*, int64_t, float*) {}
void widen_run(ir::DType, const uint16_t*, float*, int64_t) {}
void narrow_run(ir::DType, const float*, uint16_t*, int64_t) {}
void add_16(float*, const float*) {}
}  // namespace mezzo::codegen::cpu

#endif
