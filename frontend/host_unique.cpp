// host_unique.cpp: Unique, whose result has as many elements as the data has values: only where the data is
// known.
#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "frontend/host_ops.h"

namespace mezzo::frontend {
namespace {

using ir::Dims;
using ir::Tensor;

// The input as slices along an axis (single elements without one).
struct Slices {
  int64_t outer = 1, count, inner = 1;  // element (o, s, i) belongs to slice s
  int64_t at(int64_t slice, int64_t element) const {
    return (element / inner * count + slice) * inner + element % inner;
  }
};

Tensor integers(const std::vector<int64_t>& values) {
  Tensor t({ir::DType::i64, {static_cast<int64_t>(values.size())}});
  std::copy(values.begin(), values.end(), t.as<int64_t>().begin());
  return t;
}

}  // namespace

void unique(Call& c) {
  ir::TensorPtr x = c.in(0) ? c.known(c.in(0)) : nullptr;
  if (!x)
    unsupported(c, "the number of different values is not known when the step is compiled",
                "Mezzo compiles static shapes: the input must follow from constants and input shapes");
  Dims dims = x->dims();
  Slices s{1, x->count(), 1};
  size_t axis = 0;
  if (c.has("axis")) {
    axis = static_cast<size_t>(ir::normalize_axis(c.integer("axis", 0), static_cast<int64_t>(dims.size())));
    s.count = dims[axis];
    for (size_t i = 0; i < axis; i++) s.outer *= dims[i];
    for (size_t i = axis + 1; i < dims.size(); i++) s.inner *= dims[i];
  } else {
    dims = {x->count()};
  }
  const int64_t length = s.outer * s.inner;
  auto before = [&](int64_t a, int64_t b) {
    for (int64_t e = 0; e < length; e++) {
      const int64_t i = s.at(a, e), j = s.at(b, e);
      if (ir::is_float(x->dtype()) ? x->get(i) != x->get(j) : x->get_int(i) != x->get_int(j))
        return ir::is_float(x->dtype()) ? x->get(i) < x->get(j) : x->get_int(i) < x->get_int(j);
    }
    return false;
  };
  std::vector<int64_t> order(static_cast<size_t>(s.count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), before);
  std::vector<std::vector<int64_t>> groups;  // equal slices, each group ascending
  for (int64_t slice : order) {
    if (groups.empty() || before(groups.back()[0], slice)) groups.emplace_back();
    groups.back().push_back(slice);
  }
  if (c.integer("sorted", 1) == 0)
    std::stable_sort(groups.begin(), groups.end(), [](auto& a, auto& b) { return a[0] < b[0]; });
  std::vector<int64_t> first, counts, inverse(static_cast<size_t>(s.count));
  for (size_t g = 0; g < groups.size(); g++) {
    first.push_back(groups[g][0]);
    counts.push_back(static_cast<int64_t>(groups[g].size()));
    for (int64_t slice : groups[g]) inverse[static_cast<size_t>(slice)] = static_cast<int64_t>(g);
  }
  dims[axis] = static_cast<int64_t>(groups.size());
  Tensor y({x->dtype(), dims});
  const Slices to{s.outer, dims[axis], s.inner};
  const auto size = static_cast<size_t>(ir::byte_size(x->dtype()));
  for (int64_t g = 0; g < to.count; g++)
    for (int64_t e = 0; e < length; e++)
      std::memcpy(y.data() + static_cast<size_t>(to.at(g, e)) * size,
                  x->data() + static_cast<size_t>(s.at(first[static_cast<size_t>(g)], e)) * size, size);
  c.results = ir::Values{c.graph.constant(std::move(y)), c.graph.constant(integers(first)),
                         c.graph.constant(integers(inverse)), c.graph.constant(integers(counts))};
}

}  // namespace mezzo::frontend
