// random_primitives.h: graphs of primitives for differential tests of passes: broadcasts, reductions, movement,
// products, casts.
#pragma once
#include <random>

#include "step_patterns.h"

namespace mezzo::passes::patterns {

class RandomPrimitives {
 public:
  explicit RandomPrimitives(uint64_t seed) : random_(seed) {}

  Graph make(int ops) {
    Graph g;
    const Dims shapes[] = {{2, 3, 4}, {3, 4}, {4}, {2, 1, 4}, {6, 4}, {}, {2, 3, 1}, {12}};
    for (int k = 0; k < 6; k++)
      values_.push_back(g.input("x" + std::to_string(k), {DType::f32, shapes[pick(std::size(shapes))]}));
    state_ = g.state("s", {DType::f32, {3, 4}}, StateKind::parameter);
    values_.push_back(state_);
    for (int k = 0; k < ops; k++) {
      Scope scope(g, k < ops / 2 ? Phase::forward : Phase::backward, {});
      Value v = next(g);
      if (v && v.type().count() <= 4096) values_.push_back(v);
    }
    for (size_t k = 0; k < 4; k++)
      g.outputs.push_back({"y" + std::to_string(k),
                           values_[values_.size() - 1 - pick(std::min<size_t>(12, values_.size()))]});
    for (size_t k = values_.size(); k-- > 0;)
      if (values_[k].dims() == state_.dims()) {
        g.updates.push_back({state_.node, values_[k]});
        break;
      }
    return g;
  }

 private:
  size_t pick(size_t n) { return random_() % n; }
  Value any() {
    // Newer values more often, so that chains get long.
    size_t back = std::min(pick(values_.size()), pick(values_.size()));
    return values_[values_.size() - 1 - back];
  }

  Value next(Graph& g) {
    Value a = any();
    auto rank = static_cast<size_t>(a.rank());
    switch (pick(16)) {
      case 0: return tanh(a);
      case 1: return a * 0.5 + 1.0;
      case 2: return abs(a);
      case 3:
      case 4:
      case 5: return binary(a, any());
      case 6: return reduce_sum(a, {}, false);
      case 7:
      case 8:
      case 9: return rank ? reduce(a) : a;
      case 10: return regroup(a);
      case 11: return rank > 1 ? transpose(a, turned(a)) : exp(tanh(a));
      case 12: return rank ? move(a) : -a;
      case 13: return cast(cast(a, DType::bf16), DType::f32);
      case 14:
        return rank ? where(less(cast(iota(g, a.dims(), static_cast<int64_t>(pick(rank))), DType::f32), a), a,
                            a * 2.0)
                    : a;
      default:
        if (rank != 2) return binary(a, a);
        return tanh(dot(a, a, {.trans_b = true}));
    }
  }

  Value binary(Value a, Value b) {
    for (size_t i = 0; i < a.dims().size() && i < b.dims().size(); i++) {
      int64_t x = a.dims()[a.dims().size() - 1 - i], y = b.dims()[b.dims().size() - 1 - i];
      if (x != y && x != 1 && y != 1) return a - 1.0;
    }
    switch (pick(4)) {
      case 0: return a + b;
      case 1: return a - b;
      case 2: return tanh(a) * b;
      default: return larger(a, b);
    }
  }

  Value reduce(Value a) {
    Ints axes;
    for (int64_t i = 0; i < a.rank(); i++)
      if (pick(2)) axes.push_back(i);
    if (axes.empty()) axes.push_back(a.rank() - 1);
    bool keep = pick(3) != 0;
    Value r = pick(2) ? reduce_sum(a, axes, keep) : reduce_max(a, axes, keep);
    return keep && pick(2) ? a - r : r;
  }

  Value regroup(Value a) {
    Dims dims = a.dims();
    switch (pick(4)) {
      case 0: return reshape(a, {a.type().count()});
      case 1:
        if (dims.size() < 2) return a;
        dims[1] *= dims[0];
        dims.erase(dims.begin());
        return reshape(a, dims);
      case 2:
        for (size_t i = 0; i < dims.size(); i++)
          if (dims[i] % 2 == 0) {
            dims[i] /= 2;
            dims.insert(dims.begin() + static_cast<int64_t>(i), 2);
            break;
          }
        return reshape(a, dims);
      default:
        dims.insert(dims.begin() + static_cast<int64_t>(pick(dims.size() + 1)), 1);
        return reshape(a, dims);
    }
  }

  static Ints turned(Value a) {
    Ints perm;
    for (int64_t i = a.rank(); i-- > 0;) perm.push_back(i);
    return perm;
  }

  Value move(Value a) {
    auto axis = static_cast<int64_t>(pick(static_cast<size_t>(a.rank())));
    int64_t extent = a.dims()[static_cast<size_t>(axis)];
    switch (pick(4)) {
      case 0: return extent > 1 ? slice(a, {1}, {extent}, {axis}, {1}) : a;
      case 1: return concat({a, tanh(a)}, axis);
      case 2: {
        Ints begin(static_cast<size_t>(a.rank())), end = begin;
        begin[static_cast<size_t>(axis)] = 1;
        return pad(a, begin, end, 0.25);
      }
      default:
        if (extent < 3) return a;
        return reduce_max(window(a, {{3}, {1}, {1}, {1}, {extent}, axis}, -8), {a.rank()}, false);
    }
  }

  std::mt19937_64 random_;
  Values values_;
  Value state_;
};

}  // namespace mezzo::passes::patterns
