// tile_kernel.h: the innermost part of a blocked matrix product, and what brings operands into its order.
#pragma once
#include <cstdint>

#include "ir/type.h"

namespace mezzo::codegen::cpu {

// A tile of the result, held in registers: 12 sums of 8 numbers, as many as AVX2 has registers for beside the
// operands.
constexpr int64_t kTileRows = 6, kTileColumns = 16;

// Whether this processor has the instructions (AVX2, FMA, F16C); the functions below need them.
bool tile_kernel_available();
// Whether it has none for which the library's kernels are the better ones (AVX-512, AMX).
bool tile_kernel_preferred();

// c[6, 16] = sum over k of a(i, k) b[k, 16] (+ c when `add`), k in order, by fused multiply-adds; a(i, k) is
// at a + i * row + k * step.
void multiply_tile_6x16(const float* a, int64_t row, int64_t step, const float* b, int64_t depth, float* c,
                        int64_t c_row, bool add);

// 16 lines of `count` numbers, side by side: to[k * 16 + j] = lines[j][k].
void interleave_16(const float* const* lines, int64_t count, float* to);

// 16-bit floats <-> f32, `count` of them; narrowing rounds to nearest even.
void widen_run(ir::DType from, const uint16_t* in, float* out, int64_t count);
void narrow_run(ir::DType to, const float* in, uint16_t* out, int64_t count);

// to[0..16] += what.
void add_16(float* to, const float* what);

}  // namespace mezzo::codegen::cpu
