// top_k.cpp: the k greatest elements of every row, with their places.
#include <algorithm>
#include <numeric>

#include "codegen/cpu/indexed.h"
#include "ir/indexing.h"
#include "ir/op.h"
#include "ir/storage.h"

namespace mezzo::codegen::cpu {
namespace {

// T: how an element is stored; Key: as what it is compared.
template <class T, class Key>
class TopK : public Launch {
 public:
  TopK(const ir::Node& node, Threads threads, Key (*key)(T))
      : s_(ir::row_sizes(node.in_type(0).dims,
                         static_cast<size_t>(ir::normalize_axis(node.i("axis"), node.in_type(0).rank())))),
        k_(node.i("k")),
        largest_(node.i("largest") != 0),
        key_(key),
        threads_(threads) {
    info.detail = "top-k";
  }

  void run(std::byte* const* arguments, std::byte*) override {
    auto* x = reinterpret_cast<const T*>(arguments[0]);
    auto* values = reinterpret_cast<T*>(arguments[1]);
    auto* places = reinterpret_cast<int64_t*>(arguments[2]);
    const int64_t rows = s_.outer * s_.inner;
    const int count = threads_.worth(16 * rows * s_.extent) ? threads_.count : 1;
#pragma omp parallel num_threads(count) if (count > 1)
    {
      std::vector<Entry> row(static_cast<size_t>(s_.extent));
#pragma omp for schedule(static)
      for (int64_t r = 0; r < rows; r++) one(x, values, places, r / s_.inner, r % s_.inner, row);
    }
  }

 private:
  struct Entry {
    Key key;
    int64_t place;
  };

  // A total order, so that it does not matter how the row is sorted: NaN is the greatest, and of equal
  // elements the first one comes first.
  static bool greater(const Entry& a, const Entry& b) {
    if (a.key != a.key || b.key != b.key) return a.key != a.key && (b.key == b.key || a.place < b.place);
    return a.key > b.key || (a.key == b.key && a.place < b.place);
  }
  static bool less(const Entry& a, const Entry& b) {
    if (a.key != a.key || b.key != b.key) return b.key != b.key && (a.key == a.key || a.place < b.place);
    return a.key < b.key || (a.key == b.key && a.place < b.place);
  }

  void one(const T* x, T* values, int64_t* places, int64_t outer, int64_t inner,
           std::vector<Entry>& row) const {
    const T* from = x + outer * s_.extent * s_.inner + inner;
    for (int64_t i = 0; i < s_.extent; i++) row[static_cast<size_t>(i)] = {key_(from[i * s_.inner]), i};
    std::partial_sort(row.begin(), row.begin() + k_, row.end(), largest_ ? greater : less);
    for (int64_t i = 0; i < k_; i++) {
      const int64_t to = (outer * k_ + i) * s_.inner + inner, place = row[static_cast<size_t>(i)].place;
      values[to] = from[place * s_.inner];
      places[to] = place;
    }
  }

  ir::RowSizes s_;
  int64_t k_;
  bool largest_;
  Key (*key_)(T);
  Threads threads_;
};

}  // namespace

std::unique_ptr<Launch> lower_top_k(const ir::Node& node, Threads threads) {
  const ir::DType type = node.type().dtype;
  if (type == ir::DType::bf16)
    return std::make_unique<TopK<uint16_t, float>>(
        node, threads, +[](uint16_t v) { return ir::bf16_to_f32(v); });
  if (type == ir::DType::f16)
    return std::make_unique<TopK<uint16_t, float>>(
        node, threads, +[](uint16_t v) { return ir::f16_to_f32(v); });
  return ir::with_storage(type, [&](auto element) -> std::unique_ptr<Launch> {
    using T = decltype(element);
    return std::make_unique<TopK<T, T>>(
        node, threads, +[](T v) { return v; });
  });
}

}  // namespace mezzo::codegen::cpu
