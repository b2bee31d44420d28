// convolution.cuh: loaders and targets that make a convolution, and its two gradients, a product (product.cuh). S holds
// the sizes as constants: three spatial axes, strides of x, y (batch, channel, axes) and w (filter, channel; taps are
// innermost), channels and filters of one group. Pointers are those of the group. A depth or column that counts channels
// and taps has the channels innermost where these lie side by side in memory (S::kLast).

struct Place {
  i32 image, at[3];
};
template <i32 E0, i32 E1, i32 E2>
DEVICE Place place_of(i32 n) {
  return {n / (E0 * E1 * E2), {n / (E1 * E2) % E0, n / E2 % E1, n % E2}};
}
struct Tap {
  i32 channel, at[3];
};
template <class S, i32 CHANNELS>
DEVICE Tap tap_of(i32 n) {
  const i32 tap = S::kLast ? n / CHANNELS : n % S::kTaps, channel = S::kLast ? n % CHANNELS : n / S::kTaps;
  return {channel, {tap / (S::k1 * S::k2), tap / S::k2 % S::k1, tap % S::k2}};
}
template <class S>
DEVICE i32 number_of(const Tap& t) {
  return (t.at[0] * S::k1 + t.at[1]) * S::k2 + t.at[2];
}

// x at the place that output `o` sees through a tap; outside of the image: false.
template <class S>
DEVICE bool input_place(const Place& o, const Tap& t, i64& offset) {
  const i32 i0 = o.at[0] * S::s0 + t.at[0] * S::d0 - S::p0, i1 = o.at[1] * S::s1 + t.at[1] * S::d1 - S::p1,
            i2 = o.at[2] * S::s2 + t.at[2] * S::d2 - S::p2;
  if ((u32)i0 >= (u32)S::in0 || (u32)i1 >= (u32)S::in1 || (u32)i2 >= (u32)S::in2) return false;
  offset = o.image * S::xn + t.channel * S::xc + i0 * S::x0 + i1 * S::x1 + i2 * S::x2;
  return true;
}
template <class S>
DEVICE i64 output_offset(const Place& o, i32 filter) {
  return o.image * S::yn + filter * S::yc + o.at[0] * S::y0 + o.at[1] * S::y1 + o.at[2] * S::y2;
}

// Rows: output places; depth: channels and taps.
template <class S, class T, i32 V>
struct ImageLoader {
  static constexpr i32 kVector = V;
  static constexpr bool kDeep = true;
  const T* x;
  DEVICE Pack<T, V> read(i32 row, i32 depth) const {
    i64 at = 0;
    if (row >= S::kOutputs || depth >= S::kChannels * S::kTaps) return {};
    if (!input_place<S>(place_of<S::out0, S::out1, S::out2>(row), tap_of<S, S::kChannels>(depth), at)) return {};
    return fetch_neighbours<V>(x + at);
  }
};
// Rows: channels and taps; depth: output places.
template <class S, class T, i32 V>
struct TapLoader {
  static constexpr i32 kVector = V;
  static constexpr bool kDeep = false;
  ImageLoader<S, T, V> image;
  DEVICE Pack<T, V> read(i32 row, i32 depth) const { return image.read(depth, row); }
};
// Rows: filters, or channels with CHANNELS; depth: the other ones and taps.
template <class S, class T, bool CHANNELS>
struct WeightLoader {
  static constexpr i32 kVector = 1;
  static constexpr bool kDeep = true;
  static constexpr i32 kRows = CHANNELS ? S::kChannels : S::kFilters, kOthers = CHANNELS ? S::kFilters : S::kChannels;
  static constexpr i64 kRow = CHANNELS ? S::wc : S::wf, kOther = CHANNELS ? S::wf : S::wc;
  const T* w;
  DEVICE Pack<T, 1> read(i32 row, i32 depth) const {
    if (row >= kRows || depth >= kOthers * S::kTaps) return {};
    const Tap t = tap_of<S, kOthers>(depth);
    return fetch_neighbours<1>(w + (row * kRow + t.channel * kOther + number_of<S>(t)));
  }
};
// Rows: input places; depth: filters and taps. A place gets the outputs that saw it.
template <class S, class T, i32 V>
struct SeenLoader {
  static constexpr i32 kVector = V;
  static constexpr bool kDeep = true;
  const T* dy;
  DEVICE Pack<T, V> read(i32 row, i32 depth) const {
    if (row >= S::kInputs || depth >= S::kFilters * S::kTaps) return {};
    const Place i = place_of<S::in0, S::in1, S::in2>(row);
    const Tap t = tap_of<S, S::kFilters>(depth);
    const i32 a0 = i.at[0] + S::p0 - t.at[0] * S::d0, a1 = i.at[1] + S::p1 - t.at[1] * S::d1,
              a2 = i.at[2] + S::p2 - t.at[2] * S::d2;
    if (a0 < 0 || a1 < 0 || a2 < 0 || a0 % S::s0 != 0 || a1 % S::s1 != 0 || a2 % S::s2 != 0) return {};
    const Place o = {i.image, {a0 / S::s0, a1 / S::s1, a2 / S::s2}};
    if (o.at[0] >= S::out0 || o.at[1] >= S::out1 || o.at[2] >= S::out2) return {};
    return fetch_neighbours<V>(dy + output_offset<S>(o, t.channel));
  }
};
// Rows: filters; depth: output places.
template <class S, class T, i32 V>
struct OutputLoader {
  static constexpr i32 kVector = V;
  static constexpr bool kDeep = false;
  const T* dy;
  DEVICE Pack<T, V> read(i32 row, i32 depth) const {
    if (row >= S::kFilters || depth >= S::kOutputs) return {};
    return fetch_neighbours<V>(dy + output_offset<S>(place_of<S::out0, S::out1, S::out2>(depth), row));
  }
};

