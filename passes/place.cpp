// place: packs lifetimes into an arena. Each order places value after value at the lowest (or tightest) gap
// that is free for its whole lifetime; the order decides how good that is, so several are tried, and the
// values that stick out at the top are moved to the front of the best one and it is tried again.
#include <algorithm>
#include <limits>
#include <numeric>

#include "passes/plan_memory.h"

namespace mezzo::passes {

namespace {

constexpr int kRepairs = 24;
constexpr size_t kRepairLimit = 4000;  // values; beyond that one placement takes too long to repeat it often

class Packer {
 public:
  explicit Packer(std::vector<Lifetime>& values) : values_(values) {}

  // The bytes needed when values are placed in this order.
  int64_t pack(const std::vector<size_t>& order, bool tightest, std::vector<int64_t>& offsets) {
    offsets.assign(values_.size(), -1);
    int64_t top = 0;
    placed_.clear();  // by offset
    for (size_t i : order) {
      const Lifetime& v = values_[i];
      if (v.bytes == 0) {
        offsets[i] = 0;
        continue;
      }
      int64_t at = 0, best = -1, best_gap = std::numeric_limits<int64_t>::max();
      for (size_t other : placed_) {
        const Lifetime& o = values_[other];
        if (o.until < v.from || v.until < o.from) continue;
        int64_t gap = offsets[other] - at;
        if (gap >= v.bytes && gap < best_gap) {
          best = at;
          best_gap = gap;
          if (!tightest) break;
        }
        at = std::max(at, offsets[other] + o.bytes);
      }
      offsets[i] = best >= 0 ? best : at;
      top = std::max(top, offsets[i] + v.bytes);
      auto before = [&](size_t a, int64_t offset) { return offsets[a] < offset; };
      placed_.insert(std::lower_bound(placed_.begin(), placed_.end(), offsets[i], before), i);
    }
    return top;
  }

 private:
  std::vector<Lifetime>& values_;
  std::vector<size_t> placed_;
};

int64_t most_alive(const std::vector<Lifetime>& values) {
  int last = 0;
  for (const Lifetime& v : values) last = std::max(last, v.until);
  std::vector<int64_t> change(static_cast<size_t>(last) + 2, 0);
  for (const Lifetime& v : values) {
    change[static_cast<size_t>(v.from)] += v.bytes;
    change[static_cast<size_t>(v.until) + 1] -= v.bytes;
  }
  int64_t live = 0, most = 0;
  for (int64_t c : change) most = std::max(most, live += c);
  return most;
}

}  // namespace

int64_t place(std::vector<Lifetime>& values, int64_t* bound) {
  int64_t least = most_alive(values);
  if (bound) *bound = least;
  Packer packer(values);
  std::vector<int64_t> offsets, best_offsets;
  std::vector<size_t> best_order;
  int64_t best = std::numeric_limits<int64_t>::max();
  bool best_tight = false;
  auto attempt = [&](const std::vector<size_t>& order, bool tight) {
    if (best == least) return;
    int64_t bytes = packer.pack(order, tight, offsets);
    if (bytes >= best) return;
    best = bytes;
    best_offsets = offsets;
    best_order = order;
    best_tight = tight;
  };

  std::vector<size_t> order(values.size());
  auto length = [&](size_t i) { return static_cast<int64_t>(values[i].until - values[i].from + 1); };
  auto sorted_by = [&](auto key) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) > key(b); });
    attempt(order, false);
    attempt(order, true);
  };
  sorted_by([&](size_t i) { return values[i].bytes; });
  sorted_by([&](size_t i) { return static_cast<double>(values[i].bytes) * static_cast<double>(length(i)); });
  sorted_by([&](size_t i) { return std::pair(length(i), values[i].bytes); });
  sorted_by([&](size_t i) { return -values[i].from; });
  sorted_by([&](size_t i) { return values[i].until; });

  for (int round = 0; round < kRepairs && best > least && values.size() <= kRepairLimit; round++) {
    order = best_order;
    std::stable_partition(order.begin(), order.end(),
                          [&](size_t i) { return best_offsets[i] + values[i].bytes == best; });
    int64_t before = best;
    attempt(order, best_tight);
    attempt(order, !best_tight);
    if (best == before) break;
  }
  for (size_t i = 0; i < values.size(); i++) values[i].offset = best_offsets[i];
  return values.empty() ? 0 : best;
}

}  // namespace mezzo::passes
