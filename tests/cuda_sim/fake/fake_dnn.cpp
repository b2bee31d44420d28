#include "tests/cuda_sim/fake/fake_dnn.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/cuda_sim/fake/element.h"

namespace mezzo::fake_dnn {
namespace {

using Values = std::vector<double>;  // in the order of the dims

ir::DType element_type(int type) {
  switch (type) {
    case kDnnFloat: return ir::DType::f32;
    case kDnnDouble: return ir::DType::f64;
    case kDnnHalf: return ir::DType::f16;
    default: return ir::DType::bf16;
  }
}
double read(const void* p, int type, int64_t i) { return fake_cuda::read_element(p, element_type(type), i); }
void write(void* p, int type, int64_t i, double v) { fake_cuda::write_element(p, element_type(type), i, v); }
double rounded(double v, int type) {
  if (type == kDnnInt32 || type == kDnnBoolean) return v;
  double bits = 0;
  write(&bits, type, 0, v);
  return read(&bits, type, 0);
}

int64_t count(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}
// Where every element is, in the order of the dims.
Dims offsets(const Dims& dims, const Dims& strides) {
  Dims out{0};
  for (size_t k = 0; k < dims.size(); k++) {
    Dims next;
    for (int64_t at : out)
      for (int64_t i = 0; i < dims[k]; i++) next.push_back(at + i * strides[k]);
    out = std::move(next);
  }
  return out;
}
// Of each element of `dims` the element of a tensor that has extent 1 where it is repeated.
Dims repeated(const Dims& dims, const Dims& own) {
  Dims strides(own.size());
  int64_t stride = 1;
  for (size_t k = own.size(); k-- > 0; stride *= own[k]) strides[k] = own[k] == 1 ? 0 : stride;
  return offsets(dims, strides);
}

bool is_convolution(int type) {
  return type == kDnnConvolutionForward || type == kDnnConvolutionData || type == kDnnConvolutionFilter;
}

// The parts of a convolution, whichever of them is the result; spatial axes are three.
struct Convolution {
  explicit Convolution(const Operation& o)
      : x(o.type == kDnnConvolutionData ? o.result : o.operands[0]),
        w(o.type == kDnnConvolutionFilter ? o.result : o.operands[1]),
        y(o.type == kDnnConvolutionForward  ? o.result
          : o.type == kDnnConvolutionFilter ? o.operands[1]
                                            : o.operands[0]) {
    for (size_t k = 3 - o.strides.size(), own = 0; k < 3; k++, own++) {
      in[k] = x.dims[2 + own], taps[k] = w.dims[2 + own], out[k] = y.dims[2 + own];
      stride[k] = o.strides[own], dilation[k] = o.dilations[own], pad[k] = o.pads_begin[own];
    }
  }
  // use(element of x, of w, of y) for every product.
  template <class F>
  void each_product(F use) const {
    const int64_t filters = w.dims[0], channels = w.dims[1], groups = x.dims[1] / channels;
    const int64_t positions = out[0] * out[1] * out[2], kernel = taps[0] * taps[1] * taps[2];
    for (int64_t n = 0; n < x.dims[0]; n++)
      for (int64_t f = 0; f < filters; f++)
        for (int64_t p = 0; p < positions; p++)
          for (int64_t t = 0; t < kernel; t++) {
            const int64_t at = input_of(p, t);
            if (at < 0) continue;
            for (int64_t c = 0; c < channels; c++) {
              const int64_t channel = f / (filters / groups) * channels + c;
              use((n * x.dims[1] + channel) * in[0] * in[1] * in[2] + at, (f * channels + c) * kernel + t,
                  (n * filters + f) * positions + p);
            }
          }
  }
  // Where tap t of position p reads, or -1.
  int64_t input_of(int64_t p, int64_t t) const {
    int64_t at = 0, p_unit = out[0] * out[1] * out[2], t_unit = taps[0] * taps[1] * taps[2];
    for (size_t k = 0; k < 3; k++) {
      p_unit /= out[k], t_unit /= taps[k];
      const int64_t i = p / p_unit % out[k] * stride[k] + t / t_unit % taps[k] * dilation[k] - pad[k];
      if (i < 0 || i >= in[k]) return -1;
      at = at * in[k] + i;
    }
    return at;
  }

