// prelude.cuh: what every generated kernel builds on. Compiled by NVRTC in front of the kernels, without any header; the
// simulator of the tests (MEZZO_SIMULATED) gives the names of the first section another meaning, and nothing else
// differs between the two worlds. Global memory is read and written through load/fetch/store and their packs only, so
// that the simulator sees every access.
typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

// ---- names of the machine

#ifndef MEZZO_SIMULATED
struct bf16 {
  u16 bits;
};
struct f16 {
  u16 bits;
};

#define DEVICE __device__ __forceinline__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads, 1)
// With no more registers than let this many blocks run beside each other.
#define KERNEL_BESIDE(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define SHARED(type, name, count) __shared__ type name[count]
#define UNROLL _Pragma("unroll")
#define UNROLL_BY(count) _Pragma(MEZZO_TEXT(unroll count))
#define MEZZO_TEXT(text) #text
#define block_barrier() __syncthreads()
#define warp_barrier(mask) __syncwarp(mask)
#define shuffle_xor(mask, value, lanes) __shfl_xor_sync(mask, value, lanes)
#define ballot(mask, predicate) __ballot_sync(mask, predicate)

DEVICE i32 thread_number() { return (i32)threadIdx.x; }
DEVICE i32 block_number() { return (i32)blockIdx.x; }
DEVICE i32 block_number_y() { return (i32)blockIdx.y; }
DEVICE i32 block_number_z() { return (i32)blockIdx.z; }
DEVICE i32 block_count() { return (i32)gridDim.x; }

DEVICE i32 bit_count(u32 x) { return __popc(x); }
DEVICE u32 bits_of(f32 x) { return __float_as_uint(x); }
DEVICE u64 bits_of(f64 x) { return (u64)__double_as_longlong(x); }
DEVICE f32 float_of(u32 bits) { return __uint_as_float(bits); }
DEVICE f32 widen(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
DEVICE f32 widen(f16 x) {
  f32 y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
// Round to nearest even, subnormals kept.
DEVICE bf16 round_bf16(f32 x) {
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
DEVICE f16 round_f16(f32 x) {
  f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
// Both rounded, `first` in the lower half of the word.
DEVICE u32 round_pair(bf16, f32 first, f32 second) {
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
  return y;
}
DEVICE u32 round_pair(f16, f32 first, f32 second) {
  u32 y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
  return y;
}

// fetch: of memory that no thread writes while the kernel runs.
template <class T>
DEVICE T load(const T* p) {
  return *p;
}
DEVICE u8 fetch(const u8* p) { return __ldg(p); }
DEVICE i8 fetch(const i8* p) { return (i8)__ldg((const u8*)p); }
DEVICE u16 fetch(const u16* p) { return __ldg(p); }
DEVICE i16 fetch(const i16* p) { return __ldg(p); }
DEVICE i32 fetch(const i32* p) { return __ldg(p); }
DEVICE u32 fetch(const u32* p) { return __ldg(p); }
DEVICE i64 fetch(const i64* p) { return __ldg(p); }
DEVICE u64 fetch(const u64* p) { return __ldg(p); }
DEVICE f32 fetch(const f32* p) { return __ldg(p); }
DEVICE f64 fetch(const f64* p) { return __ldg(p); }
DEVICE bf16 fetch(const bf16* p) { return {__ldg(&p->bits)}; }
DEVICE f16 fetch(const f16* p) { return {__ldg(&p->bits)}; }
template <class T>
DEVICE void store(T* p, T value) {
  *p = value;
}

struct alignas(16) Bytes16 {
  u32 w[4];
};
struct alignas(8) Bytes8 {
  u32 w[2];
};
DEVICE Bytes16 load16(const void* p) { return *(const Bytes16*)p; }
DEVICE Bytes8 load8(const void* p) { return *(const Bytes8*)p; }
DEVICE Bytes16 fetch16(const void* p) {
  Bytes16 v;
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3])
      : "l"(p));
  return v;
}
DEVICE Bytes8 fetch8(const void* p) {
  Bytes8 v;
  asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(v.w[0]), "=r"(v.w[1]) : "l"(p));
  return v;
}
DEVICE void store16(void* p, Bytes16 v) { *(Bytes16*)p = v; }
DEVICE void store8(void* p, Bytes8 v) { *(Bytes8*)p = v; }

