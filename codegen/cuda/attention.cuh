// attention.cuh: scaled dot-product attention and its gradient (ir/ops/attention_kernel.cpp), a warp per query or key. S
// holds the sizes as constants; the elements of a row are shared out over the lanes. Scores never stand in memory. Sums
// run in the order of the keys, or of the queries, so results are the same every time.

FLOAT_FUNCTION(exp_of, expf, exp)
FLOAT_FUNCTION(log_of, logf, log)
FLOAT_FUNCTION(tanh_of, tanhf, tanh)

// A lane's part of a row of EXTENT elements.
template <class ACC, i32 EXTENT>
struct LanePart {
  static constexpr i32 kCount = (EXTENT + 31) / 32;
  ACC held[kCount];
  DEVICE void clear() {
    UNROLL for (i32 c = 0; c < kCount; c++) held[c] = 0;
  }
  template <class T>
  DEVICE void read(const T* row) {
    UNROLL for (i32 c = 0; c < kCount; c++) {
      const i32 d = thread_number() % 32 + 32 * c;
      held[c] = d < EXTENT ? (ACC)widen(fetch(row + d)) : (ACC)0;
    }
  }
  template <class T>
  DEVICE void write(T* row, ACC factor) const {
    UNROLL for (i32 c = 0; c < kCount; c++) {
      const i32 d = thread_number() % 32 + 32 * c;
      if (d < EXTENT) store(row + d, narrow<T>(held[c] * factor));
    }
  }
  DEVICE ACC dot(const LanePart& other) const {
    ACC sum = 0;
    UNROLL for (i32 c = 0; c < kCount; c++) sum = op_fma(held[c], other.held[c], sum);
    return fold_lanes<Sum, 32>(sum);
  }
  DEVICE void add(const LanePart& other, ACC factor) {
    UNROLL for (i32 c = 0; c < kCount; c++) held[c] = op_fma(other.held[c], factor, held[c]);
  }
  DEVICE void scale(ACC factor) {
    UNROLL for (i32 c = 0; c < kCount; c++) held[c] *= factor;
  }
};

// One of batch, head and row; heads of keys count `heads_of_keys`.
struct AttentionRow {
  i32 batch, head, row;
};
template <i32 HEADS, i32 ROWS>
DEVICE AttentionRow attention_row(i32 n) {
  return {n / (HEADS * ROWS), n / ROWS % HEADS, n % ROWS};
}

template <class S, class T, class MASK>
struct Attention {
  using ACC = typename S::Sum;
  using Head = LanePart<ACC, S::kHead>;
  using Values = LanePart<ACC, S::kValue>;
  const T *q, *k, *v;
  const MASK* mask;
  const u32* random;  // seed and step

  static DEVICE i64 q_at(const AttentionRow& r) { return r.batch * S::q0 + r.head * S::q1 + r.row * S::q2; }
  static DEVICE i64 k_at(i32 b, i32 g, i32 j) { return b * S::k0 + g * S::k1 + j * S::k2; }
  static DEVICE i64 v_at(i32 b, i32 g, i32 j) { return b * S::v0 + g * S::v1 + j * S::v2; }
  static DEVICE i64 y_at(const AttentionRow& r) { return r.batch * S::y0 + r.head * S::y1 + r.row * S::y2; }

  // Whether a query sees a key, and what a float mask adds to the score.
  DEVICE bool sees(const AttentionRow& r, i32 j, ACC& more) const {
    more = 0;
    if (j - r.row < S::kLower || j - r.row > S::kUpper) return false;
    if (S::kMask == 0) return true;
    const MASK m = fetch(mask + (r.batch * S::m0 + r.head * S::m1 + r.row * S::m2 + j * S::m3));
    if (S::kMask == 1) return widen(m) != 0;
    more = (ACC)widen(m);
    return true;
  }
  // The score from q * k, and d score / d (scale * q * k).
  static DEVICE ACC score(ACC product, ACC more, ACC& slope) {
    product *= S::scale();
    slope = 1;
    if (S::kSoftcap) {
      const ACC t = tanh_of(product / S::softcap());
      product = t * S::softcap();
      slope = 1 - t * t;
    }
    return product + more;
  }
  // What the Dropout multiplies COUNT weights with, from their places in [B, H, S, T], as ir/philox.h says. The rounds stay
  // a loop: unrolled, the compiler works at all weights of a thread at once and runs out of registers.
  static DEVICE u32 place(const AttentionRow& r, i32 j) {
    return (u32)(((i64)(r.batch * S::kHeads + r.head) * S::kQueries + r.row) * S::kKeys + j);
  }
  template <i32 COUNT>
  DEVICE void draw(u32* places, ACC* factors) const {
    u32 right[COUNT], key = fetch(random) ^ S::kStream;
    UNROLL for (i32 n = 0; n < COUNT; n++) right[n] = fetch(random + 1);
    UNROLL_BY(1) for (i32 round = 0; round < S::kRounds; round++) {
      UNROLL for (i32 n = 0; n < COUNT; n++) {
        const u32 high = op_mul_high(places[n], S::kMultiplier), low = places[n] * S::kMultiplier;
        places[n] = high ^ key ^ right[n];
        right[n] = low;
      }
      key += S::kKeyStep;
    }
    UNROLL for (i32 n = 0; n < COUNT; n++) factors[n] = places[n] >> 8 >= S::kThreshold ? S::factor() : (ACC)0;
  }
  // What it makes of the weight of query r and key j.
  DEVICE ACC dropped(ACC x, const AttentionRow& r, i32 j) const {
    if (!S::kDrops) return x;
    u32 at = place(r, j);
    ACC factor;
    draw<1>(&at, &factor);
    return factor > 0 ? x * factor : (ACC)0;
  }
  static DEVICE ACC nothing() { return -(ACC)float_of(0x7f800000u); }
  // Keys that query `row` may see, and queries that may see key `row`.
  static DEVICE i32 first_of(i64 row, i64 below) { return row + below > 0 ? (i32)(row + below) : 0; }
  static DEVICE i32 last_of(i64 row, i64 above, i32 count) {
    return row + above + 1 < count ? (i32)(row + above + 1 > 0 ? row + above + 1 : 0) : count;
  }