  const Tensor &x, &w, &y;
  int64_t in[3] = {1, 1, 1}, taps[3] = {1, 1, 1}, out[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, pad[3] = {0, 0, 0};
};

Values convolve(const Operation& o, const Values& a, const Values& b) {
  Values r(static_cast<size_t>(count(o.result.dims)));
  auto at = [](auto& v, int64_t i) -> auto& { return v[static_cast<size_t>(i)]; };
  const Convolution c(o);
  if (o.type == kDnnConvolutionForward)
    c.each_product([&](int64_t x, int64_t w, int64_t y) { at(r, y) += at(a, x) * at(b, w); });
  else if (o.type == kDnnConvolutionData)
    c.each_product([&](int64_t x, int64_t w, int64_t y) { at(r, x) += at(a, y) * at(b, w); });
  else
    c.each_product([&](int64_t x, int64_t w, int64_t y) { at(r, w) += at(a, x) * at(b, y); });
  return r;
}

double pointwise(int mode, double x, double b, double choice) {
  switch (mode) {
    case kDnnAdd: return x + b;
    case kDnnMul: return x * b;
    case kDnnDiv: return x / b;
    case kDnnSub: return x - b;
    case kDnnExp: return std::exp(x);
    case kDnnLog: return std::log(x);
    case kDnnCompareGe: return x >= b;
    default: return choice != 0 ? x : b;
  }
}

class Run {
 public:
  Run(const Operands& operands) : operands_(operands) {}

  void operator()(const Operation& o) {
    const Tensor& r = o.result;
    Values out;
    if (is_convolution(o.type))
      out = convolve(o, value(o.operands[0]), value(o.operands[1]));
    else if (o.type == kDnnPointwiseOperation)
      out = elements(o);
    else if (o.type == kDnnMatmulOperation)
      out = multiply(o);
    else if (o.type == kDnnReductionOperation)
      out = reduce(o);
    else
      out = reshape(o);
    store(r, std::move(out));
  }

 private:
  Values value(const Tensor& t) const {
    if (t.by_value) return {operands_.scalars.at(t.id)};
    if (t.is_virtual) return virtual_.at(t.id);
    Values out;
    for (int64_t at : offsets(t.dims, t.strides)) out.push_back(read(operands_.memory.at(t.id), t.type, at));
    return out;
  }
  void store(const Tensor& t, Values values) {
    if (t.is_virtual) {
      for (double& v : values) v = rounded(v, t.type);
      virtual_[t.id] = std::move(values);
      return;
    }
    size_t i = 0;
    for (int64_t at : offsets(t.dims, t.strides)) write(operands_.memory.at(t.id), t.type, at, values[i++]);
  }

