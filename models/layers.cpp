// The layers of OnnxBuilder, each with the weights PyTorch's layer of the same kind would draw.
#include <cmath>

#include "models/onnx_builder.h"

namespace mezzo::models {

std::string OnnxBuilder::linear(const std::string& name, const std::string& x, int64_t in, int64_t out) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  parameter(name + ".weight", {out, in}, uniform(out * in, bound));
  parameter(name + ".bias", {out}, uniform(out, bound));
  onnx::NodeProto* n = node("Gemm", {x, name + ".weight", name + ".bias"}, name);
  set(n, "transB", int64_t{1});
  return result(n);
}

std::string OnnxBuilder::conv_node(const std::string& name, const std::string& x, const ConvOptions& o) {
  std::vector<std::string> inputs{x, name + ".weight"};
  if (o.bias) inputs.push_back(name + ".bias");
  onnx::NodeProto* n = node("Conv", inputs, name);
  set(n, "kernel_shape", Shape{o.kernel, o.kernel});
  set(n, "strides", Shape{o.stride, o.stride});
  set(n, "pads", Shape(4, o.padding));
  set(n, "group", o.groups);
  return result(n);
}

std::string OnnxBuilder::conv(const std::string& name, const std::string& x, int64_t in, int64_t out,
                              const ConvOptions& o) {
  const Shape shape{out, in / o.groups, o.kernel, o.kernel};
  const double bound = 1 / std::sqrt(static_cast<double>(shape[1] * shape[2] * shape[3]));
  parameter(name + ".weight", shape, uniform(count(shape), bound));
  if (o.bias) parameter(name + ".bias", {out}, uniform(out, bound));
  return conv_node(name, x, o);
}

std::string OnnxBuilder::conv_normal(const std::string& name, const std::string& x, int64_t in, int64_t out,
                                     const ConvOptions& o) {
  const double fan_out = static_cast<double>(o.kernel * o.kernel * out) / static_cast<double>(o.groups);
  normal_parameter(name + ".weight", {out, in / o.groups, o.kernel, o.kernel}, std::sqrt(2 / fan_out));
  if (o.bias) filled_parameter(name + ".bias", {out}, 0);
  return conv_node(name, x, o);
}

std::string OnnxBuilder::batch_norm(const std::string& name, const std::string& x, int64_t channels) {
  filled_parameter(name + ".weight", {channels}, 1);
  filled_parameter(name + ".bias", {channels}, 0);
  filled_parameter(name + ".running_mean", {channels}, 0);
  filled_parameter(name + ".running_var", {channels}, 1);
  onnx::NodeProto* n =
      node("BatchNormalization",
           {x, name + ".weight", name + ".bias", name + ".running_mean", name + ".running_var"}, name);
  set(n, "epsilon", 1e-5f);
  set(n, "momentum", 0.9f);
  set(n, "training_mode", int64_t{1});
  std::string y = result(n);
  n->add_output(name + ".mean_out");
  n->add_output(name + ".var_out");
  return y;
}

std::string OnnxBuilder::relu(const std::string& x) { return apply("Relu", {x}); }

std::string OnnxBuilder::max_pool(const std::string& x, int64_t kernel, int64_t stride, int64_t padding) {
  return apply("MaxPool", {x},
               {{"kernel_shape", Shape{kernel, kernel}},
                {"strides", Shape{stride, stride}},
                {"pads", Shape(4, padding)}});
}

std::string OnnxBuilder::flatten(const std::string& x) { return apply("Flatten", {x}); }

std::string OnnxBuilder::scaled(const std::string& x, float factor) {
  return apply("Mul", {x, constant(factor)});
}

std::string OnnxBuilder::dropout(const std::string& x, float ratio) {
  if (ratio == 0) return x;
  return apply("Dropout", {x, constant(ratio), booleans({}, {1})});
}

}  // namespace mezzo::models
