// tiled_attention.cuh: attention of 16-bit operands on tensor cores (what is computed: attention.cuh). A block has 64
// queries and lets the keys they may see go by in tiles, or 64 keys and lets the queries go by; each of its four warps has
// 16 of the 64 rows. While one tile is worked at, the next is on its way. The softmax is online: a greater score scales
// down what was summed so far. All sums run in the order of the tiles: no atomics, the same bits every time.

// WIDE: rows of the tiles that go by, 32 or 64.
template <class S, class T, class MASK, i32 WIDE>
struct TiledAttention {
  using Heads = TileRows<T, S::kHead>;
  using Values = TileRows<T, S::kValue>;
  static constexpr i32 kDown = S::kDown, kThreads = S::kTileThreads, kProducts = WIDE / 2;  // of a lane: 16 rows by WIDE columns
  Attention<S, T, MASK> of;

  // First row of a block's tile. Of queries the last ones come first: under a causal band they have the most to do, and
  // what is long should not begin last.
  template <i32 HEADS, i32 ROWS, bool LAST_FIRST>
  static DEVICE AttentionRow block_rows(i32 block) {
    constexpr i32 kTiles = (ROWS + kDown - 1) / kDown;
    const i32 n = block / kTiles, tile = block % kTiles;
    return {n / HEADS, n % HEADS, (LAST_FIRST ? kTiles - 1 - tile : tile) * kDown};
  }
  // Element n of a lane's row l / 4 (0) or l / 4 + 8 (1).
  static DEVICE i32 of_row(i32 n, i32 row) { return n / 2 * 4 + row * 2 + n % 2; }
  static DEVICE i32 clamped(i64 x, i32 most) { return x < 0 ? 0 : x > most ? most : (i32)x; }

  // Whether the queries from i all see the WIDE keys from j, whether none does; sizes are a tile's.
  static DEVICE bool all_see(i32 i, i32 queries, i32 j, i32 keys) {
    return S::kMask == 0 && j + keys <= S::kKeys && j - (i + queries - 1) >= S::kLower && j + keys - 1 - i <= S::kUpper;
  }
  static DEVICE bool none_sees(i32 i, i32 queries, i32 j, i32 keys) {
    return j + keys - 1 - i < S::kLower || j - (i + queries - 1) > S::kUpper;
  }
  DEVICE bool sees(bool all, const AttentionRow& r, i32 j, f32& more) const {
    more = 0;
    return all || (r.row < S::kQueries && j < S::kKeys && of.sees(r, j, more));
  }

  // Products of the queries l / 4 and l / 4 + 8 behind `first` become scores.
  template <bool ALL>
  DEVICE void score(f32* products, const AttentionRow& first, i32 key) const {
    const i32 lane = thread_number() % 32;
    UNROLL for (i32 n = 0; n < kProducts; n++) {
      const AttentionRow r = {first.batch, first.head, first.row + lane / 4 + n % 4 / 2 * 8};
      f32 more, slope;
      const bool seen = sees(ALL, r, key + n / 4 * 8 + lane % 4 * 2 + n % 2, more);
      products[n] = seen ? of.score(products[n], more, slope) : of.nothing();
    }
  }

  // The Dropout of the weights.
  DEVICE void drop(f32* weights, AttentionRow r, i32 key) const {
    const i32 lane = thread_number() % 32;
    r.row += lane / 4;
    UNROLL for (i32 piece = 0; piece < kProducts; piece += 4) {
      const u32 at = of.place(r, key + piece * 2 + lane % 4 * 2);
      u32 places[4] = {at, at + 1, at + 8u * S::kKeys, at + 8u * S::kKeys + 1};
      f32 factors[4];
      of.template draw<4>(places, factors);
      UNROLL for (i32 e = 0; e < 4; e++) weights[piece + e] *= factors[e];
    }
  }

