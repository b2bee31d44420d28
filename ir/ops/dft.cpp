// dft.cpp: ONNX DFT and STFT, as products with tables of cosines and sines: exact gradients and any length,
// at a cost of length^2 per signal. Complex numbers are pairs in the last axis.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

constexpr int64_t kMaxTable = 1 << 24;

// Frequencies of a transform of `length`, all or the first half.
int64_t bins(int64_t length, bool onesided) { return onesided ? length / 2 + 1 : length; }

// v [rows, count, 1 or 2] -> [rows, bins, 2]. `count` elements of a signal that is `length` long, zeros
// behind.
Value transform(Value v, int64_t length, bool inverse, bool onesided) {
  const int64_t rows = v.dims()[0], count = v.dims()[1], out = bins(length, onesided);
  require(element_count({count, out}) <= kMaxTable, "a transform of ", count, " elements to ", out,
          " frequencies needs a table of both");
  Tensor cosine(Type{v.dtype(), {count, out}}), sine(Type{v.dtype(), {count, out}});
  const double share = inverse ? 1 / static_cast<double>(length) : 1;
  for (int64_t n = 0; n < count; n++)
    for (int64_t k = 0; k < out; k++) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>(n * k % length) / static_cast<double>(length);
      cosine.set(n * out + k, std::cos(angle) * share);
      sine.set(n * out + k, (inverse ? std::sin(angle) : -std::sin(angle)) * share);
    }
  Graph& graph = v.node->graph();
  Value c = graph.constant(std::move(cosine)), s = graph.constant(std::move(sine));
  auto part = [&](int64_t k) { return reshape(slice(v, {k}, {k + 1}, {2}, {1}), {rows, count}); };
  Value real = dot(part(0), c), imaginary = dot(part(0), s);
  if (v.dims()[2] == 2) {
    real = real - dot(part(1), s);
    imaginary = imaginary + dot(part(1), c);
  }
  return concat({reshape(real, {rows, out, 1}), reshape(imaginary, {rows, out, 1})}, 2);
}

// v [rows, count, 2], the first half of a spectrum of `length` whose other half is its conjugate -> the real
// signal [rows, length, 1].
Value real_signal(Value v, int64_t length) {
  const int64_t rows = v.dims()[0], count = v.dims()[1];
  require(element_count({count, length}) <= kMaxTable, "a transform of ", count, " frequencies to ", length,
          " elements needs a table of both");
  Tensor cosine(Type{v.dtype(), {count, length}}), sine(Type{v.dtype(), {count, length}});
  for (int64_t k = 0; k < count; k++)
    for (int64_t n = 0; n < length; n++) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>(n * k % length) / static_cast<double>(length);
      const double share = (k == 0 || 2 * k == length ? 1.0 : 2.0) / static_cast<double>(length);
      cosine.set(k * length + n, std::cos(angle) * share);
      sine.set(k * length + n, -std::sin(angle) * share);
    }
  Graph& graph = v.node->graph();
  auto part = [&](int64_t k) { return reshape(slice(v, {k}, {k + 1}, {2}, {1}), {rows, count}); };
  Value y = dot(part(0), graph.constant(std::move(cosine))) + dot(part(1), graph.constant(std::move(sine)));
  return reshape(y, {rows, length, 1});
}

struct Signal {
  size_t axis;
  int64_t length;         // of the transform
  int64_t used, results;  // elements read and made along the axis
  bool to_real;           // from the first half of a spectrum
};

Signal signal_of(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype) && x.rank() >= 2 && (x.dims.back() == 1 || x.dims.back() == 2), "input ",
          to_string(x), " must be floats whose last axis holds 1 or 2 numbers");
  const auto axis = static_cast<size_t>(normalize_axis(n.i("axis"), x.rank()));
  require(axis + 1 < x.dims.size(), "axis ", axis, " holds the parts of complex numbers");
  const bool onesided = n.i("onesided") != 0, to_real = onesided && n.i("inverse") != 0;
  const int64_t given = x.dims[axis], usual = to_real ? 2 * (given - 1) : given;
  const int64_t length = n.has_attr("dft_length") ? n.i("dft_length") : usual;
  require(length >= 1, "dft_length ", length, " must be positive");
  require(!to_real || x.dims.back() == 2, "half a spectrum must be complex, input ", to_string(x));
  const int64_t half = bins(length, onesided);
  return {axis, length, std::min(given, to_real ? half : length), to_real ? length : half, to_real};
}

