// scan.cpp: linear recurrences along an axis. A task owns whole rows, or neighbouring columns of them, and
// steps through the axis in order.
#include <algorithm>

#include "codegen/cpu/indexed.h"
#include "ir/indexing.h"
#include "ir/op.h"
#include "ir/storage.h"

namespace mezzo::codegen::cpu {
namespace {

// Integers wrap: as 64-bit patterns, whose lower bits are right for every type.
template <class T>
using Wrapping = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;

template <class T, bool kFactors, bool kAddends>
class Recurrence : public Launch {
 public:
  Recurrence(const ir::Node& node, Threads threads)
      : s_(ir::recurrence_sizes(node)), threads_(threads), result_(node.input_count()) {
    info.detail = "scan";
  }

  void run(std::byte* const* arguments, std::byte*) override {
    auto* factors = reinterpret_cast<const T*>(arguments[0]);
    auto* addends = kAddends ? reinterpret_cast<const T*>(arguments[1]) : nullptr;
    auto* out = reinterpret_cast<T*>(arguments[result_]);
    const int64_t outer = s_.rows.outer, extent = s_.rows.extent, inner = s_.rows.inner;
    const int64_t columns = std::min<int64_t>(inner, 64),
                  blocks = columns > 0 ? (inner + columns - 1) / columns : 0;
    const int64_t tasks = outer * blocks;
    const int count = threads_.worth(2 * outer * extent * inner) ? threads_.count : 1;
#pragma omp parallel for num_threads(count) schedule(static) if (count > 1)
    for (int64_t t = 0; t < tasks; t++) {
      const int64_t first = t / blocks * extent * inner, lo = t % blocks * columns;
      const int64_t hi = std::min(lo + columns, inner);
      for (int64_t k = 0; k < extent; k++) {
        const int64_t now = first + (s_.reverse ? extent - 1 - k : k) * inner;
        const int64_t before = s_.reverse ? now + inner : now - inner;
        for (int64_t i = lo; i < hi; i++) {
          Wrapping<T> state = k > 0 ? Wrapping<T>(out[before + i]) : Wrapping<T>(kAddends ? 0 : 1);
          if (kFactors) state = state * Wrapping<T>(factors[now + i]);
          if (kAddends) state = state + Wrapping<T>(addends[now + i]);
          out[now + i] = static_cast<T>(state);
        }
      }
    }
  }

 private:
  ir::RecurrenceSizes s_;
  Threads threads_;
  size_t result_;
};

}  // namespace

std::unique_ptr<Launch> lower_recurrence(const ir::Node& node, Threads threads) {
  return ir::with_storage(node.type().dtype, [&](auto element) -> std::unique_ptr<Launch> {
    using T = decltype(element);
    if (!node.has(1)) return std::make_unique<Recurrence<T, true, false>>(node, threads);
    if (!node.has(0)) return std::make_unique<Recurrence<T, false, true>>(node, threads);
    return std::make_unique<Recurrence<T, true, true>>(node, threads);
  });
}

}  // namespace mezzo::codegen::cpu
