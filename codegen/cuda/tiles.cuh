// tiles.cuh: tiles of 16-bit operands in shared memory, and what a warp multiplies with them on tensor cores. Its own
// operand and its results are pieces of 16 rows by 8 columns: of each, lane l holds the elements (l / 4 + 8 * (e / 2),
// l % 4 * 2 + e % 2), e from 0 to 3, as mma.m16n8k16 wants them.

// A tile has rows of EXTENT elements, filled up with zeros to 16; 16 bytes more per row spread eight of them over all
// banks, so that reading fragments meets no conflict.
template <class T, i32 EXTENT>
struct TileRows {
  static constexpr i32 kFull = (EXTENT + 15) / 16 * 16, kPitch = kFull + 8;
  static constexpr i32 kFragments = kFull / 4;  // registers for 16 rows as left operand
  static constexpr i32 kSums = kFull / 2;       // of a lane, for 16 rows of results

  // How much shared memory COUNT rows need, in pieces of 16 bytes.
  static constexpr i32 room(i32 count) { return count * kPitch / 8; }

  // Begins to copy COUNT rows of an operand, from row `first`; rows from `end` on are zeros.
  template <i32 COUNT, i32 THREADS>
  static DEVICE void carry(T* tile, const T* from, i64 step, i32 first, i32 end, LateCopies& copies) {
    constexpr i32 kParts = kFull / 8, kMine = (COUNT * kParts + THREADS - 1) / THREADS;
    UNROLL for (i32 k = 0; k < kMine; k++) {
      const i32 n = thread_number() + k * THREADS, row = n / kParts, at = n % kParts * 8;
      if (COUNT * kParts % THREADS == 0 || n < COUNT * kParts)
        copies.start(tile + (row * kPitch + at), from + ((first + row) * step + at),
                     first + row < end && at < EXTENT);
    }
  }

  // The left operand of a warp: 16 rows from `tile`.
  static DEVICE void hold(u32* held, const T* tile) {
    const i32 lane = thread_number() % 32;
    UNROLL for (i32 d = 0; d < kFull; d += 16)
      load_matrices(held + d / 4, tile + (lane % 16 * kPitch + d + lane / 16 * 8));
  }

  // sums (16 by COLUMNS) += held * tile', with COLUMNS rows in the tile.
  template <i32 COLUMNS>
  static DEVICE void multiply(f32* sums, const u32* held, const T* tile) {
    const i32 lane = thread_number() % 32;
    const T* at = tile + ((lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8);
    UNROLL for (i32 d = 0; d < kFull; d += 16)
      UNROLL for (i32 j = 0; j < COLUMNS; j += 16) {
        u32 columns[4];
        load_matrices(columns, at + (j * kPitch + d));
        multiply_add_16(T{}, sums + j / 2, held + d / 4, columns);
        multiply_add_16(T{}, sums + j / 2 + 4, held + d / 4, columns + 2);
      }
  }

  // sums (16 by kFull) += weights (16 by DEPTH) * tile, with DEPTH rows in the tile. A weight is f32. Rounded to 16 bits
  // it is one operand (NARROW), otherwise what rounding cut off is another one: the two keep 16 bits of bf16 and 22 of
  // f16, an error of 2^-18 or 2^-22 of each term (or, of small f16 numbers, 2^-25, where the largest weight is 1 and
  // OperandRange lets dS reach 2^14). The bound of an f32 sum of 64 terms is 2^-18 of all of them, and the result is rounded
  // to 2^-9 or 2^-11.
  template <bool NARROW, i32 DEPTH>
  static DEVICE void add_weighted(f32* sums, const f32* weights, const T* tile) {
    const i32 lane = thread_number() % 32;
    const T* at = tile + (lane % 16 * kPitch + lane / 16 * 8);
    UNROLL for (i32 d = 0; d < DEPTH; d += 16) {
      u32 high[4], low[4];
      UNROLL for (i32 i = 0; i < 4; i++) {
        const f32 first = weights[d / 2 + 2 * i], second = weights[d / 2 + 2 * i + 1];
        high[i] = round_pair(T{}, first, second);
        if (!NARROW)
          low[i] = round_pair(T{}, first - widen(T{(u16)high[i]}), second - widen(T{(u16)(high[i] >> 16)}));
      }
      UNROLL for (i32 j = 0; j < kFull; j += 16) {
        u32 columns[4];
        load_matrices_turned(columns, at + (d * kPitch + j));
        multiply_add_16(T{}, sums + j / 2, high, columns);
        multiply_add_16(T{}, sums + j / 2 + 4, high, columns + 2);
        if (!NARROW) {
          multiply_add_16(T{}, sums + j / 2, low, columns);
          multiply_add_16(T{}, sums + j / 2 + 4, low, columns + 2);
        }
      }
    }
  }

  // Writes the warp's results; rows from `end` on are nobody's. `factors`: of rows l / 4 and l / 4 + 8.
  static DEVICE void write(T* to, i64 step, i32 first, i32 end, const f32* sums, const f32* factors) {
    const i32 lane = thread_number() % 32;
    UNROLL for (i32 half = 0; half < 2; half++) {
      const i32 row = first + lane / 4 + half * 8;
      if (row >= end) continue;
      UNROLL for (i32 at = 0; at < EXTENT; at += 8) {
        const f32* both = sums + (at / 2 + half * 2);
        const u32 rounded = round_pair(T{}, both[0] * factors[half], both[1] * factors[half]);
        store((u32*)(to + (row * step + at + lane % 4 * 2)), rounded);
      }
    }
  }
};

// Gradients may be of any size, but f16 has few exponents. A warp multiplies what becomes an f16 operand by a power of 2
// that brings the largest near the end of f16; when a larger one comes, its sums so far are scaled down, as those of an
// online softmax are. bf16 has the exponents of f32.
template <class T>
struct OperandRange {
  template <i32 COUNT, i32 SUMS>
  DEVICE void fit(f32*, f32*) {}
  DEVICE f32 back() const { return 1; }
};
template <>
struct OperandRange<f16> {
  f32 factor = float_of((127 + 100u) << 23);  // 2^100
  template <i32 COUNT, i32 SUMS>
  DEVICE void fit(f32* x, f32* sums) {
    f32 top = 0;
    UNROLL for (i32 i = 0; i < COUNT; i++) top = fmaxf(top, op_abs(x[i]));
    top = fold_lanes<Greatest, 32>(top);
    if (top * factor > 32768) {
      const f32 next = float_of((127 + 14 + 127 - (bits_of(top) >> 23)) << 23);  // 2^14 <= top * next < 2^15
      UNROLL for (i32 i = 0; i < SUMS; i++) sums[i] *= next / factor;
      factor = next;
    }
    UNROLL for (i32 i = 0; i < COUNT; i++) x[i] *= factor;
  }
  DEVICE f32 back() const { return 1 / factor; }
};
