// numbers.cuh: conversions, the machine operations of the IR and folds; no name of the machine stands here.

// ---- numbers. A register holds a 16-bit float as the f32 of the same value, and a truth value as bool (u8 in memory).

DEVICE f32 widen(f32 x) { return x; }
DEVICE f64 widen(f64 x) { return x; }
DEVICE i8 widen(i8 x) { return x; }
DEVICE i16 widen(i16 x) { return x; }
DEVICE u16 widen(u16 x) { return x; }
DEVICE i32 widen(i32 x) { return x; }
DEVICE u32 widen(u32 x) { return x; }
DEVICE i64 widen(i64 x) { return x; }
DEVICE u64 widen(u64 x) { return x; }
DEVICE u8 widen(u8 x) { return x; }

template <class T>
struct Storage {  // of a number that is one of T already
  static DEVICE T of(T x) { return x; }
};
template <>
struct Storage<bf16> {
  static DEVICE bf16 of(f32 x) { return {(u16)(bits_of(x) >> 16)}; }
};
template <>
struct Storage<f16> {
  static DEVICE f16 of(f32 x) { return round_f16(x); }
};

template <class T>
struct Narrowed {  // a result of the type that computes, rounded
  static DEVICE T of(T x) { return x; }
};
template <>
struct Narrowed<bf16> {
  static DEVICE bf16 of(f32 x) { return round_bf16(x); }
};
template <>
struct Narrowed<f16> {
  static DEVICE f16 of(f32 x) { return round_f16(x); }
};
template <class T, class ACC>
DEVICE T narrow(ACC x) {
  return Narrowed<T>::of(x);
}

// The f32 nearest to x whose last bit tells whether anything was cut off: rounding it again to 16 bits rounds once.
DEVICE f32 round_to_odd(f64 x) {
  f32 y = (f32)x;
  if (x != x || (f64)y == x) return y;
  u32 bits = bits_of(y);
  f64 size = x < 0 ? -x : x, rounded = y < 0 ? -(f64)y : (f64)y;
  if (rounded > size) bits -= 1;
  return float_of(bits | 1);
}

template <class To>
struct Rounded {  // to a 16-bit float, as f32
};
template <>
struct Rounded<bf16> {
  static DEVICE f32 of(f32 x) { return widen(round_bf16(x)); }
  static DEVICE f32 of(f64 x) { return widen(round_bf16(round_to_odd(x))); }
};
template <>
struct Rounded<f16> {
  static DEVICE f32 of(f32 x) { return widen(round_f16(x)); }
  static DEVICE f32 of(f64 x) { return widen(round_f16(round_to_odd(x))); }
};

// Float to integer: toward zero, saturating, NaN gives 0. LEAST and MOST are the ends of T, LIMIT is MOST + 1.
template <class T, class F>
DEVICE T saturate(F x, T least, T most, F limit) {
  if (x != x) return 0;
  if (x >= limit) return most;
  if (x <= (F)least) return least;
  return (T)x;
}
template <class F>
DEVICE i8 to_i8(F x) {
  return saturate<i8, F>(x, -128, 127, 128);
}
template <class F>
DEVICE u8 to_u8(F x) {
  return saturate<u8, F>(x, 0, 255, 256);
}
template <class F>
DEVICE i16 to_i16(F x) {
  return saturate<i16, F>(x, -32768, 32767, 32768);
}
template <class F>
DEVICE u16 to_u16(F x) {
  return saturate<u16, F>(x, 0, 65535, 65536);
}
template <class F>
DEVICE i32 to_i32(F x) {
  return saturate<i32, F>(x, -2147483647 - 1, 2147483647, (F)2147483648.0);
}
template <class F>
DEVICE u32 to_u32(F x) {
  return saturate<u32, F>(x, 0, 4294967295u, (F)4294967296.0);
}
template <class F>
DEVICE i64 to_i64(F x) {
  return saturate<i64, F>(x, -9223372036854775807ll - 1, 9223372036854775807ll, (F)9223372036854775808.0);
}
template <class F>
DEVICE u64 to_u64(F x) {
  return saturate<u64, F>(x, 0, 18446744073709551615ull, (F)18446744073709551616.0);
}

// ---- machine operations, named as in ir/scalar.h, where their meaning stands

