// random_net.h: networks of smooth layers, so that two computations of one differ by roundings and no kink.
#pragma once
#include <cmath>
#include <functional>
#include <random>

#include "frontend/onnx.pb.h"
#include "runtime/npz.h"
#include "tests/frontend/model_builder.h"

namespace mezzo::runtime {

class RandomNet {
  using ModelBuilder = test::ModelBuilder;
  using Dims = ir::Dims;

 public:
  explicit RandomNet(uint64_t seed) : random_(seed) { model_.output("loss"); }

  // Of an image [N, C, H, W].
  void images() {
    for (int64_t side : {pick({6, 8, 9}), pick({6, 7, 12})}) now_.dims.push_back(side);
    now_.dims.insert(now_.dims.begin(), {pick({1, 2, 3}), pick({1, 2, 4, 8})});
    start();
    grow([this] { image_layer(); });
    finish();
  }

  // Of a sequence [N, T, C].
  void sequences() {
    now_.dims = {pick({1, 2, 3}), pick({3, 5, 8, 17}), pick({4, 6, 8})};
    start();
    grow([this] { sequence_layer(); });
    finish();
  }

  const ModelBuilder& model() const { return model_; }
  Arrays feeds() {
    ir::Tensor x({ir::DType::f32, x_});
    for (int64_t i = 0; i < x.count(); i++) x.set(i, normal_(random_));
    Arrays feeds;
    feeds.emplace("x", std::move(x));
    return feeds;
  }
  const std::string& text() const { return text_; }

 private:
  struct Named {
    std::string name;
    Dims dims;
  };

  int64_t pick(std::initializer_list<int64_t> those) { return *(those.begin() + below(those.size())); }
  std::ptrdiff_t below(size_t n) { return static_cast<std::ptrdiff_t>(random_() % n); }
  std::string fresh() { return "v" + std::to_string(names_++); }

  std::string weight(const Dims& dims, int64_t fan_in = 1, double least = -INFINITY) {
    std::string name = fresh();
    std::vector<float> values;
    for (int64_t i = 0; i < ir::element_count(dims); i++)
      values.push_back(static_cast<float>(std::max(normal_(random_), least) / std::sqrt(fan_in)));
    model_.weight(name, dims, values);
    return name;
  }
  std::string positive(const Dims& dims) { return weight(dims, 1, 0.5); }
  std::string integers(const Dims& values) {
    std::string name = fresh();
    model_.integers(name, values);
    return name;
  }

  std::string apply(const std::string& op, const std::vector<std::string>& inputs,
                    const std::function<void(onnx::NodeProto&)>& attributes = {}) {
    std::string result = fresh();
    onnx::NodeProto& node = model_.node(op, inputs, {result}, op + "_" + result);
    if (attributes) attributes(node);
    text_ += " " + op;
    return result;
  }
  std::string reshaped(const std::string& v, const Dims& dims) {
    return apply("Reshape", {v, integers(dims)});
  }
  std::string transposed(const std::string& v, const Dims& perm) {
    return apply("Transpose", {v}, [&](auto& n) { test::set(n, "perm", perm); });
  }
  std::string mean(const std::string& v, const Dims& axes) {
    return apply("ReduceMean", {v, integers(axes)});
  }

  void start() {
    x_ = now_.dims;
    model_.input("x", x_);
    Dims channel(x_.size(), 1);
    const size_t at = x_.size() == 4 ? 1 : 2;
    channel[at] = x_[at];
    now_.name = apply("Mul", {"x", positive(channel)});
    seen_ = {now_};
  }
  void grow(const std::function<void()>& layer) {
    for (int64_t k = 4 + below(10); k > 0; k--) {
      layer();
      seen_.push_back(now_);
    }
  }
  void finish() {
    std::string y = now_.name;
    if (random_() % 2) {
      const int64_t count = ir::element_count(now_.dims) / now_.dims[0];
      y = apply("Gemm", {reshaped(y, {now_.dims[0], count}), weight({5, count}, count), weight({5})},
                [](auto& n) { test::set(n, "transB", int64_t{1}); });
    }
    y = apply("Tanh", {y});
    y = apply("Add", {apply("Mul", {y, y}), y});
    test::set(model_.node("ReduceMean", {y}, {"loss"}, "loss"), "keepdims", int64_t{0});
  }

