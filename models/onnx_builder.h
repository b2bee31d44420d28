// onnx_builder.h: writes an ONNX file layer by layer, with the initial weights PyTorch's layers would draw.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "frontend/onnx.pb.h"

namespace mezzo::models {

using Shape = std::vector<int64_t>;

// Values are named by strings, as in the file. Layers take the name their parameters get ("conv1" gives
// conv1.weight, conv1.bias) and return the name of their result. Batch sizes are symbolic ("batch").
class OnnxBuilder {
 public:
  OnnxBuilder(const std::string& graph_name, uint64_t seed);

  // A float input [batch, shape...].
  std::string input(const std::string& name, const Shape& shape);
  void output(const std::string& name, const Shape& shape);

  std::string linear(const std::string& name, const std::string& x, int64_t in, int64_t out);
  struct ConvOptions {
    int64_t kernel = 3, stride = 1, padding = 0, groups = 1;
    bool bias = true;
  };
  std::string conv(const std::string& name, const std::string& x, int64_t in, int64_t out,
                   const ConvOptions& options);
  // In training mode, with running statistics as initializers; momentum 0.9 (PyTorch's 0.1), epsilon 1e-5.
  std::string batch_norm(const std::string& name, const std::string& x, int64_t channels);
  std::string relu(const std::string& x);
  std::string max_pool(const std::string& x, int64_t kernel, int64_t stride);
  std::string flatten(const std::string& x);
  std::string scaled(const std::string& x, float factor);  // x * factor

  // Renames the last result; the graph's outputs keep the names given to output().
  void name_result(const std::string& result, const std::string& name);
  void write(const std::string& path) const;

 private:
  onnx::NodeProto* node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::string& name = {});
  std::string result(onnx::NodeProto* n);
  void tensor(const std::string& name, const Shape& shape, const std::vector<float>& values);
  // uniform(-bound, bound), a function of the seed and of the calls so far only
  std::vector<float> uniform(int64_t count, double bound);

  onnx::ModelProto model_;
  std::mt19937_64 random_;
  int nodes_ = 0;
};

void set(onnx::NodeProto* node, const std::string& attribute, int64_t value);
void set(onnx::NodeProto* node, const std::string& attribute, float value);
void set(onnx::NodeProto* node, const std::string& attribute, const Shape& values);

}  // namespace mezzo::models
