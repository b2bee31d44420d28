// scatter.cpp: every task owns a block of the result (outer rows, a range along the axis, neighbouring
// columns) and goes through all indices in order, so that nothing is shared and the order of additions never
// depends on threads. Sorting the indices first gains nothing: docs/measurements/kernels.md.
#include <algorithm>
#include <cstring>

#include "codegen/cpu/indexed.h"
#include "ir/indexing.h"
#include "ir/op.h"
#include "ir/storage.h"

namespace mezzo::codegen::cpu {
namespace {

constexpr int64_t kColumns = 64;  // a task should have at least these: a few cache lines

// Integers wrap: as 64-bit patterns, whose lower bits are right for every type.
template <class T>
using Wrapping = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;

// The reductions on values as they are stored. NaN wins in an extremum, as in the machine operations.
struct Replace {
  template <class T>
  static T of(T, T update) {
    return update;
  }
};
struct Add {
  template <class T>
  static T of(T old, T update) {
    return static_cast<T>(Wrapping<T>(old) + Wrapping<T>(update));
  }
};
struct Multiply {
  template <class T>
  static T of(T old, T update) {
    return static_cast<T>(Wrapping<T>(old) * Wrapping<T>(update));
  }
};
struct Min {
  template <class T>
  static T of(T old, T update) {
    return old < update || old != old ? old : update;
  }
};
struct Max {
  template <class T>
  static T of(T old, T update) {
    return old > update || old != old ? old : update;
  }
};

struct Range {
  int64_t begin, end;
};
Range part(int64_t total, int64_t which, int64_t parts) {
  return {total * which / parts, total * (which + 1) / parts};
}

template <class T, class Index, class How>
class Scatter : public Launch {
 public:
  Scatter(const ir::Node& node, Threads threads)
      : s_(ir::scatter_sizes(node)), data_(node.has(2)), result_(node.input_count()) {
    info.detail = "scatter";
    const int64_t wanted =
        threads.worth(s_.outer * (s_.count + s_.extent) * s_.inner / 2) ? threads.count : 1;
    outer_parts_ = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(s_.outer, 1));
    int64_t left = (wanted + outer_parts_ - 1) / outer_parts_;
    column_parts_ = std::clamp<int64_t>(s_.inner / kColumns, 1, left);
    left = (left + column_parts_ - 1) / column_parts_;
    row_parts_ = std::clamp<int64_t>(left, 1, std::max<int64_t>(s_.extent, 1));
  }

  void run(std::byte* const* arguments, std::byte*) override {
    auto* updates = reinterpret_cast<const T*>(arguments[0]);
    auto* indices = reinterpret_cast<const Index*>(arguments[1]);
    auto* data = data_ ? reinterpret_cast<const T*>(arguments[2]) : nullptr;
    auto* out = reinterpret_cast<T*>(arguments[result_]);
    const int64_t tasks = outer_parts_ * column_parts_ * row_parts_;
#pragma omp parallel for num_threads(static_cast <int>(tasks)) schedule(static, 1) if (tasks > 1)
    for (int64_t t = 0; t < tasks; t++) {
      const Range outer = part(s_.outer, t % outer_parts_, outer_parts_);
      const Range columns = part(s_.inner, t / outer_parts_ % column_parts_, column_parts_);
      const Range rows = part(s_.extent, t / (outer_parts_ * column_parts_), row_parts_);
      for (int64_t o = outer.begin; o < outer.end; o++) {
        start(data, out, o, rows, columns);
        combine(updates, indices + o * s_.index_outer, out, o, rows, columns);
      }
    }
  }

 private:
  void start(const T* data, T* out, int64_t o, Range rows, Range columns) const {
    const auto bytes = static_cast<size_t>(columns.end - columns.begin) * sizeof(T);
    for (int64_t r = rows.begin; r < rows.end; r++) {
      const int64_t at = (o * s_.extent + r) * s_.inner + columns.begin;
      if (data)
        std::memcpy(out + at, data + at, bytes);
      else
        std::memset(out + at, 0, bytes);
    }
  }

  void combine(const T* updates, const Index* indices, T* out, int64_t o, Range rows, Range columns) const {
    auto row_of = [&](Index index) {
      const auto i = static_cast<int64_t>(index);
      return i < 0 ? i + s_.extent : i;
    };
    for (int64_t k = 0; k < s_.count; k++) {
      const T* from = updates + (o * s_.count + k) * s_.inner;
      const Index* index = indices + k * s_.index_count;
      T* base = out + o * s_.extent * s_.inner;
      if (s_.index_inner == 0) {
        const int64_t row = row_of(*index);
        if (row < rows.begin || row >= rows.end) continue;
        T* to = base + row * s_.inner;
        for (int64_t c = columns.begin; c < columns.end; c++) to[c] = How::of(to[c], from[c]);
        continue;
      }
      for (int64_t c = columns.begin; c < columns.end; c++) {
        const int64_t row = row_of(index[c]);
        if (row < rows.begin || row >= rows.end) continue;
        T* to = base + row * s_.inner + c;
        *to = How::of(*to, from[c]);
      }
    }
  }

  ir::ScatterSizes s_;
  bool data_;
  size_t result_;
  int64_t outer_parts_, column_parts_, row_parts_;
};

template <class T, class Index>
std::unique_ptr<Launch> with_reduction(const ir::Node& node, Threads threads) {
  const std::string& how = node.s("reduction");
  if (how == "add") return std::make_unique<Scatter<T, Index, Add>>(node, threads);
  if (how == "mul") return std::make_unique<Scatter<T, Index, Multiply>>(node, threads);
  if (how == "min") return std::make_unique<Scatter<T, Index, Min>>(node, threads);
  if (how == "max") return std::make_unique<Scatter<T, Index, Max>>(node, threads);
  return std::make_unique<Scatter<T, Index, Replace>>(node, threads);
}

}  // namespace

std::unique_ptr<Launch> lower_scatter(const ir::Node& node, Threads threads) {
  return ir::with_storage(node.type().dtype, [&](auto element) {
    using T = decltype(element);
    return node.in_type(1).dtype == ir::DType::i64 ? with_reduction<T, int64_t>(node, threads)
                                                   : with_reduction<T, int32_t>(node, threads);
  });
}

}  // namespace mezzo::codegen::cpu