  template <class OUT>
  DEVICE void forward(OUT* y, ACC* log_sum_exp, i32 n) const {
    const AttentionRow r = attention_row<S::kHeads, S::kQueries>(n);
    Head query, key;
    Values value, sum;
    query.read(q + q_at(r));
    sum.clear();
    ACC top = nothing(), total = 0, more, slope;
    const i32 end = last_of(r.row, S::kUpper, S::kKeys);
    for (i32 j = first_of(r.row, S::kLower); j < end; j++) {
      if (!sees(r, j, more)) continue;
      key.read(k + k_at(r.batch, r.head / S::kGroup, j));
      value.read(v + v_at(r.batch, r.head / S::kGroup, j));
      const ACC s = score(query.dot(key), more, slope);
      if (s == nothing()) continue;
      const ACC now = s > top ? s : top, old = exp_of(top - now), share = exp_of(s - now);
      total = total * old + share;
      sum.scale(old);
      sum.add(value, dropped(share, r, j));
      top = now;
    }
    sum.write(y + y_at(r), total > 0 ? 1 / total : (ACC)1);
    if (thread_number() % 32 == 0) store(log_sum_exp + n, total > 0 ? top + log_of(total) : top);
  }

  // dQ of one query; leaves rowsum(dY * Y) - dLogSumExp for the keys. `scores` may be null.
  DEVICE void query_gradient(const T* y, const ACC* log_sum_exp, const T* dy, const ACC* d_log_sum_exp, T* dq, ACC* scores,
                             ACC* rests, i32 n) const {
    const AttentionRow r = attention_row<S::kHeads, S::kQueries>(n);
    Head query, key, sum;
    Values own, down, value;
    query.read(q + q_at(r));
    own.read(y + y_at(r));
    down.read(dy + y_at(r));
    sum.clear();
    ACC rest = own.dot(down), more, slope;
    if (d_log_sum_exp) rest -= fetch(d_log_sum_exp + n);
    const ACC total = fetch(log_sum_exp + n);
    const i32 end = scores ? S::kKeys : last_of(r.row, S::kUpper, S::kKeys);
    for (i32 j = scores ? 0 : first_of(r.row, S::kLower); j < end; j++) {
      ACC ds = 0;
      if (total > nothing() && sees(r, j, more)) {
        key.read(k + k_at(r.batch, r.head / S::kGroup, j));
        value.read(v + v_at(r.batch, r.head / S::kGroup, j));
        const ACC share = exp_of(score(query.dot(key), more, slope) - total);
        ds = share * (dropped(down.dot(value), r, j) - rest);
        sum.add(key, ds * slope * S::scale());
      }
      if (scores && thread_number() % 32 == 0) store(scores + ((i64)n * S::kKeys + j), ds);
    }
    sum.write(dq + q_at(r), 1);
    if (thread_number() % 32 == 0) store(rests + n, rest);
  }

  // dK and dV of one key, from all queries of the heads that share it.
  DEVICE void key_gradient(const ACC* log_sum_exp, const T* dy, T* dk, T* dv, const ACC* rests, i32 n) const {
    const AttentionRow own = attention_row<S::kKvHeads, S::kKeys>(n);
    const i32 j = own.row;
    Head query, key, key_sum;
    Values down, value, value_sum;
    key.read(k + k_at(own.batch, own.head, j));
    value.read(v + v_at(own.batch, own.head, j));
    key_sum.clear();
    value_sum.clear();
    const i32 first = first_of(j, -S::kUpper), end = last_of(j, -S::kLower, S::kQueries);
    for (i32 h = own.head * S::kGroup; h < (own.head + 1) * S::kGroup; h++)
      for (i32 i = first; i < end; i++) {
        const AttentionRow r = {own.batch, h, i};
        const i32 row = (own.batch * S::kHeads + h) * S::kQueries + i;
        ACC more, slope;
        const ACC total = fetch(log_sum_exp + row);
        if (!(total > nothing()) || !sees(r, j, more)) continue;
        query.read(q + q_at(r));
        down.read(dy + y_at(r));
        const ACC share = exp_of(score(query.dot(key), more, slope) - total);
        value_sum.add(down, dropped(share, r, j));
        const ACC ds = share * (dropped(down.dot(value), r, j) - fetch(rests + row));
        key_sum.add(query, ds * slope * S::scale());
      }
    key_sum.write(dk + k_at(own.batch, own.head, j), 1);
    value_sum.write(dv + v_at(own.batch, own.head, j), 1);
  }
};