template <class S, class T, class ACC, bool BIAS, bool PAIRS>
struct OutputTarget {
  static constexpr bool kPairs = PAIRS;
  T* y;
  const ACC* bias;
  DEVICE T rounded(i32 column, ACC sum) const {
    if (BIAS) sum = op_add(sum, fetch(bias + column));
    return narrow<T>(sum);
  }
  DEVICE T* at(i32 row, i32 column) const {
    return y + output_offset<S>(place_of<S::out0, S::out1, S::out2>(row), column);
  }
  DEVICE void store_sum(i32 row, i32 column, ACC sum) const {
    if (row < S::kOutputs && column < S::kFilters) store(at(row, column), rounded(column, sum));
  }
  DEVICE void store_pair(i32 row, i32 column, ACC first, ACC second) const {
    if (row >= S::kOutputs || column >= S::kFilters) return;
    const Pack<T, 2> both = {{rounded(column, first), rounded(column + 1, second)}};
    store_pack<2 * sizeof(T)>(at(row, column), both);
  }
};
template <class S, class T, class ACC, bool PAIRS>
struct InputTarget {
  static constexpr bool kPairs = PAIRS;
  T* dx;
  DEVICE T* at(i32 row, i32 column) const {
    const Place i = place_of<S::in0, S::in1, S::in2>(row);
    return dx + (i.image * S::xn + column * S::xc + i.at[0] * S::x0 + i.at[1] * S::x1 + i.at[2] * S::x2);
  }
  DEVICE void store_sum(i32 row, i32 column, ACC sum) const {
    if (row < S::kInputs && column < S::kChannels) store(at(row, column), narrow<T>(sum));
  }
  DEVICE void store_pair(i32 row, i32 column, ACC first, ACC second) const {
    if (row >= S::kInputs || column >= S::kChannels) return;
    const Pack<T, 2> both = {{narrow<T>(first), narrow<T>(second)}};
    store_pack<2 * sizeof(T)>(at(row, column), both);
  }
};
template <class S, class T, class ACC>
struct FilterTarget {
  static constexpr bool kPairs = false;
  T* dw;
  DEVICE void store_sum(i32 row, i32 column, ACC sum) const {
    if (row >= S::kFilters || column >= S::kChannels * S::kTaps) return;
    const Tap t = tap_of<S, S::kChannels>(column);
    store(dw + (row * S::wf + t.channel * S::wc + number_of<S>(t)), narrow<T>(sum));
  }
  DEVICE void store_pair(i32 row, i32 column, ACC first, ACC second) const {
    store_sum(row, column, first);
    store_sum(row, column + 1, second);
  }
};
