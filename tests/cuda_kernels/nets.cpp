#include "nets.h"

#include <cmath>
#include <random>

#include "ir/build.h"

namespace mezzo::cuda_sim {

using ir::apply;
using ir::DType;
using ir::Tensor;
using ir::Value;

Tensor random(ir::Type type, unsigned seed, double deviation) {
  std::mt19937 gen(seed * 7919 + 17);
  Tensor t(type);
  for (int64_t i = 0; i < t.count(); i++) {  // a sum of uniform numbers: the same with every standard library
    double sum = 0;
    for (int k = 0; k < 4; k++) sum += static_cast<double>(gen()) / 4294967296.0 - 0.5;
    t.set(i, sum * deviation * std::sqrt(3.0));
  }
  return t;
}

Tensor random_ids(const ir::Dims& dims, unsigned seed, int64_t below) {
  std::mt19937 gen(seed * 7919 + 17);
  Tensor t({DType::i64, dims});
  for (int64_t i = 0; i < t.count(); i++) t.set_int(i, static_cast<int64_t>(gen()) % below);
  return t;
}

namespace {

class Builder {
 public:
  Net net;

  Value input(const std::string& name, const ir::Dims& dims) {
    net.feeds[name] = random({DType::f32, dims}, seed_++);
    return net.graph.input(name, {DType::f32, dims});
  }
  Value parameter(const ir::Dims& dims, double deviation, double mean = 0) {
    std::string name = concat("p", seed_);
    Tensor t = random({DType::f32, dims}, seed_++, deviation);
    for (int64_t i = 0; i < t.count(); i++) t.set(i, t.get(i) + mean);
    net.graph.tensors[name] = std::make_shared<const Tensor>(std::move(t));
    return net.graph.state(name, {DType::f32, dims}, ir::StateKind::parameter);
  }
  Value linear(Value x, int64_t out) {
    int64_t in = x.dims().back();
    return apply("MatMul", {x, parameter({in, out}, 1 / std::sqrt(static_cast<double>(in)))}) +
           parameter({out}, 0.1);
  }
  Value norm(Value x) {
    int64_t width = x.dims().back();
    return apply("LayerNormalization", {x, parameter({width}, 0.1, 1), parameter({width}, 0.1)});
  }
  Value convolution(Value x, int64_t filters, int64_t groups = 1) {
    int64_t channels = x.dims()[1];
    Value w = parameter({filters, channels / groups, 3, 3}, 0.3);
    return apply("Conv", {x, w, parameter({filters}, 0.1)},
                 {{"pads", ir::Ints{1, 1, 1, 1}}, {"group", groups}});
  }
  Value batch_norm(Value x) {
    int64_t channels = x.dims()[1];
    auto statistic = [&](double init) {
      return net.graph.state(concat("s", seed_++), {DType::f32, {channels}}, ir::StateKind::statistic, init);
    };
    Value mean = statistic(0), variance = statistic(1);
    ir::Values y = ir::apply_all(
        "BatchNormalization", {x, parameter({channels}, 0.1, 1), parameter({channels}, 0.1), mean, variance},
        {{"training_mode", int64_t{1}}});
    net.graph.updates.push_back({mean.node, y[1]});
    net.graph.updates.push_back({variance.node, y[2]});
    return y[0];
  }
  Net finish(Value scores) {
    ir::Dims labels = scores.dims();
    labels.erase(labels.begin() + 1);
    net.feeds["labels"] = random_ids(labels, seed_++, scores.dims()[1]);
    Value ids = net.graph.input("labels", {DType::i64, labels});
    net.graph.outputs = {{"loss", apply("SoftmaxCrossEntropyLoss", {scores, ids})}};
    return std::move(net);
  }

 private:
  unsigned seed_ = 1;
};

}  // namespace

Net dense_net(int64_t batch, int64_t width, int64_t classes) {
  Builder b;
  Value x = b.input("x", {batch, width});
  x = apply("Relu", {b.linear(x, 2 * width)});
  x = apply("Tanh", {b.linear(x, width)});
  return b.finish(b.linear(x, classes));
}

Net convolution_net(int64_t batch, int64_t channels, int64_t size) {
  Builder b;
  Value x = b.input("x", {batch, 3, size, size});
  x = apply("Relu", {b.batch_norm(b.convolution(x, channels))});
  x = apply("MaxPool", {x}, {{"kernel_shape", ir::Ints{2, 2}}, {"strides", ir::Ints{2, 2}}});
  x = apply("Relu", {b.batch_norm(b.convolution(x, channels, 2)) + x});
  x = apply("GlobalAveragePool", {x});
  return b.finish(b.linear(apply("Flatten", {x}), 10));
}

Net transformer_block(int64_t batch, int64_t length, int64_t width, int64_t heads) {
  Builder b;
  Value x = b.input("x", {batch, length, width}), y = b.norm(x);
  auto split = [&](Value v, ir::Ints order) {
    return apply("Transpose", {ir::reshape(v, {batch, length, heads, width / heads})},
                 {{"perm", std::move(order)}});
  };
  Value q = split(b.linear(y, width), {0, 2, 1, 3}), k = split(b.linear(y, width), {0, 2, 3, 1}),
        v = split(b.linear(y, width), {0, 2, 1, 3});
  Value weights =
      apply("Softmax", {apply("MatMul", {q, k}) * (1 / std::sqrt(static_cast<double>(width / heads)))});
  Value mixed = apply("Transpose", {apply("MatMul", {weights, v})}, {{"perm", ir::Ints{0, 2, 1, 3}}});
  Value key = b.net.graph.state("key", {DType::u32, {2}}, ir::StateKind::key, 5);
  Value kept = apply("Dropout", {b.linear(ir::reshape(mixed, {batch, length, width}), width), key},
                     {{"training_mode", int64_t{1}}, {"ratio", 0.1}});
  x = x + kept;
  x = x + b.linear(apply("Gelu", {b.linear(b.norm(x), 4 * width)}), width);
  Value scores = b.linear(b.norm(x), 50);
  return b.finish(ir::reshape(scores, {batch * length, 50}));
}

}  // namespace mezzo::cuda_sim