const OpDef dft = {
    .name = "DFT",
    .attrs = {{"axis", -2}, {"inverse", 0}, {"onesided", 0}, {"dft_length", 0, AttrSpec::optional}},
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Signal s = signal_of(n);
      Type out = n.in_type(0);
      out.dims[s.axis] = s.results;
      out.dims.back() = s.to_real ? 1 : 2;
      element_count(out.dims);
      return {out};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Signal s = signal_of(n);
      Value v = in[0];
      const size_t last = v.dims().size() - 1;
      if (v.dims()[s.axis] > s.length) v = slice(v, {0}, {s.length}, {static_cast<int64_t>(s.axis)}, {1});
      Ints perm;  // the signal's axis before the last
      for (size_t a = 0; a < last; a++)
        if (a != s.axis) perm.push_back(static_cast<int64_t>(a));
      perm.push_back(static_cast<int64_t>(s.axis));
      perm.push_back(static_cast<int64_t>(last));
      v = transpose(v, perm);
      Dims dims = v.dims();
      const int64_t rows = element_count({dims.begin(), dims.end() - 2});
      v = reshape(v, {rows, dims[last - 1], dims[last]});
      Value y = s.to_real ? real_signal(v, s.length)
                          : transform(v, s.length, n.i("inverse") != 0, n.i("onesided") != 0);
      dims[last - 1] = s.results;
      dims[last] = s.to_real ? 1 : 2;
      return {transpose(reshape(y, dims), inverse(perm))};
    },
    .constant_inputs = {{1, "dft_length"}, {2, "axis"}},
};
MEZZO_REGISTER_OP(dft);

struct Frames {
  int64_t length, step, count, bins;
};

Frames frames_of(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype) && (x.rank() == 2 || (x.rank() == 3 && (x.dims[2] == 1 || x.dims[2] == 2))),
          "signal ", to_string(x), " must be floats [batch, length, 1 or 2]");
  Frames f{0, n.i("frame_step"), 0, 0};
  if (n.has(1)) f.length = n.in_type(1).count();
  if (n.has_attr("frame_length")) f.length = n.i("frame_length");
  require(f.length >= 1 && f.length <= x.dims[1] && f.step >= 1, "frames of ", f.length, " every ", f.step,
          " do not fit a signal of ", x.dims[1]);
  if (n.has(1))
    require(n.in_type(1).dims == Dims{f.length}, "the window is ", to_string(n.in_type(1).dims), ", a frame ",
            f.length);
  f.count = (x.dims[1] - f.length) / f.step + 1;
  f.bins = bins(f.length, n.i("onesided") != 0);
  return f;
}

// IR inputs: signal, window.
const OpDef stft = {
    .name = "STFT",
    .min_inputs = 1,
    .max_inputs = 2,
    .attrs = {{"frame_step", 0, AttrSpec::required},
              {"frame_length", 0, AttrSpec::optional},
              {"onesided", 1}},
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Frames f = frames_of(n);
      const Dims out{n.in_type(0).dims[0], f.count, f.bins, 2};
      element_count(out);
      return {{n.in_type(0).dtype, out}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Frames f = frames_of(n);
      const Dims& x = in[0].dims();
      const int64_t parts = x.size() == 3 ? x[2] : 1;
      // [batch, frames, parts, length] -> [batch * frames, length, parts]
      Value v = window(reshape(in[0], {x[0], x[1], parts}), {.kernel = {f.length},
                                                             .strides = {f.step},
                                                             .dilations = {1},
                                                             .pads = {0},
                                                             .outputs = {f.count},
                                                             .first_axis = 1});
      if (n.has(1)) v = v * reshape(in[1], {1, 1, 1, f.length});
      v = reshape(transpose(v, {0, 1, 3, 2}), {x[0] * f.count, f.length, parts});
      return {reshape(transform(v, f.length, false, n.i("onesided") != 0), n.type().dims)};
    },
    .constant_inputs = {{1, "frame_step"}, {3, "frame_length"}},
};
MEZZO_REGISTER_OP(stft);

}  // namespace
}  // namespace mezzo::ir
