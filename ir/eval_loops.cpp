// eval_loops.cpp: movement and reductions, one element at a time.
#include "ir/eval_loops.h"

#include <cstring>
#include <limits>

#include "ir/op.h"

namespace mezzo::ir {
namespace {

// An expression along one row of the result: linear in the last coordinate where possible.
class RowExpr {
 public:
  RowExpr(Expr expr, int last)
      : expr_(std::move(expr)), step_(last < 0 ? std::optional<int64_t>(0) : expr_.stride(last)) {}
  // `coordinates` point at the row's first element.
  void start(const std::vector<int64_t>& coordinates) { base_ = expr_.evaluate(coordinates); }
  // At element j of the row; `coordinates` are those of that element.
  int64_t at(int64_t j, const std::vector<int64_t>& coordinates) const {
    return step_ ? base_ + j * *step_ : expr_.evaluate(coordinates);
  }

 private:
  Expr expr_;
  std::optional<int64_t> step_;
  int64_t base_ = 0;
};

struct RowLookup {
  const Tensor* indices;
  RowExpr address;
  int64_t extent, stride;  // of the axis it is a coordinate of
};

struct RowAccess {
  const Tensor* from;
  RowExpr address;
  std::vector<std::pair<RowExpr, int64_t>> when;  // 0 <= value < extent
  std::vector<RowLookup> lookups = {};