// sums += a * b on the tensor cores of a warp: 16 by 16 times 16 by 8, with the fragments of mma.m16n8k16.
DEVICE void multiply_add_16(bf16, f32* sums, const u32* a, const u32* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void multiply_add_16(f16, f32* sums, const u32* a, const u32* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 by 8 16-bit elements from shared memory as fragments: `row` of lane l is row l % 8 of matrix l / 8.
// Lane l gets of each the elements l % 4 * 2 and the next of row l / 4; turned: of column l / 4.
DEVICE void load_matrices(u32* fragments, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
               : "r"((u32)__cvta_generic_to_shared(row))
               : "memory");
}
DEVICE void load_matrices_turned(u32* fragments, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
               : "r"((u32)__cvta_generic_to_shared(row))
               : "memory");
}

// Copies of 16 bytes from global to shared memory that go on while the thread does something else; they are there, for
// this thread, after wait(). Zeros for what is not there.
struct LateCopies {
  DEVICE void start(void* to, const void* from, bool is_there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"((u32)__cvta_generic_to_shared(to)), "l"(from), "r"(is_there ? 16 : 0)
                 : "memory");
  }
  DEVICE void wait() { asm volatile("cp.async.wait_all;" : : : "memory"); }
};
#endif

// ---- neighbours in memory

template <class T, int N>
struct alignas(16) Pack {
  T v[N];
};

// Reads or writes N elements in pieces of BYTES, which p is aligned to.
template <int N, int BYTES, class T>
DEVICE Pack<T, N> load_pack(const T* p) {
  Pack<T, N> out;
  UNROLL for (i32 at = 0; at < N * (i32)sizeof(T); at += BYTES) {
    if (BYTES == 16) *(Bytes16*)((u8*)out.v + at) = load16((const u8*)p + at);
    if (BYTES == 8) *(Bytes8*)((u8*)out.v + at) = load8((const u8*)p + at);
    if (BYTES == 4) *(u32*)((u8*)out.v + at) = load((const u32*)((const u8*)p + at));
    if (BYTES == 2) *(u16*)((u8*)out.v + at) = load((const u16*)((const u8*)p + at));
  }
  return out;
}
template <int N, int BYTES, class T>
DEVICE Pack<T, N> fetch_pack(const T* p) {
  Pack<T, N> out;
  UNROLL for (i32 at = 0; at < N * (i32)sizeof(T); at += BYTES) {
    if (BYTES == 16) *(Bytes16*)((u8*)out.v + at) = fetch16((const u8*)p + at);
    if (BYTES == 8) *(Bytes8*)((u8*)out.v + at) = fetch8((const u8*)p + at);
    if (BYTES == 4) *(u32*)((u8*)out.v + at) = fetch((const u32*)((const u8*)p + at));
    if (BYTES == 2) *(u16*)((u8*)out.v + at) = fetch((const u16*)((const u8*)p + at));
  }
  return out;
}
template <int BYTES, class T, int N>
DEVICE void store_pack(T* p, const Pack<T, N>& values) {
  UNROLL for (i32 at = 0; at < N * (i32)sizeof(T); at += BYTES) {
    if (BYTES == 16) store16((u8*)p + at, *(const Bytes16*)((const u8*)values.v + at));
    if (BYTES == 8) store8((u8*)p + at, *(const Bytes8*)((const u8*)values.v + at));
    if (BYTES == 4) store((u32*)((u8*)p + at), *(const u32*)((const u8*)values.v + at));
    if (BYTES == 2) store((u16*)((u8*)p + at), *(const u16*)((const u8*)values.v + at));
  }
}