  // Lets the keys that a block's queries may see go by, through both halves of the memory at `keys` and `values`: each(key,
  // keys, values) for every tile of which the warp's 16 queries from `first` see some.
  template <class EACH>
  DEVICE void for_each_key_tile(const AttentionRow& tile, i32 first, T* keys, T* values, LateCopies& copies, EACH each) const {
    const T *const k = of.k + of.k_at(tile.batch, tile.head / S::kGroup, 0);
    const T *const v = of.v + of.v_at(tile.batch, tile.head / S::kGroup, 0);
    const i32 end = clamped(tile.row + kDown + S::kUpper, S::kKeys);
    i32 key = clamped(tile.row + S::kLower, S::kKeys) / WIDE * WIDE, half = 0;
    auto carry = [&](i32 from, i32 to) {
      Heads::template carry<WIDE, kThreads>(keys + to * WIDE * Heads::kPitch, k, S::k2, from, S::kKeys, copies);
      Values::template carry<WIDE, kThreads>(values + to * WIDE * Values::kPitch, v, S::v2, from, S::kKeys, copies);
    };
    if (key < end) carry(key, half);
    for (; key < end; key += WIDE, half ^= 1) {
      copies.wait();
      block_barrier();  // this tile is there, and nobody reads the one before any more
      if (key + WIDE < end) carry(key + WIDE, half ^ 1);
      if (!none_sees(first, 16, key, WIDE)) each(key, keys + half * WIDE * Heads::kPitch, values + half * WIDE * Values::kPitch);
    }
  }

  DEVICE void forward(T* y, f32* log_sum_exp, i32 block) const {
    SHARED(Bytes16, room_of_keys, 2 * Heads::room(WIDE));
    SHARED(Bytes16, room_of_values, 2 * Values::room(WIDE));
    T *const keys = (T*)room_of_keys, *const values = (T*)room_of_values;
    const AttentionRow tile = block_rows<S::kHeads, S::kQueries, true>(block);
    const i32 lane = thread_number() % 32, warp = thread_number() / 32;
    const AttentionRow first = {tile.batch, tile.head, tile.row + warp * 16};
    LateCopies copies;
    u32 query[Heads::kFragments];
    Heads::template carry<kDown, kThreads>(keys, of.q + of.q_at({tile.batch, tile.head, 0}), S::q2, tile.row, S::kQueries,
                                           copies);
    copies.wait();
    block_barrier();
    Heads::hold(query, keys + warp * 16 * Heads::kPitch);
    block_barrier();

    f32 sums[Values::kSums], top[2] = {of.nothing(), of.nothing()}, total[2] = {0, 0};
    UNROLL for (i32 n = 0; n < Values::kSums; n++) sums[n] = 0;
    for_each_key_tile(tile, first.row, keys, values, copies, [&](i32 key, const T* some_keys, const T* some_values) {
      f32 shares[kProducts];
      UNROLL for (i32 n = 0; n < kProducts; n++) shares[n] = 0;
      Heads::template multiply<WIDE>(shares, query, some_keys);
      if (all_see(first.row, 16, key, WIDE))
        score<true>(shares, first, key);
      else
        score<false>(shares, first, key);
      UNROLL for (i32 row = 0; row < 2; row++) {
        f32 now = top[row], sum = 0;
        UNROLL for (i32 n = 0; n < kProducts / 2; n++) now = fmaxf(now, shares[of_row(n, row)]);
        now = fmaxf(now, shuffle_xor(0xffffffffu, now, 1));
        now = fmaxf(now, shuffle_xor(0xffffffffu, now, 2));
        const f32 level = now > of.nothing() ? now : 0, old = exp_of(top[row] - level);
        UNROLL for (i32 n = 0; n < kProducts / 2; n++) {
          const f32 share = exp_of(shares[of_row(n, row)] - level);
          sum += share;
          shares[of_row(n, row)] = share;
        }
        total[row] = total[row] * old + sum;
        UNROLL for (i32 n = 0; n < Values::kSums / 2; n++) sums[of_row(n, row)] *= old;
        top[row] = now;
      }
      if (S::kDrops) drop(shares, first, key);
      Values::template add_weighted<S::kNarrow, WIDE>(sums, shares, some_values);
    });
    f32 factors[2];
    UNROLL for (i32 row = 0; row < 2; row++) {
      f32 sum = total[row];
      sum += shuffle_xor(0xffffffffu, sum, 1);
      sum += shuffle_xor(0xffffffffu, sum, 2);
      factors[row] = sum > 0 ? 1 / sum : 1;
      const i32 i = first.row + lane / 4 + row * 8;
      if (i < S::kQueries && lane % 4 == 0)
        store(log_sum_exp + ((tile.batch * S::kHeads + tile.head) * S::kQueries + i),
              sum > 0 ? top[row] + log_of(sum) : top[row]);
    }
    Values::write(y + of.y_at({tile.batch, tile.head, 0}), S::y2, first.row, S::kQueries, sums, factors);
  }

