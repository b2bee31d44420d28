#include "models/onnx_builder.h"

#include <cmath>
#include <fstream>
#include <numeric>
#include <stdexcept>

namespace mezzo::models {
namespace {

enum AttributeType { kFloat = 1, kInt = 2, kTensor = 4, kInts = 7 };
constexpr int kIrVersion = 8;

onnx::AttributeProto* attribute(onnx::NodeProto* node, const std::string& name, AttributeType type) {
  onnx::AttributeProto* a = node->add_attribute();
  a->set_name(name);
  a->set_type(type);
  return a;
}

void describe(onnx::ValueInfoProto* info, const std::string& name, const Shape& shape, Element element) {
  info->set_name(name);
  onnx::TypeProto::Tensor* type = info->mutable_type()->mutable_tensor_type();
  type->set_elem_type(static_cast<int>(element));
  type->mutable_shape()->add_dim()->set_dim_param("batch");
  for (int64_t d : shape) type->mutable_shape()->add_dim()->set_dim_value(d);
}

}  // namespace

void set(onnx::NodeProto* node, const std::string& name, const Attribute& value) {
  if (auto* whole = std::get_if<int64_t>(&value))
    attribute(node, name, kInt)->set_i(*whole);
  else if (auto* real = std::get_if<float>(&value))
    attribute(node, name, kFloat)->set_f(*real);
  else
    for (onnx::AttributeProto* a = attribute(node, name, kInts); int64_t v : std::get<Shape>(value))
      a->add_ints(v);
}

int64_t count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

OnnxBuilder::OnnxBuilder(const std::string& graph_name, uint64_t seed, int opset)
    : random_(seed), opset_(opset) {
  model_.set_ir_version(kIrVersion);
  model_.set_producer_name("mezzo-models");
  model_.add_opset_import()->set_version(opset);
  model_.mutable_graph()->set_name(graph_name);
}

std::string OnnxBuilder::input(const std::string& name, const Shape& shape, Element type) {
  describe(model_.mutable_graph()->add_input(), name, shape, type);
  return name;
}

void OnnxBuilder::output(const std::string& name, const Shape& shape) {
  describe(model_.mutable_graph()->add_output(), name, shape, Element::f32);
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

std::string OnnxBuilder::parameter(const std::string& name, const Shape& shape,
                                   const std::vector<float>& values) {
  onnx::TensorProto* t = model_.mutable_graph()->add_initializer();
  t->set_name(name);
  t->set_data_type(static_cast<int>(Element::f32));
  for (int64_t d : shape) t->add_dims(d);
  t->set_raw_data(values.data(), values.size() * sizeof(float));
  return name;
}

std::string OnnxBuilder::normal_parameter(const std::string& name, const Shape& shape, double deviation) {
  return parameter(name, shape, normal(count(shape), deviation));
}
std::string OnnxBuilder::filled_parameter(const std::string& name, const Shape& shape, float value) {
  return parameter(name, shape, std::vector<float>(static_cast<size_t>(count(shape)), value));
}

std::vector<float> OnnxBuilder::uniform(int64_t count, double bound) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values)  // not std::uniform_real_distribution, whose numbers differ between libraries
    v = static_cast<float>((static_cast<double>(random_() >> 11) * 0x1p-53 * 2 - 1) * bound);
  return values;
}

// Box and Muller's way, in pairs; not std::normal_distribution, whose numbers differ between libraries.
std::vector<float> OnnxBuilder::normal(int64_t count, double deviation) {
  std::vector<float> values(static_cast<size_t>(count));
  auto draw = [&] { return static_cast<double>(random_() >> 11) * 0x1p-53; };
  for (size_t i = 0; i < values.size(); i += 2) {
    const double radius = deviation * std::sqrt(-2 * std::log(1 - draw())), angle = 2 * M_PI * draw();
    values[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return values;
}

std::string OnnxBuilder::apply(const std::string& op, const std::vector<std::string>& inputs,
                               const Attributes& attributes) {
  onnx::NodeProto* n = node(op, inputs);
  for (auto& [name, value] : attributes) set(n, name, value);
  return result(n);
}

std::vector<std::string> OnnxBuilder::split(const std::string& x, const Shape& parts, int64_t axis) {
  onnx::NodeProto* n = node("Split", {x, integers(parts)});
  set(n, "axis", axis);
  std::vector<std::string> out;
  for (size_t i = 0; i < parts.size(); i++) {
    out.push_back(n->name() + ".out" + std::to_string(i));
    n->add_output(out.back());
  }
  return out;
}

onnx::TensorProto* OnnxBuilder::constant_node(Element type, const Shape& shape, std::string* name) {
  onnx::NodeProto* n = node("Constant", {});
  onnx::TensorProto* t = attribute(n, "value", kTensor)->mutable_t();
  t->set_data_type(static_cast<int>(type));
  for (int64_t d : shape) t->add_dims(d);
  *name = result(n);
  return t;
}

std::string OnnxBuilder::constant(const Shape& shape, const std::vector<float>& values) {
  std::string name;
  constant_node(Element::f32, shape, &name)->set_raw_data(values.data(), values.size() * sizeof(float));
  return name;
}
std::string OnnxBuilder::integers(const Shape& shape, const Shape& values) {
  std::string name;
  constant_node(Element::i64, shape, &name)->set_raw_data(values.data(), values.size() * sizeof(int64_t));
  return name;
}
std::string OnnxBuilder::integers(const Shape& values) {
  return integers({static_cast<int64_t>(values.size())}, values);
}
std::string OnnxBuilder::booleans(const Shape& shape, const std::vector<char>& values) {
  std::string name;
  constant_node(Element::boolean, shape, &name)->set_raw_data(values.data(), values.size());
  return name;
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
