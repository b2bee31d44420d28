// convolution.cpp: the convolution that Conv becomes, and its two gradients. Logical order is always N, C, spatial...
// and M, C/groups, kernel...; channels_last says how x, y and their gradients are stored.
#include <functional>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

struct Shape {
  int64_t n, c, m, groups;
  Dims in, kernel, out;  // spatial extents
};

// Position of channel and of the first spatial axis in a stored activation.
size_t channel_axis(const Node& n, size_t rank) { return n.i("channels_last") ? rank - 1 : 1; }
size_t spatial_axis(const Node& n) { return n.i("channels_last") ? 1 : 2; }

Dims spatial(const Node& n, const Dims& dims) {
  auto first = dims.begin() + static_cast<int64_t>(spatial_axis(n));
  return Dims(first, first + static_cast<int64_t>(dims.size()) - 2);
}

Shape shape_of(const Node& n, const Dims& x, const Dims& w) {
  size_t rank = x.size();
  require(rank >= 3 && rank <= 5, "input of rank ", rank, "; 1 to 3 spatial axes are supported");
  require(w.size() == rank, "weight of rank ", w.size(), " for an input of rank ", rank);
  Shape s{x[0], x[channel_axis(n, rank)], w[0], n.i("groups"), spatial(n, x), Dims(w.begin() + 2, w.end()), {}};
  require(s.groups > 0 && s.c % s.groups == 0 && s.m % s.groups == 0, "groups ", s.groups, " do not divide ", s.c,
          " input and ", s.m, " output channels");
  require(w[1] * s.groups == s.c, "weight ", to_string(w), " with ", s.groups, " groups does not fit ", s.c,
          " channels");
  const Ints &strides = n.ints("strides"), &dilations = n.ints("dilations"), &begin = n.ints("pads_begin"),
             &end = n.ints("pads_end");
  require(strides.size() == rank - 2 && dilations.size() == rank - 2 && begin.size() == rank - 2 &&
              end.size() == rank - 2,
          "strides, dilations and pads need one entry per spatial axis");
  for (size_t j = 0; j < rank - 2; j++) {
    require(strides[j] > 0 && dilations[j] > 0 && s.kernel[j] > 0, "kernel, strides and dilations must be positive");
    int64_t reach = element_count({dilations[j], s.kernel[j] - 1}) + 1, room = s.in[j] + begin[j] + end[j];
    require(room >= reach, "a kernel reaching over ", reach, " does not fit the padded extent ", room);
    s.out.push_back((room - reach) / strides[j] + 1);
  }
  return s;
}

Dims stored(const Node& n, int64_t batch, int64_t channels, const Dims& spatial_dims) {
  Dims dims{batch};
  if (!n.i("channels_last")) dims.push_back(channels);
  dims.insert(dims.end(), spatial_dims.begin(), spatial_dims.end());
  if (n.i("channels_last")) dims.push_back(channels);
  return dims;
}

DType result_dtype(const Node& n) {
  DType t = n.in_type(0).dtype;
  require(n.in_type(1).dtype == t, "operands are ", name(t), " and ", name(n.in_type(1).dtype));
  DType out = n.has_attr("out") ? n.dtype("out") : t;
  require(out == t || out == compute_type(t), "a convolution of ", name(t), " cannot be ", name(out));
  return out;
}

// Calls f(x offset, w offset, y offset) for every multiply-add, in a fixed order.
void for_each_product(const Node& n, const Shape& s, const std::function<void(int64_t, int64_t, int64_t)>& f) {
  size_t rank = s.in.size();
  Dims xs = strides_of(stored(n, s.n, s.c, s.in)), ys = strides_of(stored(n, s.n, s.m, s.out));
  size_t channel = channel_axis(n, rank + 2), first = spatial_axis(n);
  Dims ws{s.m, s.c / s.groups};
  ws.insert(ws.end(), s.kernel.begin(), s.kernel.end());
  ws = strides_of(ws);
  int64_t outs = element_count(s.out), taps = element_count(s.kernel), per = s.c / s.groups, each = s.m / s.groups;
  Dims out_strides = strides_of(s.out), tap_strides = strides_of(s.kernel);
  for (int64_t b = 0; b < s.n; b++)
    for (int64_t m = 0; m < s.m; m++)
      for (int64_t o = 0; o < outs; o++)
        for (int64_t c = 0; c < per; c++)
          for (int64_t t = 0; t < taps; t++) {
            int64_t x = b * xs[0] + (m / each * per + c) * xs[channel], w = m * ws[0] + c * ws[1],
                    y = b * ys[0] + m * ys[channel];
            bool inside = true;
            for (size_t j = 0; j < rank; j++) {
              int64_t oj = o / out_strides[j] % s.out[j], tj = t / tap_strides[j] % s.kernel[j];
              int64_t ij = oj * n.ints("strides")[j] + tj * n.ints("dilations")[j] - n.ints("pads_begin")[j];
              inside &= ij >= 0 && ij < s.in[j];
              x += ij * xs[first + j];
              w += tj * ws[2 + j];
              y += oj * ys[first + j];
            }
            if (inside) f(x, w, y);
          }
}