  // ---- the gradient

  // Of every query, for the two kernels below: its LogSumExp, infinity where it sees no key (so that its weights are 0),
  // and rowsum(dY * Y) - dLogSumExp. Queries are filled up to whole tiles. Neighbouring threads, as many as a row has
  // pieces of 16 bytes, share a query.
  static constexpr i32 kRow = (S::kQueries + kDown - 1) / kDown * kDown;
  static constexpr i32 kLanes = S::kLanes;
  DEVICE void facts(const T* y, const f32* log_sum_exp, const T* dy, const f32* d_log_sum_exp, f32* facts) const {
    const i32 n = (block_number() * kThreads + thread_number()) / kLanes, at = thread_number() % kLanes * 8;
    if (n >= S::kBatch * S::kHeads * kRow) return;  // whole warps: kRow is a multiple of 32
    const AttentionRow r = attention_row<S::kHeads, kRow>(n);
    const bool there = r.row < S::kQueries;
    f32 rest = 0, total = -of.nothing();
    if (there && at < S::kValue) {
      const Pack<T, 8> own = fetch_pack<8, 16>(y + (of.y_at(r) + at)), down = fetch_pack<8, 16>(dy + (of.y_at(r) + at));
      UNROLL for (i32 i = 0; i < 8; i++) rest = op_fma(widen(own.v[i]), widen(down.v[i]), rest);
    }
    rest = fold_lanes<Sum, kLanes>(rest);
    if (there) {
      const i32 row = (r.batch * S::kHeads + r.head) * S::kQueries + r.row;
      if (d_log_sum_exp) rest -= fetch(d_log_sum_exp + row);
      const f32 known = fetch(log_sum_exp + row);
      if (known > of.nothing()) total = known;
    }
    if (at == 0) store_pack<8>(facts + 2 * n, Pack<f32, 2>{{total, rest}});
  }

  // From products of queries and keys, and of dY and V, the weights behind the Dropout and dS without the scale. `row`
  // and `column` are the lane's first; rows are keys or queries. `facts`: of the first query of all.
  template <bool ALL, bool ROWS_ARE_KEYS>
  DEVICE void weigh(f32* products, f32* downs, AttentionRow r, i32 row, i32 column, const f32* facts) const {
    Pack<f32, 4> known;  // of the two queries of a piece
    if (!ROWS_ARE_KEYS)
      UNROLL for (i32 x = 0; x < 2; x++) {
        const Pack<f32, 2> own = fetch_pack<2, 8>(facts + 2 * (row + 8 * x));
        known.v[2 * x] = own.v[0], known.v[2 * x + 1] = own.v[1];
      }
    UNROLL for (i32 piece = 0; piece < kProducts; piece += 4) {
      const i32 across = column + piece * 2;
      if (ROWS_ARE_KEYS) known = fetch_pack<4, 16>(facts + 2 * across);
      f32 kept[4] = {1, 1, 1, 1};
      if (S::kDrops) {
        u32 places[4];
        UNROLL for (i32 e = 0; e < 4; e++) {
          r.row = ROWS_ARE_KEYS ? across + e % 2 : row + e / 2 * 8;
          places[e] = of.place(r, ROWS_ARE_KEYS ? row + e / 2 * 8 : across + e % 2);
        }
        of.template draw<4>(places, kept);
      }
      UNROLL for (i32 e = 0; e < 4; e++) {
        r.row = ROWS_ARE_KEYS ? across + e % 2 : row + e / 2 * 8;
        const i32 x = ROWS_ARE_KEYS ? e % 2 : e / 2;
        f32 more, slope;
        const bool seen = sees(ALL, r, ROWS_ARE_KEYS ? row + e / 2 * 8 : across + e % 2, more);
        const f32 score = of.score(products[piece + e], more, slope);
        const f32 weight = seen ? exp_of(score - known.v[2 * x]) : 0;
        products[piece + e] = weight * kept[e];
        downs[piece + e] = weight * (downs[piece + e] * kept[e] - known.v[2 * x + 1]) * slope;
      }
    }
  }