  int64_t at(int64_t j, const std::vector<int64_t>& coordinates) const {
    int64_t offset = address.at(j, coordinates);
    for (const RowLookup& l : lookups)
      offset += looked_up(l.indices->get_int(l.address.at(j, coordinates)), l.extent) * l.stride;
    return offset;
  }
};

RowAccess row_access(const Access& a, const TensorRefs& in, int last) {
  const Tensor* from = in.at(a.input);
  Exprs at = a.at;
  for (const Lookup& l : a.lookups) at[l.axis] = 0;
  RowAccess row{from, RowExpr(linearize(at, from->dims()), last), {}};
  for (const Condition& c : a.when)
    if (!c.always()) row.when.emplace_back(RowExpr(c.value, last), c.extent);
  Dims strides = strides_of(from->dims());
  for (const Lookup& l : a.lookups) {
    const Tensor* indices = in.at(l.input);
    row.lookups.push_back({indices, RowExpr(linearize(l.at, indices->dims()), last), from->dims()[l.axis],
                           strides[l.axis]});
  }
  return row;
}

bool holds(const RowAccess& access, int64_t j, const std::vector<int64_t>& coordinates) {
  for (auto& [value, extent] : access.when) {
    int64_t v = value.at(j, coordinates);
    if (v < 0 || v >= extent) return false;
  }
  return true;
}

// Moves to the next row; the last coordinate is 0 again.
void next_row(const Dims& dims, std::vector<int64_t>& coordinates) {
  if (coordinates.empty()) return;
  coordinates.back() = 0;
  for (size_t axis = coordinates.size() - 1; axis-- > 0;) {
    if (++coordinates[axis] < dims[axis]) return;
    coordinates[axis] = 0;
  }
}

}  // namespace

void evaluate_index(const Node& node, const TensorRefs& in, Tensor& out) {
  const Dims& dims = out.dims();
  int last = static_cast<int>(dims.size()) - 1;
  int64_t length = last < 0 ? 1 : dims.back(), total = out.count();
  if (total == 0) return;
  Exprs at;
  for (size_t i = 0; i < dims.size(); i++) at.push_back(Expr::coordinate(static_cast<int>(i), dims[i]));
  IndexMap map = node.op().index(node, at);

  std::vector<RowAccess> accesses;
  for (const Access& a : map.accesses) accesses.push_back(row_access(a, in, last));
  std::optional<RowExpr> value;
  if (map.value) value.emplace(*map.value, last);
  Tensor fill = Tensor::filled({out.dtype(), {1}}, map.fill);

  auto size = static_cast<size_t>(byte_size(out.dtype()));
  std::vector<int64_t> coordinates(dims.size(), 0);
  for (int64_t first = 0; first < total; first += length) {
    for (RowAccess& a : accesses) {
      a.address.start(coordinates);
      for (auto& condition : a.when) condition.first.start(coordinates);
      for (RowLookup& lookup : a.lookups) lookup.address.start(coordinates);
    }
    if (value) value->start(coordinates);
    for (int64_t j = 0; j < length; j++) {
      if (last >= 0) coordinates.back() = j;
      if (value) {
        out.set_int(first + j, value->at(j, coordinates));
        continue;
      }
      const std::byte* source = fill.data();
      for (const RowAccess& a : accesses)
        if (holds(a, j, coordinates)) {
          int64_t address = a.at(j, coordinates);
          check(address >= 0 && address < a.from->count(), node.op().name, ": element ", first + j,
                " reads at ", address, " of ", a.from->count());
          source = a.from->data() + static_cast<size_t>(address) * size;
          break;
        }
      std::memcpy(out.data() + static_cast<size_t>(first + j) * size, source, size);
    }
    next_row(dims, coordinates);
  }
}

namespace {

// Strides of the result for every axis of the input: 0 for folded axes.
Dims result_steps(const Node& node, const Dims& dims) {
  Ints axes = node.ints("axes");
  std::vector<char> folded(dims.size(), axes.empty() && node.i("noop_with_empty_axes") == 0);
  for (int64_t a : axes)
    folded[static_cast<size_t>(normalize_axis(a, static_cast<int64_t>(dims.size())))] = 1;
  Dims steps(dims.size(), 0);
  int64_t step = 1;
  for (size_t i = dims.size(); i-- > 0;)
    if (!folded[i]) {
      steps[i] = step;
      step *= dims[i];
    }
  return steps;
}

template <class T>
void fold(const Node& node, const Tensor& in, Tensor& out) {
  using Limits = std::numeric_limits<T>;
  Reduction how = node.op().reduce;
  T start = how == Reduction::sum ? T{0} : T{1};
  if (how == Reduction::max) start = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  if (how == Reduction::min) start = Limits::has_infinity ? Limits::infinity() : Limits::max();
  if (in.dtype() == DType::boolean) start = how == Reduction::min || how == Reduction::prod;
  std::vector<T> total(static_cast<size_t>(out.count()), start);
  const Dims& dims = in.dims();
  Dims steps = result_steps(node, dims), coordinates(dims.size(), 0);
  size_t at = 0;
  for (int64_t i = 0, n = in.count(); i < n; i++) {
    T v = std::is_floating_point_v<T> ? static_cast<T>(in.get(i)) : static_cast<T>(in.get_int(i));
    T& t = total[at];
    switch (how) {
      case Reduction::sum: t += v; break;
      case Reduction::prod: t *= v; break;
      case Reduction::max: t = t > v || t != t ? t : v; break;
      case Reduction::min: t = t < v || t != t ? t : v; break;
    }
    for (size_t axis = dims.size(); axis-- > 0;) {
      at += static_cast<size_t>(steps[axis]);
      if (++coordinates[axis] < dims[axis]) break;
      at -= static_cast<size_t>(steps[axis] * dims[axis]);
      coordinates[axis] = 0;
    }
  }
  for (int64_t i = 0; i < out.count(); i++) {
    if (std::is_floating_point_v<T>)
      out.set(i, static_cast<double>(total[static_cast<size_t>(i)]));
    else
      out.set_int(i, static_cast<int64_t>(total[static_cast<size_t>(i)]));
  }
}

}  // namespace

void evaluate_reduce(const Node& node, const TensorRefs& in, Tensor& out) {
  if (is_float(out.dtype())) return fold<double>(node, *in[0], out);
  if (node.op().reduce == Reduction::sum || node.op().reduce == Reduction::prod || out.dtype() == DType::u64)
    return fold<uint64_t>(node, *in[0],
                          out);  // patterns modulo 2^64 are right for signed sums and products, too
  fold<int64_t>(node, *in[0], out);
}

}  // namespace mezzo::ir
