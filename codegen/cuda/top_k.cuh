// top_k.cuh: the K first elements of lines in an order, and their places. The order is total: NaN counts as greater than
// everything, equal elements stand in the order of their places. So every algorithm gives the same bits.

// An element as a number of kBits bits: a greater element has the greater number, NaN the greatest.
template <class T>
struct Image {
  static constexpr i32 kBits = 8 * (i32)sizeof(T);
  static constexpr bool kSigned = (T)-1 < (T)0;
  static DEVICE u64 of(T x) {
    const u64 all = ~0ull >> (64 - kBits);
    return ((u64)x & all) ^ (kSigned ? 1ull << (kBits - 1) : 0);
  }
};
template <>
struct Image<f32> {
  static constexpr i32 kBits = 32;
  static DEVICE u64 of(f32 x) {
    if (x != x) return 0xffffffffu;
    const u32 bits = bits_of(x == 0 ? 0.0f : x);  // -0 = 0
    return bits >> 31 ? ~bits : bits | 0x80000000u;
  }
};
template <>
struct Image<bf16> {
  static constexpr i32 kBits = 32;
  static DEVICE u64 of(bf16 x) { return Image<f32>::of(widen(x)); }
};
template <>
struct Image<f16> {
  static constexpr i32 kBits = 32;
  static DEVICE u64 of(f16 x) { return Image<f32>::of(widen(x)); }
};
template <>
struct Image<f64> {
  static constexpr i32 kBits = 64;
  static DEVICE u64 of(f64 x) {
    if (x != x) return ~0ull;
    const u64 bits = bits_of(x == 0 ? 0.0 : x);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
  }
};

// What comes first has the smaller key.
template <bool LARGEST, class T>
DEVICE u64 order_key(T x) {
  const u64 image = Image<T>::of(x);
  return LARGEST ? (~0ull >> (64 - Image<T>::kBits)) - image : image;
}
DEVICE bool comes_before(u64 key, i64 place, u64 other, i64 other_place) {
  return key < other || (key == other && place < other_place);
}

// One line by one thread: K times the first of those that are left. For short lines.
template <bool LARGEST, i64 EXTENT, i64 K, i64 STRIDE, class T>
DEVICE void top_k_of_line(const T* x, T* values, i64* places) {
  u64 last = 0;
  i64 last_place = -1;
  for (i64 r = 0; r < K; r++) {
    u64 first = ~0ull;
    i64 first_place = EXTENT;
    for (i64 i = 0; i < EXTENT; i++) {
      const u64 key = order_key<LARGEST>(fetch(x + i * STRIDE));
      if (!comes_before(last, last_place, key, i) || !comes_before(key, i, first, first_place)) continue;
      first = key;
      first_place = i;
    }
    store(values + r * STRIDE, fetch(x + first_place * STRIDE));
    store(places + r * STRIDE, first_place);
    last = first;
    last_place = first_place;
  }
}

// The elements that come among the first K, in any order: their keys and places into the rooms. The greatest key among
// them is found bit by bit; all with smaller keys are taken, and of those with this one the first in place.
template <i32 THREADS, bool LARGEST, i64 EXTENT, i64 K, i64 STRIDE, class T>
DEVICE void select_first(const T* x, u64* keys, i32* places) {
  SHARED(i32, counts, THREADS / 32);
  const i32 t = thread_number();
  u64 greatest = 0;
  i32 smaller = 0;  // elements with keys below it
  for (i32 bit = Image<T>::kBits - 1; bit >= 0; bit--) {
    i32 mine = 0;
    for (i64 i = t; i < EXTENT; i += THREADS)
      mine += order_key<LARGEST>(fetch(x + i * STRIDE)) >> bit == greatest >> bit;
    const i32 with_zero = fold_block<Sum, THREADS>(mine, counts);
    if (smaller + with_zero >= K) continue;
    smaller += with_zero;
    greatest |= 1ull << bit;
  }
  i32 taken = 0, equal = smaller;
  for (i64 first = 0; first < EXTENT; first += THREADS) {
    const i64 i = first + t;
    const u64 key = i < EXTENT ? order_key<LARGEST>(fetch(x + i * STRIDE)) : ~0ull;
    i32 below = 0, same = 0;
    const i32 below_before = count_before<THREADS>(i < EXTENT && key < greatest, counts, &below),
              same_before = count_before<THREADS>(i < EXTENT && key == greatest, counts, &same);
    const i32 at = i >= EXTENT || key > greatest ? (i32)K
                   : key < greatest              ? taken + below_before
                                                 : equal + same_before;
    if (at < K) {
      store(keys + at, key);
      store(places + at, (i32)i);
    }
    taken += below;
    equal += same;
  }
}

// One line by a block: a bitonic sort of ROOM (a power of 2) keys with their places, of which those behind the line's own
// come last. SELECT: only the K first are sorted. `keys` and `found` are in global memory and belong to the block.
template <i32 THREADS, bool LARGEST, bool SELECT, i64 EXTENT, i64 K, i64 STRIDE, i32 ROOM, class T>
DEVICE void top_k_of_block(const T* x, T* values, i64* places, u64* keys, i32* found) {
  const i32 t = thread_number();
  block_barrier();  // the rooms may still be read for the line before
  if (SELECT) select_first<THREADS, LARGEST, EXTENT, K, STRIDE>(x, keys, found);
  for (i32 i = t + (SELECT ? (i32)K : 0); i < ROOM; i += THREADS) {
    const bool own = !SELECT && i < EXTENT;
    store(keys + i, own ? order_key<LARGEST>(fetch(x + i * STRIDE)) : ~0ull);
    store(found + i, own ? i : 0x7fffffff);
  }
  for (i32 size = 2; size <= ROOM; size *= 2)
    for (i32 reach = size / 2; reach > 0; reach /= 2) {
      block_barrier();
      for (i32 n = t; n < ROOM / 2; n += THREADS) {
        const i32 a = n / reach * 2 * reach + n % reach, b = a + reach;
        const u64 key_a = load(keys + a), key_b = load(keys + b);
        const i32 place_a = load(found + a), place_b = load(found + b);
        const bool rises = (a & size) == 0;
        if (comes_before(key_b, place_b, key_a, place_a) != rises) continue;
        store(keys + a, key_b);
        store(keys + b, key_a);
        store(found + a, place_b);
        store(found + b, place_a);
      }
    }
  block_barrier();
  for (i64 r = t; r < K; r += THREADS) {
    const i64 place = load(found + r);
    store(values + r * STRIDE, fetch(x + place * STRIDE));
    store(places + r * STRIDE, place);
  }
}
