#include "models/onnx_builder.h"

#include <cmath>
#include <fstream>
#include <numeric>
#include <stdexcept>

namespace mezzo::models {
namespace {

enum AttributeType { kFloat = 1, kInt = 2, kInts = 7 };
constexpr int kFloatTensor = 1, kOpset = 17, kIrVersion = 8;

onnx::AttributeProto* attribute(onnx::NodeProto* node, const std::string& name, AttributeType type) {
  onnx::AttributeProto* a = node->add_attribute();
  a->set_name(name);
  a->set_type(type);
  return a;
}

void describe(onnx::ValueInfoProto* info, const std::string& name, const Shape& shape) {
  info->set_name(name);
  onnx::TypeProto::Tensor* type = info->mutable_type()->mutable_tensor_type();
  type->set_elem_type(kFloatTensor);
  type->mutable_shape()->add_dim()->set_dim_param("batch");
  for (int64_t d : shape) type->mutable_shape()->add_dim()->set_dim_value(d);
}

}  // namespace

void set(onnx::NodeProto* node, const std::string& name, int64_t value) {
  attribute(node, name, kInt)->set_i(value);
}
void set(onnx::NodeProto* node, const std::string& name, float value) {
  attribute(node, name, kFloat)->set_f(value);
}
void set(onnx::NodeProto* node, const std::string& name, const Shape& values) {
  onnx::AttributeProto* a = attribute(node, name, kInts);
  for (int64_t v : values) a->add_ints(v);
}

OnnxBuilder::OnnxBuilder(const std::string& graph_name, uint64_t seed) : random_(seed) {
  model_.set_ir_version(kIrVersion);
  model_.set_producer_name("mezzo-models");
  model_.add_opset_import()->set_version(kOpset);
  model_.mutable_graph()->set_name(graph_name);
}

std::string OnnxBuilder::input(const std::string& name, const Shape& shape) {
  describe(model_.mutable_graph()->add_input(), name, shape);
  return name;
}

void OnnxBuilder::output(const std::string& name, const Shape& shape) {
  describe(model_.mutable_graph()->add_output(), name, shape);
}

onnx::NodeProto* OnnxBuilder::node(const std::string& op, const std::vector<std::string>& inputs,
                                   const std::string& name) {
  onnx::NodeProto* n = model_.mutable_graph()->add_node();
  n->set_op_type(op);
  n->set_name(name.empty() ? op + "_" + std::to_string(nodes_) : name);
  for (const std::string& i : inputs) n->add_input(i);
  nodes_++;
  return n;
}

std::string OnnxBuilder::result(onnx::NodeProto* n) {
  n->add_output(n->name() + ".out");
  return n->output(n->output_size() - 1);
}

void OnnxBuilder::tensor(const std::string& name, const Shape& shape, const std::vector<float>& values) {
  onnx::TensorProto* t = model_.mutable_graph()->add_initializer();
  t->set_name(name);
  t->set_data_type(kFloatTensor);
  for (int64_t d : shape) t->add_dims(d);
  t->set_raw_data(values.data(), values.size() * sizeof(float));
}

std::vector<float> OnnxBuilder::uniform(int64_t count, double bound) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values)  // not std::uniform_real_distribution, whose numbers differ between libraries
    v = static_cast<float>((static_cast<double>(random_() >> 11) * 0x1p-53 * 2 - 1) * bound);
  return values;
}

std::string OnnxBuilder::linear(const std::string& name, const std::string& x, int64_t in, int64_t out) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  tensor(name + ".weight", {out, in}, uniform(out * in, bound));
  tensor(name + ".bias", {out}, uniform(out, bound));
  onnx::NodeProto* n = node("Gemm", {x, name + ".weight", name + ".bias"}, name);
  set(n, "transB", int64_t{1});
  return result(n);
}

std::string OnnxBuilder::conv(const std::string& name, const std::string& x, int64_t in, int64_t out,
                              const ConvOptions& o) {
  const Shape shape{out, in / o.groups, o.kernel, o.kernel};
  const int64_t fan_in = shape[1] * shape[2] * shape[3];
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  tensor(name + ".weight", shape, uniform(out * fan_in, bound));
  std::vector<std::string> inputs{x, name + ".weight"};
  if (o.bias) {
    tensor(name + ".bias", {out}, uniform(out, bound));
    inputs.push_back(name + ".bias");
  }
  onnx::NodeProto* n = node("Conv", inputs, name);
  set(n, "kernel_shape", Shape{o.kernel, o.kernel});
  set(n, "strides", Shape{o.stride, o.stride});
  set(n, "pads", Shape(4, o.padding));
  set(n, "group", o.groups);
  return result(n);
}

std::string OnnxBuilder::batch_norm(const std::string& name, const std::string& x, int64_t channels) {
  const auto count = static_cast<size_t>(channels);
  tensor(name + ".weight", {channels}, std::vector<float>(count, 1));
  tensor(name + ".bias", {channels}, std::vector<float>(count, 0));
  tensor(name + ".running_mean", {channels}, std::vector<float>(count, 0));
  tensor(name + ".running_var", {channels}, std::vector<float>(count, 1));
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

std::string OnnxBuilder::relu(const std::string& x) { return result(node("Relu", {x})); }

std::string OnnxBuilder::max_pool(const std::string& x, int64_t kernel, int64_t stride) {
  onnx::NodeProto* n = node("MaxPool", {x});
  set(n, "kernel_shape", Shape{kernel, kernel});
  set(n, "strides", Shape{stride, stride});
  return result(n);
}

std::string OnnxBuilder::flatten(const std::string& x) { return result(node("Flatten", {x})); }

std::string OnnxBuilder::scaled(const std::string& x, float factor) {
  const std::string constant = "scale_" + std::to_string(nodes_);
  onnx::NodeProto* n = node("Constant", {});
  onnx::AttributeProto* a = n->add_attribute();
  a->set_name("value_float");
  a->set_type(kFloat);
  a->set_f(factor);
  n->add_output(constant);
  return result(node("Mul", {x, constant}));
}

void OnnxBuilder::name_result(const std::string& old_name, const std::string& name) {
  for (onnx::NodeProto& n : *model_.mutable_graph()->mutable_node())
    for (std::string& o : *n.mutable_output())
      if (o == old_name) o = name;
}

void OnnxBuilder::write(const std::string& path) const {
  std::ofstream file(path, std::ios::binary);
  if (!model_.SerializeToOstream(&file) || !file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace mezzo::models
