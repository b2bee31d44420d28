// product.cuh: matrix products and convolutions as one tiled loop. A product sums, over a depth, rows of one operand times
// rows of the other: y[row, column] = sum over d of A(row, d) * B(column, d). What an operand's element is, a loader says;
// where a result goes, and that a bias joins it, a target says. Every sum runs in one order, by tiles of the depth.

// A loader has kVector (elements side by side in memory that it reads at once), kDeep (these lie along the depth, otherwise
// along the rows) and read(row, depth): kVector elements, zeros behind the ends.
template <i32 V, class T>
DEVICE Pack<T, V> fetch_neighbours(const T* p) {
  return fetch_pack<V, (V * sizeof(T) > 16 ? 16 : V * (i32)sizeof(T))>(p);
}

template <class T, i32 V, bool DEEP, i32 ROWS, i32 DEPTH, i64 ROW_STRIDE, i64 DEPTH_STRIDE>
struct MatrixLoader {
  static constexpr i32 kVector = V;
  static constexpr bool kDeep = DEEP;
  const T* p;
  DEVICE Pack<T, V> read(i32 row, i32 depth) const {
    if (row >= ROWS || depth >= DEPTH) return {};
    return fetch_neighbours<V>(p + (row * ROW_STRIDE + depth * DEPTH_STRIDE));
  }
};

// A target has store(row, column, sum), and kPairs: columns 2n and 2n + 1 go side by side to an even place.
template <class T, class ACC, bool BIAS, bool PAIRS, i32 ROWS, i32 COLUMNS>
struct MatrixTarget {
  static constexpr bool kPairs = PAIRS;
  T* p;
  const ACC* bias;
  DEVICE T rounded(i32 column, ACC sum) const {
    if (BIAS) sum = op_add(sum, fetch(bias + column));
    return narrow<T>(sum);
  }
  DEVICE void store_sum(i32 row, i32 column, ACC sum) const {
    if (row < ROWS && column < COLUMNS) store(p + ((i64)row * COLUMNS + column), rounded(column, sum));
  }
  DEVICE void store_pair(i32 row, i32 column, ACC first, ACC second) const {
    if (row >= ROWS || column >= COLUMNS) return;
    const Pack<T, 2> both = {{rounded(column, first), rounded(column + 1, second)}};
    store_pack<2 * sizeof(T)>(p + ((i64)row * COLUMNS + column), both);
  }
};

// The part of a tile that a thread carries from global to shared memory.
template <class T, class LOADER, i32 ROWS, i32 DEPTH, i32 THREADS>
struct Carried {
  static constexpr i32 kVector = LOADER::kVector, kCount = ROWS * DEPTH / kVector;
  static constexpr i32 kMine = (kCount + THREADS - 1) / THREADS;
  Pack<T, kVector> held[kMine];

  static DEVICE i32 row_of(i32 n) {
    return LOADER::kDeep ? n / (DEPTH / kVector) : n % (ROWS / kVector) * kVector;
  }
  static DEVICE i32 depth_of(i32 n) {
    return LOADER::kDeep ? n % (DEPTH / kVector) * kVector : n / (ROWS / kVector);
  }
  DEVICE void read(const LOADER& from, i32 first_row, i32 first_depth) {
    UNROLL for (i32 k = 0; k < kMine; k++) {
      const i32 n = thread_number() + k * THREADS;
      if (kCount % THREADS == 0 || n < kCount) held[k] = from.read(first_row + row_of(n), first_depth + depth_of(n));
    }
  }
  // Element (row, depth) of the tile goes to tile[row * ROW_PITCH + depth * DEPTH_PITCH].
  template <i32 ROW_PITCH, i32 DEPTH_PITCH>
  DEVICE void put(T* tile) const {
    UNROLL for (i32 k = 0; k < kMine; k++) {
      const i32 n = thread_number() + k * THREADS;
      if (kCount % THREADS != 0 && n >= kCount) continue;
      T* to = tile + (row_of(n) * ROW_PITCH + depth_of(n) * DEPTH_PITCH);
      constexpr i32 kStep = LOADER::kDeep ? DEPTH_PITCH : ROW_PITCH;
      if (kStep == 1 && kVector * sizeof(T) == 16)
        *(Bytes16*)to = *(const Bytes16*)held[k].v;
      else
        UNROLL for (i32 i = 0; i < kVector; i++) to[i * kStep] = held[k].v[i];
    }
  }
};