  DEVICE void query_gradient(const T* dy, const f32* facts, T* dq, i32 block) const {
    SHARED(Bytes16, room_of_keys, 2 * Heads::room(WIDE));
    SHARED(Bytes16, room_of_values, 2 * Values::room(WIDE));
    T *const keys = (T*)room_of_keys, *const values = (T*)room_of_values;
    const AttentionRow tile = block_rows<S::kHeads, S::kQueries, true>(block);
    const i32 lane = thread_number() % 32, warp = thread_number() / 32;
    const i32 first = tile.row + warp * 16;
    facts += 2 * (tile.batch * S::kHeads + tile.head) * kRow;
    LateCopies copies;
    u32 query[Heads::kFragments], down[Values::kFragments];
    Heads::template carry<kDown, kThreads>(keys, of.q + of.q_at({tile.batch, tile.head, 0}), S::q2, tile.row, S::kQueries,
                                           copies);
    Values::template carry<kDown, kThreads>(values, dy + of.y_at({tile.batch, tile.head, 0}), S::y2, tile.row,
                                            S::kQueries, copies);
    copies.wait();
    block_barrier();
    Heads::hold(query, keys + warp * 16 * Heads::kPitch);
    Values::hold(down, values + warp * 16 * Values::kPitch);
    block_barrier();

    OperandRange<T> range;
    f32 sums[Heads::kSums];
    UNROLL for (i32 n = 0; n < Heads::kSums; n++) sums[n] = 0;
    for_each_key_tile(tile, first, keys, values, copies, [&](i32 key, const T* some_keys, const T* some_values) {
      f32 products[kProducts], downs[kProducts];
      UNROLL for (i32 n = 0; n < kProducts; n++) products[n] = downs[n] = 0;
      Heads::template multiply<WIDE>(products, query, some_keys);
      Values::template multiply<WIDE>(downs, down, some_values);
      if (all_see(first, 16, key, WIDE))
        weigh<true, false>(products, downs, tile, first + lane / 4, key + lane % 4 * 2, facts);
      else
        weigh<false, false>(products, downs, tile, first + lane / 4, key + lane % 4 * 2, facts);
      range.template fit<kProducts, Heads::kSums>(downs, sums);
      Heads::template add_weighted<S::kNarrow, WIDE>(sums, downs, some_keys);
    });
    const f32 factor = S::scale() * range.back(), factors[2] = {factor, factor};
    Heads::write(dq + of.q_at({tile.batch, tile.head, 0}), S::q2, first, S::kQueries, sums, factors);
  }

