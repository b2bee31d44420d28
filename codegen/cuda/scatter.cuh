// scatter.cuh: updates of elements at indices in data, in the order of the updates: what the evaluator does,
// bit for bit, without atomics and without sorting. Updates are [OUTER, COUNT, INNER], results [OUTER,
// EXTENT, INNER].

struct Replaced {
  template <class T>
  static DEVICE T of(T, T update) {
    return update;
  }
};

template <class FOLD, class T>
DEVICE void update_at(T* to, T update) {
  store(to, Storage<T>::of(FOLD::of(widen(load(to)), widen(update))));
}

// Where an index points, counted from the end below 0; -1 outside of the extent.
template <class INDEX>
DEVICE i64 place_in(const INDEX* p, i64 extent) {
  i64 index = (i64)fetch(p);
  if (index < 0) index += extent;
  return index < 0 || index >= extent ? -1 : index;
}

// Every line along INNER has one index: a block owns `range` of the extent and some lines of INNER, looks
// through all indices THREADS at a time, lists those that fall to it in order, and applies them; each thread
// owns its elements.
template <class FOLD, i32 THREADS, i64 COUNT, i64 EXTENT, i64 INNER, class T, class INDEX>
DEVICE void scatter_lines(const T* updates, const INDEX* indices, const T* data, T* out, i64 first,
                          i64 last) {
  SHARED(i32, listed, THREADS);
  SHARED(i32, places, THREADS);
  SHARED(i32, counts, THREADS / 32);
  const i32 t = thread_number();
  for (i64 i = t; i < INNER; i += THREADS)
    for (i64 e = first; e < last; e++)
      store(out + (e * INNER + i), data ? fetch(data + (e * INNER + i)) : T{});
  for (i64 k0 = 0; k0 < COUNT; k0 += THREADS) {
    const i64 place = k0 + t < COUNT ? place_in(indices + (k0 + t), EXTENT) : -1;
    const bool mine = place >= first && place < last;
    i32 total = 0;
    const i32 before = count_before<THREADS>(mine, counts, &total);  // also ends the reading of the list
    if (mine) listed[before] = t, places[before] = (i32)(place - first);
    block_barrier();
    for (i32 h = 0; h < total; h++)
      for (i64 i = t; i < INNER; i += THREADS)
        update_at<FOLD>(out + ((first + places[h]) * INNER + i),
                        fetch(updates + ((k0 + listed[h]) * INNER + i)));
  }
}

// An index of its own for every update: a thread owns one line across the extent, from `first` to `last`.
template <class FOLD, i64 COUNT, i64 EXTENT, i64 INNER, i64 INDEX_COUNT, class T, class INDEX>
DEVICE void scatter_line(const T* updates, const INDEX* indices, const T* data, T* out, i64 first, i64 last) {
  for (i64 e = first; e < last; e++) store(out + e * INNER, data ? fetch(data + e * INNER) : T{});
  for (i64 k = 0; k < COUNT; k++) {
    const i64 place = place_in(indices + k * INDEX_COUNT, EXTENT);
    if (place >= first && place < last) update_at<FOLD>(out + place * INNER, fetch(updates + k * INNER));
  }
}
