// recurrence.cuh: s[i] = factor[i] * s[i-1] + addend[i] along lines, in the order and with the roundings of the
// evaluator.

// One line, by one thread: EXTENT elements at distances of STRIDE, from the end with REVERSE.
template <bool FACTORS, bool ADDENDS, bool REVERSE, i64 EXTENT, i64 STRIDE, class T>
DEVICE void run_recurrence(const T* factors, const T* addends, T* out) {
  constexpr i32 kAhead = 8;  // loads in flight
  T state = ADDENDS ? (T)0 : (T)1, factor[kAhead], addend[kAhead];
  for (i64 first = 0; first < EXTENT; first += kAhead) {
    UNROLL for (i32 k = 0; k < kAhead; k++) {
      if (first + k >= EXTENT) break;
      const i64 at = (REVERSE ? EXTENT - 1 - (first + k) : first + k) * STRIDE;
      if (FACTORS) factor[k] = fetch(factors + at);
      if (ADDENDS) addend[k] = fetch(addends + at);
    }
    UNROLL for (i32 k = 0; k < kAhead; k++) {
      if (first + k >= EXTENT) break;
      if (FACTORS) state = op_mul(state, factor[k]);
      if (ADDENDS) state = op_add(state, addend[k]);
      store(out + (REVERSE ? EXTENT - 1 - (first + k) : first + k) * STRIDE, state);
    }
  }
}
