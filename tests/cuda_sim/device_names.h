// device_names.h: the host's meaning of the names that codegen/cuda/prelude.cuh takes from the machine.
// Compiled in front of it into every module; needs no header of the standard library.
#pragma once
#include "machine.h"

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

extern "C" {
__attribute__((visibility("default"))) mezzo::cuda_sim::Machine* mezzo_machine = nullptr;
float fmaf(float, float, float);
double fma(double, double, double);
float fabsf(float);
float fmaxf(float, float);
double fabs(double);
float sqrtf(float);
double sqrt(double);
float floorf(float);
double floor(double);
float ceilf(float);
double ceil(double);
float rintf(float);
double rint(double);
float truncf(float);
double trunc(double);
float expf(float);
float logf(float);
float tanhf(float);
double exp(double);
double expm1(double);
double log(double);
double log1p(double);
double pow(double, double);
double tanh(double);
double erf(double);
double sin(double);
double cos(double);
double tan(double);
double asin(double);
double acos(double);
double atan(double);
double sinh(double);
double cosh(double);
double asinh(double);
double acosh(double);
double atanh(double);
float fmodf(float, float);
double fmod(double, double);
float copysignf(float, float);
double copysign(double, double);
}

#define DEVICE inline
#define KERNEL(threads) static void
#define KERNEL_BESIDE(threads, blocks) static void
#define SHARED(type, name, count) \
  type* const name = (type*)mezzo_machine->shared(mezzo_machine, sizeof(type) * (count), __LINE__)
#define UNROLL
#define UNROLL_BY(count)
#define block_barrier() mezzo_machine->barrier(mezzo_machine, __LINE__)
#define warp_barrier(mask) \
  mezzo_machine->exchange(mezzo_machine, mask, 0, mezzo_machine->thread % 32, __LINE__)
#define shuffle_xor(mask, value, lanes) \
  shuffled(mask, value, (mezzo_machine->thread % 32) ^ (lanes), __LINE__)

inline int thread_number() { return (int)mezzo_machine->thread; }
inline int block_number() { return (int)mezzo_machine->block[0]; }
inline int block_number_y() { return (int)mezzo_machine->block[1]; }
inline int block_number_z() { return (int)mezzo_machine->block[2]; }
inline int block_count() { return (int)mezzo_machine->blocks[0]; }

