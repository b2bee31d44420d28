// batch_normalization.cpp: ONNX BatchNormalization over every axis but the channels (axis 1).
//   train: Y = (X - mean) * invstd * scale + B, invstd = 1 / sqrt(var + epsilon), mean and population
//   variance of the
//          batch; running = running * momentum + batch * (1 - momentum). The running statistics carry no
//          gradient.
//   eval:  the same affine map with the statistics given as inputs 3 and 4. They have a gradient: exporters
//          write normalisation by statistics that the model computes so, weight standardisation for one.
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kX, kScale, kBias, kMean, kVar };
// Behind ONNX's three outputs of training: the batch statistics (rank of X, kept axes) that the gradient
// needs.
enum Output : size_t { kY, kRunningMean, kRunningVar, kSavedMean, kSavedInvStd };

bool training(const Node& n) { return n.i("training_mode") != 0; }

Dims channel_dims(const Dims& x) {
  Dims dims(x.size(), 1);
  dims[1] = x[1];
  return dims;
}

Ints other_axes(const Dims& x) {
  Ints axes = axis_range(2, static_cast<int64_t>(x.size()));
  axes.insert(axes.begin(), 0);
  return axes;
}

std::vector<Type> infer(const Node& n) {
  const Type& x = n.in_type(kX);
  require(is_float(x.dtype), "input is ", name(x.dtype), ", expected a float");
  require(x.rank() >= 2, "input ", to_string(x.dims), " must have a batch and a channel axis");
  for (size_t i = kScale; i <= kVar; i++) {
    require(n.has(i), "input ", i, " is missing");
    require(n.in_type(i).dims == Dims{x.dims[1]}, "input ", i, " ", to_string(n.in_type(i).dims),
            " must be [", x.dims[1], "]");
    require(compute_type(n.in_type(i).dtype) == compute_type(x.dtype), "input ", i, " is ",
            name(n.in_type(i).dtype), ", input 0 is ", name(x.dtype));
  }
  if (!training(n)) return {x};
  require(x.count() > 0, "a batch without elements has no statistics");
  const Type saved{compute_type(x.dtype), channel_dims(x.dims)};
  return {x, n.in_type(kMean), n.in_type(kVar), saved, saved};
}

// Mean and population variance over `axes`. E[x^2] - E[x]^2 cancels, so there are two passes, mean first.
// Where a channel is too large to be read again from near by, one pass over d = x - the mean of a part of the
// first sample, which is so close to the mean that E[d^2] - E[d]^2 loses no more than a few bits.
std::pair<Value, Value> moments(Value x, const Ints& axes) {
  constexpr int64_t kLargeChannel = 4096, kPart = 8;
  const bool large = x.rank() > 2 && x.type().count() / x.dims()[1] >= kLargeChannel;
  if (!large) {
    Value mean = reduce_mean(x, axes), centred = x - mean;
    return {mean, reduce_mean(centred * centred, axes)};
  }
  const int64_t rows = (x.dims()[2] + kPart - 1) / kPart;
  Value shift = reduce_mean(slice(x, {0, 0}, {1, rows}, {0, 2}, {1, 1}), axes), d = x - shift;
  Value first = reduce_mean(d, axes), second = reduce_mean(d * d, axes), var = second - first * first;
  Value zero = constant_like(var, 0);
  return {shift + first, where(less(var, zero), zero, var)};  // NaN stays
}

Values expand_batch_normalization(Graph&, const Node& n, const Values& in) {
  Value x = in[kX];
  const Dims channel = channel_dims(x.dims());
  const double epsilon = n.f("epsilon"), momentum = n.f("momentum");
  Value scale = reshape(in[kScale], channel), bias = reshape(in[kBias], channel);
  if (!training(n)) {
    Value factor = scale / sqrt(reshape(in[kVar], channel) + epsilon);
    return {(x - reshape(in[kMean], channel)) * factor + bias};
  }
  const Ints axes = other_axes(x.dims());
  auto [mean, var] = moments(x, axes);
  Value centred = x - mean;
  Value invstd = 1.0 / sqrt(var + epsilon);
  auto running = [&](Value old, Value batch) {
    return old * momentum + reshape(batch, old.dims()) * (1 - momentum);
  };
  return {centred * (invstd * scale) + bias, running(in[kMean], mean), running(in[kVar], var), mean, invstd};
}

// train: dX = scale * invstd * (dY - sum(dY)/m - xhat * sum(dY * xhat)/m), m elements per channel.
// eval:  dX = scale * invstd * dY, dMean = -sum(dX), dVar = -scale * invstd^2 / 2 * sum(dY * xhat).
Values grad(Grad& g) {
  Value x = g.in[kX], dy = g.dy[kY];
  const Node& n = g.node;
  const Dims channel = channel_dims(x.dims());
  const Ints axes = other_axes(x.dims());
  const bool train = training(n);
  Values d(g.in.size());
  if (!dy) return d;
  Value mean = train ? g.out[kSavedMean] : reshape(g.in[kMean], channel);
  Value invstd = train ? g.out[kSavedInvStd] : 1.0 / sqrt(reshape(g.in[kVar], channel) + n.f("epsilon"));
  Value scale = reshape(g.in[kScale], channel);
  Value xhat = (x - mean) * invstd;
  Value dscale = reduce_sum(dy * xhat, axes), dbias = reduce_sum(dy, axes);
  if (g.needs[kX]) {
    if (train) {
      const double m = static_cast<double>(element_count(x.dims()) / x.dims()[1]);
      d[kX] = (dy - dbias / m - xhat * (dscale / m)) * (scale * invstd);
    } else {
      d[kX] = dy * (scale * invstd);
    }
  }
  if (!train && g.needs[kMean]) d[kMean] = reshape(-(dbias * scale * invstd), g.in[kMean].dims());
  if (!train && g.needs[kVar]) d[kVar] = reshape(dscale * scale * invstd * invstd * -0.5, g.in[kVar].dims());
  if (g.needs[kScale]) d[kScale] = reshape(dscale, g.in[kScale].dims());
  if (g.needs[kBias]) d[kBias] = reshape(dbias, g.in[kBias].dims());
  return d;
}

const OpDef batch_normalization = {
    .name = "BatchNormalization",
    .min_inputs = 5,
    .max_inputs = 5,
    .attrs = {{"epsilon", 1e-5}, {"momentum", 0.9}, {"training_mode", 0}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_batch_normalization,
    .grad = grad,
    .f32_inputs = {kScale, kBias, kMean, kVar},
};
MEZZO_REGISTER_OP(batch_normalization);

}  // namespace
}  // namespace mezzo::ir
