#include "ir/ops/standardize.h"

namespace mezzo::ir {
namespace {

double extent_of(const Dims& dims, const Ints& axes) {
  int64_t count = 1;
  for (int64_t a : axes) count *= dims[static_cast<size_t>(a)];
  return static_cast<double>(count);
}

}  // namespace

Standardized standardize(Value x, const Ints& axes, double epsilon, bool centred) {
  Standardized s;
  Value rest = x;
  if (centred) {
    s.mean = reduce_mean(x, axes);
    rest = x - s.mean;
  }
  s.inverse = 1.0 / sqrt(reduce_mean(rest * rest, axes) + epsilon);
  s.hat = rest * s.inverse;
  return s;
}

Standardized standardize_again(Value x, Value mean, Value inverse) {
  return {mean, inverse, (mean ? x - mean : x) * inverse};
}

Value standardize_gradient(const Standardized& s, Value dhat, const Ints& axes) {
  const Dims& dims = s.hat.dims();
  if (dhat.dims() != dims) dhat = expand(dhat, dims);
  const double n = extent_of(dims, axes);
  Value d = dhat;
  if (s.mean) d = d - reduce_sum(dhat, axes) / n;
  return (d - s.hat * (reduce_sum(dhat * s.hat, axes) / n)) * s.inverse;
}

// d mean / dx = 1 / n, d inverse / dx = -inverse^2 * hat / n.
Value statistics_gradient(const Standardized& s, Value dmean, Value dinverse, const Ints& axes) {
  const double n = extent_of(s.hat.dims(), axes);
  Value d;
  if (dmean) d = expand(dmean / n, s.hat.dims());
  if (dinverse) d = add_present(d, s.hat * (s.inverse * s.inverse * (dinverse / -n)));
  return d;
}

Value add_present(Value a, Value b) { return a && b ? a + b : a ? a : b; }

Ints axes_from(int64_t axis, int64_t rank) {
  Ints axes;
  for (int64_t a = normalize_axis(axis, rank); a < rank; a++) axes.push_back(a);
  return axes;
}

Dims kept(Dims dims, const Ints& axes) {
  for (int64_t a : axes) dims[static_cast<size_t>(a)] = 1;
  return dims;
}

const Type& float_input(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype), "input is ", name(x.dtype), ", expected a float");
  return x;
}

void require_broadcast(const Node& n, size_t i, const Dims& dims) {
  if (!n.has(i)) return;
  const Type& v = n.in_type(i);
  require(v.dims.size() <= dims.size() && broadcast(v.dims, dims) == dims, "input ", i, " ",
          to_string(v.dims), " does not broadcast to ", to_string(dims));
  require(compute_type(v.dtype) == compute_type(n.in_type(0).dtype), "input ", i, " is ", name(v.dtype),
          ", input 0 is ", name(n.in_type(0).dtype));
}

void require_stash_type(const Node& n) {
  constexpr int64_t kFloat = 1, kDouble = 11;  // ONNX's numbers of element types
  const int64_t type = n.i("stash_type");
  if (type != kFloat && !(type == kDouble && n.in_type(0).dtype == DType::f64))
    throw Error(ErrorCode::unsupported,
                mezzo::concat("stash_type ", type, ": statistics are kept in float only"));
}

}  // namespace mezzo::ir