template <class T>
T shuffled(u32 mask, T value, u32 source, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle moves 8 bytes at most");
  u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = mezzo_machine->exchange(mezzo_machine, mask, bits, source, line);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// Bit i of a vote: what lane i says.
struct Vote {
  bool yes;
  u32 result;
  static void count(const mezzo::cuda_sim::Word* lanes) {
    u32 bits = 0;
    for (u32 i = 0; i < 32; i++)
      if (lanes[i] != 0 && ((const Vote*)lanes[i])->yes) bits |= 1u << i;
    for (u32 i = 0; i < 32; i++)
      if (lanes[i] != 0) ((Vote*)lanes[i])->result = bits;
  }
};
inline u32 voted(u32 mask, bool yes, int line) {
  Vote mine{yes, 0};
  mezzo_machine->meet(mezzo_machine, mask, (u64)&mine, Vote::count, line);
  return mine.result;
}
#define ballot(mask, predicate) voted(mask, predicate, __LINE__)
inline int bit_count(u32 x) { return __builtin_popcount(x); }

// Every access to global memory: inside of some buffer, and aligned as the hardware asks.
inline void access(const void* p, u32 size, bool write) {
  auto& m = *mezzo_machine;
  auto at = (u64)p;
  if (at % size != 0) m.fail(&m, write ? "misaligned write" : "misaligned read");
  auto inside = [&](const mezzo::cuda_sim::Region* r) { return at >= r->begin && at + size <= r->end; };
  if (!m.recent || !inside(m.recent)) {
    u32 low = 0, high = m.region_count;
    while (high - low > 1) {
      u32 middle = (low + high) / 2;
      (m.regions[middle].begin <= at ? low : high) = middle;
    }
    m.recent = m.region_count > 0 ? m.regions + low : nullptr;
    if (!m.recent || !inside(m.recent))
      m.fail(&m, write ? "write outside every buffer" : "read outside every buffer");
  }
  (write ? m.recent->written : m.recent->read) += size;
}

template <class T>
T load(const T* p) {
  access(p, sizeof(T), false);
  return *p;
}
template <class T>
T fetch(const T* p) {
  return load(p);
}
template <class T>
void store(T* p, T value) {
  access(p, sizeof(T), true);
  *p = value;
}
struct alignas(16) Bytes16 {
  u32 w[4];
};
struct alignas(8) Bytes8 {
  u32 w[2];
};
inline Bytes16 load16(const void* p) { return load((const Bytes16*)p); }
inline Bytes8 load8(const void* p) { return load((const Bytes8*)p); }
inline Bytes16 fetch16(const void* p) { return load((const Bytes16*)p); }
inline Bytes8 fetch8(const void* p) { return load((const Bytes8*)p); }
inline void store16(void* p, Bytes16 v) { store((Bytes16*)p, v); }
inline void store8(void* p, Bytes8 v) { store((Bytes8*)p, v); }

inline u32 bits_of(float x) {
  u32 u;
  __builtin_memcpy(&u, &x, 4);
  return u;
}
inline u64 bits_of(double x) {
  u64 u;
  __builtin_memcpy(&u, &x, 8);
  return u;
}
inline float float_of(u32 u) {
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}

// The 16-bit floats by integer arithmetic: nearest, ties to even, NaN stays NaN.
struct bf16 {
  u16 bits;
};
struct f16 {
  u16 bits;
};
inline bf16 round_bf16(float x) {
  u32 u = bits_of(x);
  if (x != x) return {(u16)(u >> 16 | 0x40)};
  return {(u16)((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
inline float widen(bf16 x) { return float_of((u32)x.bits << 16); }
inline u16 f16_bits(float x) {
  u32 u = bits_of(x), sign = u >> 16 & 0x8000, size = u & 0x7fffffff;
  if (size > 0x7f800000) return (u16)(sign | 0x7e00);
  if (size >= 0x47800000) return (u16)(sign | 0x7c00);  // 2^16 and more
  if (size >= 0x38800000) {                             // normal: drop 13 bits, rebias from 127 to 15
    u32 even = size >> 13 & 1;
    return (u16)(sign | ((size - (112u << 23) + 0xfff + even) >> 13));
  }
  if (size < 0x33000000) return (u16)sign;  // at most half of the least number, and not above it
  u32 exponent = size >> 23, significand = (size & 0x7fffff) | 0x800000, shift = 126 - exponent;
  u32 kept = significand >> shift, rest = significand & ((1u << shift) - 1), half = 1u << (shift - 1);
  if (rest > half || (rest == half && (kept & 1))) kept++;
  return (u16)(sign | kept);
}
inline f16 round_f16(float x) { return {f16_bits(x)}; }
inline float widen(f16 x) {
  u32 h = x.bits, sign = (h & 0x8000) << 16, exponent = h >> 10 & 31, significand = h & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | significand << 13);
  if (exponent > 0) return float_of(sign | (exponent + 112) << 23 | significand << 13);
  float y = (float)significand * 0x1p-24f;
  return sign ? -y : y;
}
inline u32 round_pair(bf16, float first, float second) {
  return round_bf16(first).bits | (u32)round_bf16(second).bits << 16;
}
inline u32 round_pair(f16, float first, float second) {
  return f16_bits(first) | (u32)f16_bits(second) << 16;
}

// What mma.m16n8k16 computes, when all lanes of the warp have brought their fragments. Products and sums in
// f64, rounded once per call: real ones differ in the order and the rounding of the 16 terms.
template <class T>
struct Fragments {
  float* sums;
  const u32 *a, *b;
  // Element `half` of a register, as the lanes hold it.
  static double value(u32 word, u32 half) { return widen(T{(u16)(word >> 16 * half)}); }
  static void multiply(const mezzo::cuda_sim::Word* lanes) {
    auto of = [&](u32 lane) { return (const Fragments*)lanes[lane]; };
    double result[16][8];
    for (u32 row = 0; row < 16; row++)
      for (u32 column = 0; column < 8; column++) {
        double sum = of(row % 8 * 4 + column / 2)->sums[row / 8 * 2 + column % 2];
        for (u32 k = 0; k < 16; k++) {
          const Fragments *left = of(row % 8 * 4 + k % 8 / 2), *right = of(column * 4 + k % 8 / 2);
          sum += value(left->a[k / 8 * 2 + row / 8], k % 2) * value(right->b[k / 8], k % 2);
        }
        result[row][column] = sum;
      }
    for (u32 row = 0; row < 16; row++)
      for (u32 column = 0; column < 8; column++)
        of(row % 8 * 4 + column / 2)->sums[row / 8 * 2 + column % 2] = (float)result[row][column];
  }
};
template <class T>
void multiply_add_16(T, float* sums, const u32* a, const u32* b) {
  Fragments<T> mine{sums, a, b};
  mezzo_machine->meet(mezzo_machine, 0xffffffffu, (u64)&mine, Fragments<T>::multiply, 1);
}

// What ldmatrix hands out when all lanes of the warp have brought their rows.
struct MatrixRows {
  u32* fragments;
  const u16* row;
  template <bool TURNED>
  static void load(const mezzo::cuda_sim::Word* lanes) {
    auto of = [&](u32 lane) { return (const MatrixRows*)lanes[lane]; };
    for (u32 lane = 0; lane < 32; lane++)
      for (u32 m = 0; m < 4; m++) {
        auto element = [&](u32 i) -> u32 {
          const u32 along = lane % 4 * 2 + i, across = lane / 4;
          return TURNED ? of(m * 8 + along)->row[across] : of(m * 8 + across)->row[along];
        };
        of(lane)->fragments[m] = element(0) | element(1) << 16;
      }
  }
};
template <bool TURNED>
void load_rows_of_matrices(u32* fragments, const void* row) {
  if ((u64)row % 16 != 0) mezzo_machine->fail(mezzo_machine, "misaligned row of a matrix");
  MatrixRows mine{fragments, (const u16*)row};
  mezzo_machine->meet(mezzo_machine, 0xffffffffu, (u64)&mine, MatrixRows::load<TURNED>, TURNED ? 2 : 3);
}
inline void load_matrices(u32* fragments, const void* row) { load_rows_of_matrices<false>(fragments, row); }
inline void load_matrices_turned(u32* fragments, const void* row) {
  load_rows_of_matrices<true>(fragments, row);
}

// Nothing is there before wait(): who reads earlier, reads NaN.
class LateCopies {
 public:
  void start(void* to, const void* from, bool is_there) {
    if ((u64)to % 16 != 0) mezzo_machine->fail(mezzo_machine, "misaligned copy to shared memory");
    if (count_ == kMost) mezzo_machine->fail(mezzo_machine, "too many copies that nobody waits for");
    *(Bytes16*)to = {{~0u, ~0u, ~0u, ~0u}};
    copies_[count_++] = {to, is_there ? from : nullptr};
  }
  void wait() {
    for (int i = 0; i < count_; i++)
      *(Bytes16*)copies_[i].to = copies_[i].from ? load16(copies_[i].from) : Bytes16{};
    count_ = 0;
  }

 private:
  static constexpr int kMost = 64;
  struct Copy {
    void* to;
    const void* from;
  };
  Copy copies_[kMost];
  int count_ = 0;
};

#define MEZZO_SIMULATED