  // The operand for each element of the result.
  Values spread(const Operation& o, size_t operand) const {
    if (operand >= o.operands.size()) return Values(static_cast<size_t>(count(o.result.dims)));
    const Values own = value(o.operands[operand]);
    Values out;
    for (int64_t at : repeated(o.result.dims, o.operands[operand].dims))
      out.push_back(own[static_cast<size_t>(at)]);
    return out;
  }
  Values elements(const Operation& o) const {
    if (o.mode == kDnnIndex) {
      Dims along(o.result.dims.size(), 0);
      along.at(static_cast<size_t>(o.axis)) = 1;
      const Dims index = offsets(o.result.dims, along);
      return {index.begin(), index.end()};
    }
    Values x = spread(o, 0);
    const Values b = spread(o, 1), choice = spread(o, 2);
    for (size_t i = 0; i < x.size(); i++) x[i] = pointwise(o.mode, x[i], b[i], choice[i]);
    return x;
  }
  Values multiply(const Operation& o) const {
    const Values a = value(o.operands[0]), b = value(o.operands[1]);
    const Dims& d = o.result.dims;
    const auto rows = static_cast<size_t>(d[d.size() - 2]), columns = static_cast<size_t>(d.back()),
               inner = static_cast<size_t>(o.operands[0].dims.back());
    Values out(static_cast<size_t>(count(d)));
    for (size_t i = 0; i < out.size(); i++) {
      const size_t c = i % columns, row = i / columns, batch = row / rows;
      for (size_t k = 0; k < inner; k++) out[i] += a[row * inner + k] * b[(batch * inner + k) * columns + c];
    }
    return out;
  }
  Values reduce(const Operation& o) const {
    const bool top = o.mode == kDnnReduceMax;
    Values out(static_cast<size_t>(count(o.result.dims)), top ? -std::numeric_limits<double>::infinity() : 0);
    const Values x = value(o.operands[0]);
    const Dims to = repeated(o.operands[0].dims, o.result.dims);
    for (size_t i = 0; i < x.size(); i++) {
      double& sum = out[static_cast<size_t>(to[i])];
      sum = top ? std::max(sum, x[i]) : sum + x[i];
    }
    return out;
  }
  // The same memory with other dims and strides.
  Values reshape(const Operation& o) const {
    const Tensor& x = o.operands[0];
    std::map<int64_t, double> memory;
    const Values values = value(x);
    size_t i = 0;
    for (int64_t at : offsets(x.dims, x.strides)) memory[at] = values[i++];
    Values out;
    for (int64_t at : offsets(o.result.dims, o.result.strides)) out.push_back(memory.at(at));
    return out;
  }

  const Operands& operands_;
  std::map<int64_t, Values> virtual_;
};

std::string wrong_convolution(const Operation& o) {
  const size_t rank = o.strides.size();
  const Tensor &a = o.operands[0], &b = o.operands[1], &r = o.result;
  for (const Tensor* t : {&a, &b, &r})
    if (t->dims.size() != rank + 2 || rank == 0 || rank > 3) return "a tensor of another rank";
  if (a.type != b.type) return "operands of two types";
  const Convolution c(o);
  const int64_t channels = c.w.dims[1], groups = c.x.dims[1] / channels;
  if (c.x.dims[0] != c.y.dims[0] || c.y.dims[1] != c.w.dims[0] || c.x.dims[1] % channels != 0 ||
      c.w.dims[0] % groups != 0)
    return "batches or channels that differ";
  for (size_t own = 0, k = 3 - rank; own < rank; own++, k++) {
    const int64_t reach = c.in[k] + o.pads_begin[own] + o.pads_end[own] - (c.taps[k] - 1) * c.dilation[k] - 1;
    if (reach < 0 || reach / c.stride[k] + 1 != c.out[k]) return "extents that do not follow from each other";
  }
  return {};
}

}  // namespace

std::string wrong(const Operation& o) {
  if (is_convolution(o.type)) return wrong_convolution(o);
  const Dims &x = o.operands[0].dims, &r = o.result.dims;
  auto repeats = [](const Dims& whole, const Dims& part) {
    bool fits = whole.size() == part.size();
    for (size_t k = 0; fits && k < whole.size(); k++) fits = part[k] == whole[k] || part[k] == 1;
    return fits;
  };
  bool fits = true;
  if (o.type == kDnnMatmulOperation) {
    const Dims& b = o.operands[1].dims;
    const size_t n = r.size();
    fits = n >= 2 && x.size() == n && b.size() == n && x[n - 1] == b[n - 2] && r[n - 2] == x[n - 2] &&
           r[n - 1] == b[n - 1] && std::equal(r.begin(), r.end() - 2, x.begin()) &&
           std::equal(r.begin(), r.end() - 2, b.begin());
  } else if (o.type == kDnnReductionOperation) {
    fits = repeats(x, r);
  } else if (o.type == kDnnPointwiseOperation) {
    for (const Tensor& t : o.operands) fits = fits && repeats(r, t.dims);
  } else {
    fits = count(x) == count(r);
  }
  return fits ? "" : "dims that do not fit";
}

void compute(const Graph& graph, const Operands& operands) {
  Run run(operands);
  for (const Operation& o : graph.operations) run(o);
}

}  // namespace mezzo::fake_dnn