// acc[target] += left * right over all products, in T, then one rounding each into out.
enum class Target { x, w, y };
template <class T>
void accumulate(const Node& n, const Shape& s, Target target, const Tensor& left, const Tensor& right,
                const Tensor* bias, Tensor& out) {
  std::vector<T> sum(static_cast<size_t>(out.count()));
  for_each_product(n, s, [&](int64_t x, int64_t w, int64_t y) {
    switch (target) {
      case Target::y: sum[static_cast<size_t>(y)] += static_cast<T>(left.get(x)) * static_cast<T>(right.get(w)); break;
      case Target::x: sum[static_cast<size_t>(x)] += static_cast<T>(left.get(y)) * static_cast<T>(right.get(w)); break;
      case Target::w: sum[static_cast<size_t>(w)] += static_cast<T>(left.get(x)) * static_cast<T>(right.get(y)); break;
    }
  });
  int64_t inner = strides_of(out.dims())[channel_axis(n, out.dims().size())];
  for (int64_t i = 0; i < out.count(); i++) {
    T v = sum[static_cast<size_t>(i)];
    if (bias) v += static_cast<T>(bias->get(i / inner % s.m));
    out.set(i, static_cast<double>(v));
  }
}

void run(const Node& n, const Shape& s, Target target, const std::vector<const Tensor*>& in, Tensor& out) {
  const Tensor* bias = target == Target::y && in.size() > 2 ? in[2] : nullptr;
  if (out.dtype() == DType::f64) accumulate<double>(n, s, target, *in[0], *in[1], bias, out);
  else accumulate<float>(n, s, target, *in[0], *in[1], bias, out);
}

std::vector<AttrSpec> attributes(bool with_shape) {
  std::vector<AttrSpec> attrs{{"strides", Ints{}, AttrSpec::required},    {"dilations", Ints{}, AttrSpec::required},
                              {"pads_begin", Ints{}, AttrSpec::required}, {"pads_end", Ints{}, AttrSpec::required},
                              {"groups", int64_t{1}},                     {"channels_last", int64_t{0}},
                              {"out", DType::f32, AttrSpec::optional}};
  if (with_shape) attrs.push_back({"shape", Ints{}, AttrSpec::required});
  return attrs;
}

const OpDef convolution_op = {
    .name = "Convolution",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = attributes(false),
    .precision = Precision::low,
    .meaning = Meaning::kernel,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          DType out = result_dtype(n);
          Shape s = shape_of(n, n.in_type(0).dims, n.in_type(1).dims);
          if (n.has(2))
            require(n.in_type(2) == Type{compute_type(n.in_type(0).dtype), {s.m}}, "bias ", to_string(n.in_type(2)),
                    " must be ", to_string(Type{compute_type(n.in_type(0).dtype), {s.m}}));
          return {{out, stored(n, s.n, s.m, s.out)}};
        },
    .evaluate =
        [](const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
          run(n, shape_of(n, in[0]->dims(), in[1]->dims()), Target::y, in, out[0]);
        },
    .grad = [](Grad& g) -> Values {
      const Node& n = g.node;
      Value x = g.in[0], w = g.in[1], dy = cast(g.dy[0], x.dtype());
      ConvolutionSpec spec{n.ints("strides"),  n.ints("dilations"), n.ints("pads_begin"),      n.ints("pads_end"),
                           n.i("groups"), n.i("channels_last") != 0, compute_type(x.dtype())};
      Values out(n.input_count());
      if (g.needs[0]) out[0] = convolution_input_grad(dy, w, x.dims(), spec);
      if (g.needs[1]) out[1] = convolution_weight_grad(x, dy, w.dims(), spec);
      if (n.has(2) && g.needs[2]) {
        Ints axes;
        auto channel = static_cast<int64_t>(channel_axis(n, dy.dims().size()));
        for (int64_t i = 0; i < dy.rank(); i++)
          if (i != channel) axes.push_back(i);
        out[2] = reduce_sum(cast(g.dy[0], compute_type(x.dtype())), axes, false);
      }
      return out;
    },
    .channel_inputs = {0},
    .channel_output = true,
    .f32_inputs = {2},
};
MEZZO_REGISTER_OP(convolution_op);

// (dy, w) -> dx of shape `shape`.
const OpDef input_grad_op = {
    .name = "ConvolutionInputGrad",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = attributes(true),
    .precision = Precision::low,
    .meaning = Meaning::kernel,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          Shape s = shape_of(n, n.ints("shape"), n.in_type(1).dims);
          require(n.in_type(0).dims == stored(n, s.n, s.m, s.out), "dy ", to_string(n.in_type(0)), " does not fit");
          return {{result_dtype(n), n.ints("shape")}};
        },
    .evaluate =
        [](const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
          run(n, shape_of(n, n.ints("shape"), in[1]->dims()), Target::x, in, out[0]);
        },
    .grad = not_differentiable,
    .channel_inputs = {0},
    .channel_output = true,
};
MEZZO_REGISTER_OP(input_grad_op);

// (x, dy) -> dw of shape `shape`.
const OpDef weight_grad_op = {
    .name = "ConvolutionWeightGrad",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = attributes(true),
    .precision = Precision::low,
    .meaning = Meaning::kernel,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          Shape s = shape_of(n, n.in_type(0).dims, n.ints("shape"));
          require(n.in_type(1).dims == stored(n, s.n, s.m, s.out), "dy ", to_string(n.in_type(1)), " does not fit");
          return {{result_dtype(n), n.ints("shape")}};
        },
    .evaluate =
        [](const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
          run(n, shape_of(n, in[0]->dims(), n.ints("shape")), Target::w, in, out[0]);
        },
    .grad = not_differentiable,
    .channel_inputs = {0, 1},
};
MEZZO_REGISTER_OP(weight_grad_op);

}  // namespace

bool is_convolution(const Node& n) { return &n.op() == &convolution_op; }
bool is_convolution_input_grad(const Node& n) { return &n.op() == &input_grad_op; }
bool is_convolution_weight_grad(const Node& n) { return &n.op() == &weight_grad_op; }

}  // namespace mezzo::ir