  void activation() {
    static const char* const kOps[] = {"Sigmoid", "Tanh", "Softplus", "Elu", "Mish",
                                       "Erf",     "Celu", "Swish",    "Gelu"};
    std::string op = kOps[below(std::size(kOps))];
    if (op == "Swish") {
      now_.name = apply("Mul", {now_.name, apply("Sigmoid", {now_.name})});
    } else if (op == "Gelu") {
      now_.name = apply(op, {now_.name},
                        [&](auto& n) { test::set(n, "approximate", random_() % 2 ? "none" : "tanh"); });
    } else {
      now_.name = apply(op, {now_.name});
    }
  }

  // With one that has the same shape, apart from `axis` where it is given.
  void join(int64_t axis) {
    std::vector<const Named*> fitting;
    for (const Named& v : seen_) {
      if (v.dims.size() != now_.dims.size()) continue;
      bool fits = true;
      for (size_t i = 0; i < v.dims.size(); i++)
        fits &= static_cast<int64_t>(i) == axis || v.dims[i] == now_.dims[i];
      if (fits) fitting.push_back(&v);
    }
    const Named other = *fitting[static_cast<size_t>(below(fitting.size()))];
    if (axis < 0) {
      now_.name = apply(random_() % 2 ? "Add" : "Mul", {now_.name, other.name});
    } else if (now_.dims[static_cast<size_t>(axis)] + other.dims[static_cast<size_t>(axis)] <= 32) {
      now_.name = apply("Concat", {now_.name, other.name}, [&](auto& n) { test::set(n, "axis", axis); });
      now_.dims[static_cast<size_t>(axis)] += other.dims[static_cast<size_t>(axis)];
    }
  }

  void slice(int64_t axis) {
    int64_t& extent = now_.dims[static_cast<size_t>(axis)];
    const int64_t begin = below(static_cast<size_t>(extent + 1) / 2),
                  end = extent - below(static_cast<size_t>(extent - begin));
    now_.name = apply("Slice", {now_.name, integers({begin}), integers({end}), integers({axis})});
    extent = end - begin;
  }

  void image_layer() {
    Dims& d = now_.dims;
    const int64_t n = d[0], c = d[1], h = d[2], w = d[3];
    const std::string v = now_.name;
    switch (below(16)) {
      case 0:
      case 1: {
        const int64_t kernel = pick({1, 3}), stride = std::min(h, w) >= 4 ? pick({1, 1, 2}) : 1,
                      out = pick({3, 4, 8, 16});
        std::vector<std::string> inputs{v, weight({out, c, kernel, kernel}, c * kernel * kernel)};
        if (random_() % 2) inputs.push_back(weight({out}));
        now_.name = apply("Conv", inputs, [&](auto& node) {
          test::set(node, "strides", Dims{stride, stride});
          test::set(node, "pads", Dims(4, kernel / 2));
        });
        d = {n, out, (h - 1) / stride + 1, (w - 1) / stride + 1};
        break;
      }
      case 2:
        now_.name = apply("Conv", {v, weight({c, 1, 3, 3}, 9)}, [&](auto& node) {
          test::set(node, "group", c);
          test::set(node, "pads", Dims(4, 1));
        });
        break;
      case 3:
        if (h > 8 || w > 12) break;
        now_.name = apply("ConvTranspose", {v, weight({c, 4, 2, 2}, c)}, [](auto& node) {
          test::set(node, "strides", Dims{2, 2});
        });
        d = {n, 4, 2 * h, 2 * w};
        break;
      case 4:
      case 5:
        now_.name = apply("BatchNormalization", {v, positive({c}), weight({c}), weight({c}), positive({c})});
        break;
      case 6: activation(); break;
      case 7: join(-1); break;
      case 8: join(1); break;
      case 9: slice(1); break;
      case 10:
        if (std::min(h, w) < 3 || std::max(h, w) > 16) break;
        now_.name = apply("Pad", {v, integers({0, 0, 1, 2, 0, 0, 1, 0})}, [&](auto& node) {
          test::set(node, "mode", random_() % 2 ? "reflect" : "constant");
        });
        d = {n, c, h + 2, w + 2};
        break;
      case 11:
        if (std::min(h, w) < 3) break;
        now_.name = apply("AveragePool", {v}, [&](auto& node) {
          test::set(node, "kernel_shape", Dims{3, 3});
          test::set(node, "strides", Dims{2, 2});
          test::set(node, "pads", Dims(4, 1));
        });
        d = {n, c, (h - 1) / 2 + 1, (w - 1) / 2 + 1};
        break;
      case 12: {
        if (h > 8 || w > 12) break;
        std::string scales = fresh();
        model_.weight(scales, {4}, {1, 1, 2, 2});
        now_.name = apply("Resize", {v, "", scales}, [&](auto& node) {
          test::set(node, "mode", random_() % 2 ? "nearest" : "linear");
          test::set(node, "coordinate_transformation_mode", "asymmetric");
          test::set(node, "nearest_mode", "floor");
        });
        d = {n, c, 2 * h, 2 * w};
        break;
      }
      case 13:  // squeeze and excite
        now_.name = apply(
            "Mul",
            {v, apply("Sigmoid", {apply("Conv", {mean(v, {2, 3}), weight({c, c, 1, 1}, c), weight({c})})})});
        break;
      case 14: {  // group normalisation as exporters write it
        const int64_t groups = c % 2 ? 1 : 2;
        std::string ones = fresh(), zeros = fresh();
        model_.weight(ones, {groups}, std::vector<float>(static_cast<size_t>(groups), 1));
        model_.weight(zeros, {groups}, std::vector<float>(static_cast<size_t>(groups), 0));
        std::string y = apply("InstanceNormalization", {reshaped(v, {0, groups, -1}), ones, zeros});
        now_.name = apply("Add", {apply("Mul", {reshaped(y, d), weight({c, 1, 1})}), weight({c, 1, 1})});
        break;
      }
      case 15:
        now_.name = transposed(v, {0, 1, 3, 2});
        std::swap(d[2], d[3]);
        break;
    }
  }