DEVICE f32 op_add(f32 a, f32 b) { return a + b; }
DEVICE f64 op_add(f64 a, f64 b) { return a + b; }
DEVICE f32 op_mul(f32 a, f32 b) { return a * b; }
DEVICE f64 op_mul(f64 a, f64 b) { return a * b; }
DEVICE f32 op_fma(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }
DEVICE f64 op_fma(f64 a, f64 b, f64 c) { return fma(a, b, c); }
#define FLOAT_FUNCTION(name, of_f32, of_f64)      \
  DEVICE f32 name(f32 a) { return of_f32(a); } \
  DEVICE f64 name(f64 a) { return of_f64(a); }
FLOAT_FUNCTION(op_abs, fabsf, fabs)
FLOAT_FUNCTION(op_sqrt, sqrtf, sqrt)
FLOAT_FUNCTION(op_floor, floorf, floor)
FLOAT_FUNCTION(op_ceil, ceilf, ceil)
FLOAT_FUNCTION(op_round, rintf, rint)
FLOAT_FUNCTION(op_trunc, truncf, trunc)
DEVICE f32 op_fmod(f32 a, f32 b) { return fmodf(a, b); }
DEVICE f64 op_fmod(f64 a, f64 b) { return fmod(a, b); }
DEVICE f32 op_mod(f32 a, f32 b) {
  f32 r = fmodf(a, b);
  if (r == 0) return copysignf(r, b);
  return (r < 0) != (b < 0) ? r + b : r;
}
DEVICE f64 op_mod(f64 a, f64 b) {
  f64 r = fmod(a, b);
  if (r == 0) return copysign(r, b);
  return (r < 0) != (b < 0) ? r + b : r;
}
DEVICE bool op_is_nan(f32 a) { return a != a; }
DEVICE bool op_is_nan(f64 a) { return a != a; }
DEVICE bool op_is_inf(f32 a) { return (bits_of(a) & 0x7fffffffu) == 0x7f800000u; }
DEVICE bool op_is_inf(f64 a) { return fabs(a) > 1.7976931348623157e308; }

// NaN in either operand comes out; of equal operands the second.
template <class T>
DEVICE T op_min(T a, T b) {
  return a < b || a != a ? a : b;
}
template <class T>
DEVICE T op_max(T a, T b) {
  return a > b || a != a ? a : b;
}
DEVICE bool op_logical_and(bool a, bool b) { return a && b; }
DEVICE bool op_logical_or(bool a, bool b) { return a || b; }

// Integers wrap: arithmetic is on the 64-bit patterns.
template <class T>
DEVICE T op_add(T a, T b) {
  return (T)((u64)a + (u64)b);
}
template <class T>
DEVICE T op_sub(T a, T b) {
  return (T)((u64)a - (u64)b);
}
template <class T>
DEVICE T op_mul(T a, T b) {
  return (T)((u64)a * (u64)b);
}
template <class T>
DEVICE T op_fma(T a, T b, T c) {
  return (T)((u64)a * (u64)b + (u64)c);
}
template <class T>
DEVICE T op_neg(T a) {
  return (T)(0 - (u64)a);
}
template <class T>
DEVICE T op_abs(T a) {
  return a < 0 ? (T)(0 - (u64)a) : a;
}
// The quotient by -1 is a negation: dividing would overflow for the least number.
template <class T>
DEVICE T op_div(T a, T b) {
  if (b == 0) return 0;
  if ((T)-1 < 0 && b == (T)-1) return op_neg(a);
  return (T)(a / b);
}
template <class T>
DEVICE T op_fmod(T a, T b) {
  if (b == 0 || ((T)-1 < 0 && b == (T)-1)) return 0;
  return (T)(a % b);
}
template <class T>
DEVICE T op_mod(T a, T b) {
  T r = op_fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? op_add(r, b) : r;
}
template <class T>
DEVICE T op_bit_not(T a) {
  return (T)~a;
}
// BITS: the unsigned type of T's width.
template <class BITS, class T>
DEVICE T op_shift_left(T a, T b) {
  return (u64)(BITS)b < sizeof(T) * 8 ? (T)((u64)(BITS)a << (BITS)b) : (T)0;
}
template <class BITS, class T>
DEVICE T op_shift_right(T a, T b) {
  return (u64)(BITS)b < sizeof(T) * 8 ? (T)((BITS)a >> (BITS)b) : (T)0;
}
DEVICE u32 op_mul_high(u32 a, u32 b) { return (u32)(((u64)a * b) >> 32); }

