// top_k.cpp: ONNX TopK: the k greatest (or least) elements along an axis and their places, in order. Equal
// elements keep their order; NaN counts as greater than everything.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

size_t axis_of(const Node& n) {
  return static_cast<size_t>(normalize_axis(n.i("axis"), n.in_type(0).rank()));
}

// The order of a row by `key`: what comes first in the result comes first.
template <class Key>
void order(std::vector<int64_t>& places, const Key& key, bool largest) {
  std::iota(places.begin(), places.end(), int64_t{0});
  std::stable_sort(places.begin(), places.end(), [&](int64_t a, int64_t b) {
    const auto x = key(largest ? a : b), y = key(largest ? b : a);
    if (x != x || y != y) return x != x && y == y;
    return x > y;
  });
}

void evaluate_top_k(const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
  const Tensor& x = *in[0];
  const RowSizes s = row_sizes(x.dims(), axis_of(n));
  const int64_t k = n.i("k");
  const bool largest = n.i("largest") != 0, real = is_float(x.dtype());
  std::vector<int64_t> places(static_cast<size_t>(s.extent));
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t i = 0; i < s.inner; i++) {
      auto at = [&](int64_t place) { return (o * s.extent + place) * s.inner + i; };
      if (real)
        order(
            places, [&](int64_t place) { return x.get(at(place)); }, largest);
      else if (x.dtype() == DType::u64)
        order(
            places, [&](int64_t place) { return static_cast<uint64_t>(x.get_int(at(place))); }, largest);
      else
        order(
            places, [&](int64_t place) { return x.get_int(at(place)); }, largest);
      for (int64_t r = 0; r < k; r++) {
        const int64_t place = places[static_cast<size_t>(r)], to = (o * k + r) * s.inner + i;
        if (real)
          out[0].set(to, x.get(at(place)));
        else
          out[0].set_int(to, x.get_int(at(place)));
        out[1].set_int(to, place);
      }
    }
}

// `sorted` = 0 allows any order; Mezzo's is sorted all the same.
const OpDef top_k = {
    .name = "TopK",
    .attrs = {{"k", int64_t{0}, AttrSpec::required}, {"axis", -1}, {"largest", 1}, {"sorted", 1}},
    .precision = Precision::pass,
    .meaning = Meaning::kernel,
    .infer = [](const Node& n) -> std::vector<Type> {
      Type out = n.in_type(0);
      int64_t& extent = out.dims[axis_of(n)];
      require(out.dtype != DType::boolean, "input is bool, expected numbers");
      require(n.i("k") >= 0 && n.i("k") <= extent, "k ", n.i("k"), " of an extent of ", extent);
      extent = n.i("k");
      return {out, {DType::i64, out.dims}};
    },
    .evaluate = evaluate_top_k,
    .grad = [](Grad& g) -> Values {
      const size_t axis = axis_of(g.node);
      return {scatter_along_axis({}, g.out[1], g.dy[0], static_cast<int64_t>(axis),
                                 g.node.in_type(0).dims[axis], "add")};
    },
    .constant_inputs = {{1, "k"}},
};
MEZZO_REGISTER_OP(top_k);

}  // namespace

bool is_top_k(const Node& n) { return &n.op() == &top_k; }

RowSizes row_sizes(const Dims& dims, size_t axis) {
  RowSizes s{1, dims[axis], 1};
  for (size_t i = 0; i < axis; i++) s.outer *= dims[i];
  for (size_t i = axis + 1; i < dims.size(); i++) s.inner *= dims[i];
  return s;
}

}  // namespace mezzo::ir