// With fused multiply-adds of ACC: each thread a square of SIDE by SIDE results of a tile of TILE by TILE.
template <class T, class ACC, i32 TILE, i32 SIDE, class A, class B, class TARGET>
DEVICE void product_by_threads(const A& a, const B& b, const TARGET& target, i32 row, i32 column, i32 depth, i32 end) {
  constexpr i32 kDepth = sizeof(T) > 4 ? 8 : 16, kAcross = TILE / SIDE, kThreads = kAcross * kAcross;
  constexpr i32 kPitch = TILE + 4;
  SHARED(T, left, kDepth * kPitch);
  SHARED(T, right, kDepth * kPitch);
  const i32 x = thread_number() % kAcross, y = thread_number() / kAcross;
  Carried<T, A, TILE, kDepth, kThreads> of_a;
  Carried<T, B, TILE, kDepth, kThreads> of_b;
  ACC sums[SIDE * SIDE];
  UNROLL for (i32 i = 0; i < SIDE * SIDE; i++) sums[i] = 0;
  of_a.read(a, row, depth);
  of_b.read(b, column, depth);
  for (; depth < end; depth += kDepth) {
    block_barrier();
    of_a.template put<1, kPitch>(left);
    of_b.template put<1, kPitch>(right);
    block_barrier();
    if (depth + kDepth < end) {
      of_a.read(a, row, depth + kDepth);
      of_b.read(b, column, depth + kDepth);
    }
    UNROLL for (i32 d = 0; d < kDepth; d++) {
      ACC of_rows[SIDE], of_columns[SIDE];
      UNROLL for (i32 i = 0; i < SIDE; i++) {
        of_rows[i] = widen(left[d * kPitch + y + i * kAcross]);
        of_columns[i] = widen(right[d * kPitch + x + i * kAcross]);
      }
      UNROLL for (i32 i = 0; i < SIDE; i++)
        UNROLL for (i32 j = 0; j < SIDE; j++)
          sums[i * SIDE + j] = op_fma(of_rows[i], of_columns[j], sums[i * SIDE + j]);
    }
  }
  UNROLL for (i32 i = 0; i < SIDE; i++)
    UNROLL for (i32 j = 0; j < SIDE; j++)
      target.store_sum(row + y + i * kAcross, column + x + j * kAcross, sums[i * SIDE + j]);
}

// On tensor cores: 16-bit operands, f32 sums. A warp makes WARP_ROWS by WARP_COLUMNS results, in pieces of 16 by 8.
template <class T, i32 ROWS, i32 COLUMNS, i32 WARP_ROWS, i32 WARP_COLUMNS, class A, class B, class TARGET>
DEVICE void product_by_warps(const A& a, const B& b, const TARGET& target, i32 row, i32 column, i32 depth, i32 end) {
  constexpr i32 kDepth = 32, kPitch = kDepth + 8;  // the pitch spreads rows over the banks
  constexpr i32 kAcross = COLUMNS / WARP_COLUMNS, kThreads = ROWS / WARP_ROWS * kAcross * 32;
  constexpr i32 kDown = WARP_ROWS / 16, kRight = WARP_COLUMNS / 8;
  SHARED(T, left, ROWS * kPitch);
  SHARED(T, right, COLUMNS * kPitch);
  const i32 lane = thread_number() % 32, warp = thread_number() / 32, group = lane / 4, pair = lane % 4 * 2;
  const i32 warp_row = warp / kAcross * WARP_ROWS, warp_column = warp % kAcross * WARP_COLUMNS;
  Carried<T, A, ROWS, kDepth, kThreads> of_a;
  Carried<T, B, COLUMNS, kDepth, kThreads> of_b;
  f32 sums[kDown * kRight * 4];
  UNROLL for (i32 i = 0; i < kDown * kRight * 4; i++) sums[i] = 0;
  of_a.read(a, row, depth);
  of_b.read(b, column, depth);
  for (; depth < end; depth += kDepth) {
    block_barrier();
    of_a.template put<kPitch, 1>(left);
    of_b.template put<kPitch, 1>(right);
    block_barrier();
    if (depth + kDepth < end) {
      of_a.read(a, row, depth + kDepth);
      of_b.read(b, column, depth + kDepth);
    }
    UNROLL for (i32 d = 0; d < kDepth; d += 16) {
      u32 of_rows[kDown * 4], of_columns[kRight * 2];
      UNROLL for (i32 i = 0; i < kDown; i++) {
        const T* at = left + ((warp_row + i * 16 + group) * kPitch + d + pair);
        of_rows[i * 4] = *(const u32*)at;
        of_rows[i * 4 + 1] = *(const u32*)(at + 8 * kPitch);
        of_rows[i * 4 + 2] = *(const u32*)(at + 8);
        of_rows[i * 4 + 3] = *(const u32*)(at + 8 * kPitch + 8);
      }
      UNROLL for (i32 j = 0; j < kRight; j++) {
        const T* at = right + ((warp_column + j * 8 + group) * kPitch + d + pair);
        of_columns[j * 2] = *(const u32*)at;
        of_columns[j * 2 + 1] = *(const u32*)(at + 8);
      }
      UNROLL for (i32 i = 0; i < kDown; i++)
        UNROLL for (i32 j = 0; j < kRight; j++)
          multiply_add_16(T{}, sums + (i * kRight + j) * 4, of_rows + i * 4, of_columns + j * 2);
    }
  }
  UNROLL for (i32 i = 0; i < kDown; i++)
    UNROLL for (i32 j = 0; j < kRight; j++)
      UNROLL for (i32 half = 0; half < 2; half++) {
        const i32 r = row + warp_row + i * 16 + half * 8 + group, c = column + warp_column + j * 8 + pair;
        const f32* both = sums + ((i * kRight + j) * 4 + half * 2);
        if (TARGET::kPairs) {
          target.store_pair(r, c, both[0], both[1]);
        } else {
          target.store_sum(r, c, both[0]);
          target.store_sum(r, c + 1, both[1]);
        }
      }
}

// Adds up what SPLITS parts of the depth gave for result `n` of COUNT, in their order, and stores it.
template <class ACC, i32 SPLITS, i32 COLUMNS, class TARGET>
DEVICE void store_splits(const ACC* parts, i64 count, const TARGET& target, i32 n) {
  ACC sum = fetch(parts + n);
  UNROLL_BY(4) for (i32 s = 1; s < SPLITS; s++) sum = op_add(sum, fetch(parts + (s * count + n)));
  target.store_sum(n / COLUMNS, n % COLUMNS, sum);
}