// ---- folds in a fixed order

struct Sum {
  template <class T>
  static DEVICE T of(T a, T b) {
    return op_add(a, b);
  }
};
struct Product {
  template <class T>
  static DEVICE T of(T a, T b) {
    return op_mul(a, b);
  }
};
struct Least {
  template <class T>
  static DEVICE T of(T a, T b) {
    return op_min(a, b);
  }
};
struct Greatest {
  template <class T>
  static DEVICE T of(T a, T b) {
    return op_max(a, b);
  }
};
struct Any {
  static DEVICE bool of(bool a, bool b) { return a || b; }
};
struct All {
  static DEVICE bool of(bool a, bool b) { return a && b; }
};

DEVICE i32 exchange(u32 mask, bool x, i32 lanes) { return shuffle_xor(mask, (i32)x, lanes); }
template <class T>
DEVICE T exchange(u32 mask, T x, i32 lanes) {
  if (sizeof(T) < 4) return (T)shuffle_xor(mask, (i32)x, lanes);
  return (T)shuffle_xor(mask, x, lanes);
}

// Over LANES neighbouring threads of a warp (a power of 2); every one of them gets the same bits. The number of the
// lower thread is the first operand.
template <class FOLD, i32 LANES, class T>
DEVICE T fold_lanes(T x) {
  const i32 lane = thread_number() % 32;
  const u32 mask = LANES == 32 ? 0xffffffffu : ((1u << (LANES % 32)) - 1) << (lane / LANES * LANES);
  UNROLL for (i32 reach = LANES / 2; reach > 0; reach /= 2) {
    const T other = (T)exchange(mask, x, reach);
    x = (lane & reach) != 0 ? FOLD::of(other, x) : FOLD::of(x, other);
  }
  return x;
}

// Over the THREADS of a block, a power of 2; every thread gets the same bits. `room` holds a number per warp.
template <class FOLD, i32 THREADS, class T>
DEVICE T fold_block(T x, T* room) {
  constexpr i32 kWarps = THREADS / 32;
  x = fold_lanes<FOLD, 32>(x);
  block_barrier();  // the room may still be read from the fold before
  if (thread_number() % 32 == 0) room[thread_number() / 32] = x;
  block_barrier();
  return fold_lanes<FOLD, kWarps>(room[thread_number() % kWarps]);
}

// How many threads of the block before this one say yes, and how many of all. `room` holds a number per warp.
template <i32 THREADS>
DEVICE i32 count_before(bool yes, i32* room, i32* total) {
  const i32 lane = thread_number() % 32, warp = thread_number() / 32;
  const u32 votes = ballot(0xffffffffu, yes);
  block_barrier();  // the room may still be read
  if (lane == 0) room[warp] = bit_count(votes);
  block_barrier();
  i32 before = bit_count(votes & ((1u << lane) - 1)), all = 0;
  for (i32 w = 0; w < THREADS / 32; w++) {
    if (w < warp) before += room[w];
    all += room[w];
  }
  *total = all;
  return before;
}

// The threads of a block are ROWS rows of WIDTH; folds down the rows (a power of 2), for N numbers per thread. Every
// row gets the result. `room` holds N numbers per thread.
template <class FOLD, i32 WIDTH, i32 ROWS, i32 N, class T>
DEVICE void fold_rows(T* x, T* room) {
  const i32 column = thread_number() % WIDTH, row = thread_number() / WIDTH;
  block_barrier();
  UNROLL for (i32 n = 0; n < N; n++) room[(row * N + n) * WIDTH + column] = x[n];
  UNROLL for (i32 reach = ROWS / 2; reach > 0; reach /= 2) {
    block_barrier();
    if (row < reach)
      UNROLL for (i32 n = 0; n < N; n++) {
        T* at = room + (row * N + n) * WIDTH + column;
        *at = FOLD::of(*at, at[reach * N * WIDTH]);
      }
  }
  block_barrier();
  UNROLL for (i32 n = 0; n < N; n++) x[n] = room[n * WIDTH + column];
}