  void sequence_layer() {
    Dims& d = now_.dims;
    const int64_t n = d[0], t = d[1], c = d[2];
    const std::string v = now_.name;
    switch (below(13)) {
      case 0:
      case 1: {
        const int64_t out = pick({4, 6, 8, 12});
        now_.name = apply("MatMul", {v, weight({c, out}, c)});
        if (random_() % 2) now_.name = apply("Add", {now_.name, weight({out})});
        d[2] = out;
        break;
      }
      case 2:
        now_.name = apply("LayerNormalization", {v, positive({c}), weight({c})},
                          [](auto& node) { test::set(node, "axis", int64_t{-1}); });
        break;
      case 3:
      case 4: {
        const int64_t heads = c % 2 ? 1 : 2;
        auto part = [&](const Dims& perm) {
          return transposed(reshaped(apply("MatMul", {v, weight({c, c}, c)}), {n, t, heads, c / heads}),
                            perm);
        };
        std::string scores = apply("MatMul", {part({0, 2, 1, 3}), part({0, 2, 3, 1})});
        if (random_() % 2) {
          std::vector<float> mask(static_cast<size_t>(t * t));
          for (int64_t i = 0; i < t; i++)
            for (int64_t j = i + 1; j < t; j++) mask[static_cast<size_t>(i * t + j)] = -INFINITY;
          std::string name = fresh();
          model_.weight(name, {t, t}, mask);
          scores = apply("Add", {scores, name});
        }
        std::string y = apply("MatMul", {apply("Softmax", {scores}), part({0, 2, 1, 3})});
        now_.name = reshaped(transposed(y, {0, 2, 1, 3}), {n, t, c});
        break;
      }
      case 5: activation(); break;
      case 6: join(-1); break;
      case 7: join(2); break;
      case 8: slice(1); break;
      case 9: {
        std::string y =
            apply("Conv", {transposed(v, {0, 2, 1}), weight({6, c, 3}, 3 * c), weight({6})}, [](auto& node) {
              test::set(node, "pads", Dims{1, 1});
            });
        now_.name = transposed(y, {0, 2, 1});
        d[2] = 6;
        break;
      }
      case 10:
        now_.name = apply(random_() % 2 ? "Softmax" : "LogSoftmax", {v}, [&](auto& node) {
          test::set(node, "axis", pick({1, 2}));
        });
        break;
      case 11: {
        const int64_t size = pick({3, 4});
        std::string y = apply(
            "GRU", {transposed(v, {1, 0, 2}), weight({1, 3 * size, c}, c), weight({1, 3 * size, size}, size)},
            [&](auto& node) { test::set(node, "hidden_size", size); });
        now_.name = reshaped(transposed(y, {2, 0, 1, 3}), {n, t, size});
        d[2] = size;
        break;
      }
      case 12: now_.name = apply("Sub", {v, mean(v, {pick({1, 2})})}); break;
    }
  }

  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  ModelBuilder model_{20, 9};
  Dims x_;
  Named now_;
  std::vector<Named> seen_;
  int names_ = 0;
  std::string text_;
};

}  // namespace mezzo::runtime