  // dK, dV or both of 64 keys, from the queries of all heads that share them. Long rows have no registers for both.
  template <bool OF_KEYS, bool OF_VALUES>
  DEVICE void key_gradient(const T* dy, const f32* facts, T* dk, T* dv, i32 block) const {
    SHARED(Bytes16, room_of_queries, 2 * Heads::room(WIDE));
    SHARED(Bytes16, room_of_downs, 2 * Values::room(WIDE));
    T *const queries = (T*)room_of_queries, *const downs = (T*)room_of_downs;
    const AttentionRow tile = block_rows<S::kKvHeads, S::kKeys, false>(block);
    const i32 lane = thread_number() % 32, warp = thread_number() / 32;
    const i32 first = tile.row + warp * 16;
    LateCopies copies;
    u32 key[Heads::kFragments], value[Values::kFragments];
    Heads::template carry<kDown, kThreads>(queries, of.k + of.k_at(tile.batch, tile.head, 0), S::k2, tile.row, S::kKeys,
                                           copies);
    if (OF_KEYS)
      Values::template carry<kDown, kThreads>(downs, of.v + of.v_at(tile.batch, tile.head, 0), S::v2, tile.row, S::kKeys,
                                              copies);
    copies.wait();
    block_barrier();
    Heads::hold(key, queries + warp * 16 * Heads::kPitch);
    if (OF_KEYS) Values::hold(value, downs + warp * 16 * Values::kPitch);
    block_barrier();

    OperandRange<T> key_range, value_range;
    f32 key_sums[Heads::kSums], value_sums[Values::kSums];
    UNROLL for (i32 n = 0; n < Heads::kSums; n++) key_sums[n] = 0;
    UNROLL for (i32 n = 0; n < Values::kSums; n++) value_sums[n] = 0;
    // The tiles of one head after those of the other.
    const i32 begin = clamped(tile.row - S::kUpper, S::kQueries) / WIDE * WIDE;
    const i32 end = clamped(tile.row + kDown - S::kLower, S::kQueries);
    const i32 of_head = end > begin ? (end - begin + WIDE - 1) / WIDE : 0, count = of_head * S::kGroup;
    auto at = [&](i32 n) -> AttentionRow {
      return {tile.batch, tile.head * S::kGroup + n / of_head, begin + n % of_head * WIDE};
    };
    auto carry = [&](const AttentionRow& r, i32 to) {
      Heads::template carry<WIDE, kThreads>(queries + to * WIDE * Heads::kPitch, of.q + of.q_at({r.batch, r.head, 0}),
                                             S::q2, r.row, S::kQueries, copies);
      Values::template carry<WIDE, kThreads>(downs + to * WIDE * Values::kPitch, dy + of.y_at({r.batch, r.head, 0}),
                                              S::y2, r.row, S::kQueries, copies);
    };
    if (count > 0) carry(at(0), 0);
    for (i32 n = 0; n < count; n++) {
      copies.wait();
      block_barrier();
      if (n + 1 < count) carry(at(n + 1), (n + 1) % 2);
      const AttentionRow r = at(n);
      if (none_sees(r.row, WIDE, first, 16)) continue;
      const T *const query = queries + n % 2 * WIDE * Heads::kPitch, *const down = downs + n % 2 * WIDE * Values::kPitch;
      f32 weights[kProducts], steps[kProducts];
      UNROLL for (i32 i = 0; i < kProducts; i++) weights[i] = steps[i] = 0;
      Heads::template multiply<WIDE>(weights, key, query);
      if (OF_KEYS) Values::template multiply<WIDE>(steps, value, down);
      const f32* own = facts + 2 * (r.batch * S::kHeads + r.head) * kRow;
      if (all_see(r.row, WIDE, first, 16))
        weigh<true, true>(weights, steps, r, first + lane / 4, r.row + lane % 4 * 2, own);
      else
        weigh<false, true>(weights, steps, r, first + lane / 4, r.row + lane % 4 * 2, own);
      if (OF_VALUES) {
        value_range.template fit<kProducts, Values::kSums>(weights, value_sums);
        Values::template add_weighted<S::kNarrow, WIDE>(value_sums, weights, down);
      }
      if (OF_KEYS) {
        key_range.template fit<kProducts, Heads::kSums>(steps, key_sums);
        Heads::template add_weighted<S::kNarrow, WIDE>(key_sums, steps, query);
      }
    }
    const f32 factor = S::scale() * key_range.back(), factors[2] = {factor, factor};
    const f32 of_weights[2] = {value_range.back(), value_range.back()};
    if (OF_KEYS) Heads::write(dk + of.k_at(tile.batch, tile.head, 0), S::k2, first, S::kKeys, key_sums, factors);
    if (OF_VALUES) Values::write(dv + of.v_at(tile.batch, tile.head, 0), S::v2, first, S::kKeys, value_sums, of_weights);
  }
};
