// onnx_builder.h: writes an ONNX file layer by layer, with the initial weights PyTorch's layers would draw.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "frontend/onnx.pb.h"

namespace mezzo::models {

using Shape = std::vector<int64_t>;
using Attribute = std::variant<int64_t, float, Shape>;
using Attributes = std::vector<std::pair<std::string, Attribute>>;

constexpr int kDefaultOpset = 17;
enum class Element { f32 = 1, i64 = 7, boolean = 9 };  // ONNX's numbers

// Values are named by strings, as in the file. Layers take the name their parameters get ("conv1" gives
// conv1.weight, conv1.bias) and return the name of their result. Batch sizes are symbolic ("batch").
class OnnxBuilder {
 public:
  OnnxBuilder(const std::string& graph_name, uint64_t seed, int opset = kDefaultOpset);
  int opset() const { return opset_; }

  // An input [batch, shape...].
  std::string input(const std::string& name, const Shape& shape, Element type = Element::f32);
  void output(const std::string& name, const Shape& shape);

  std::string linear(const std::string& name, const std::string& x, int64_t in, int64_t out);
  struct ConvOptions {
    int64_t kernel = 3, stride = 1, padding = 0, groups = 1;
    bool bias = true;
  };
  std::string conv(const std::string& name, const std::string& x, int64_t in, int64_t out,
                   const ConvOptions& options);
  // Convolutions drawn as torchvision's networks draw them: normal, variance 2 / (kernel^2 * out).
  std::string conv_normal(const std::string& name, const std::string& x, int64_t in, int64_t out,
                          const ConvOptions& options);
  // In training mode, with running statistics as initializers; momentum 0.9 (PyTorch's 0.1), epsilon 1e-5.
  std::string batch_norm(const std::string& name, const std::string& x, int64_t channels);
  std::string relu(const std::string& x);
  std::string max_pool(const std::string& x, int64_t kernel, int64_t stride, int64_t padding = 0);
  std::string flatten(const std::string& x);
  std::string scaled(const std::string& x, float factor);  // x * factor
  std::string dropout(const std::string& x, float ratio);  // in training mode; 0: nothing

  // Any operator with one result.
  std::string apply(const std::string& op, const std::vector<std::string>& inputs,
                    const Attributes& attributes = {});
  std::vector<std::string> split(const std::string& x, const Shape& parts, int64_t axis);
  // Constant nodes.
  std::string constant(const Shape& shape, const std::vector<float>& values);
  std::string constant(float value) { return constant({}, {value}); }
  std::string integers(const Shape& values);  // of rank 1
  std::string integers(const Shape& shape, const Shape& values);
  std::string booleans(const Shape& shape, const std::vector<char>& values);
  // Initializers; each returns its name.
  std::string parameter(const std::string& name, const Shape& shape, const std::vector<float>& values);
  std::string normal_parameter(const std::string& name, const Shape& shape, double deviation);
  std::string filled_parameter(const std::string& name, const Shape& shape, float value);

  // Renames the last result; the graph's outputs keep the names given to output().
  void name_result(const std::string& result, const std::string& name);
  void write(const std::string& path) const;

 private:
  onnx::NodeProto* node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::string& name = {});
  std::string result(onnx::NodeProto* n);
  std::string conv_node(const std::string& name, const std::string& x, const ConvOptions& options);
  onnx::TensorProto* constant_node(Element type, const Shape& shape, std::string* name);
  // uniform(-bound, bound), a function of the seed and of the calls so far only
  std::vector<float> uniform(int64_t count, double bound);
  std::vector<float> normal(int64_t count, double deviation);

  onnx::ModelProto model_;
  std::mt19937_64 random_;
  int nodes_ = 0, opset_;
};

void set(onnx::NodeProto* node, const std::string& attribute, const Attribute& value);
int64_t count(const Shape& shape);

}  // namespace mezzo::models
