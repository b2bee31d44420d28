// transformer.h: what BERT, GPT-2 and ViT have in common, in the forms PyTorch's exporter writes.
#pragma once
#include "models/onnx_builder.h"

namespace mezzo::models {

struct TransformerSizes {
  int64_t hidden = 768, heads = 12, sequence = 128;
  float epsilon = 1e-12f, dropout = 0.1f;
};

// A layer on [batch, sequence, hidden] as nn.Linear exports: Transpose of the weight [out, in], MatMul, Add.
std::string dense(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t in, int64_t out);
// The layer with a weight [in, out] (Conv1D of GPT-2): Reshape, Gemm, Reshape.
std::string flat_dense(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t in, int64_t out,
                       int64_t sequence, double deviation);
std::string layer_norm(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t hidden,
                       float epsilon);
// By erf (the operator Gelu from opset 20 on, before that its formula), and by tanh.
std::string gelu(OnnxBuilder& b, const std::string& x);
std::string gelu_tanh(OnnxBuilder& b, const std::string& x);

// softmax(q k' / sqrt(d) + mask) v over heads; q, k, v are [batch, sequence, hidden]. `mask` is added to the
// scores, or
// ("": none) `causal` chooses those that stay, a boolean constant.
std::string attention(OnnxBuilder& b, const std::string& q, const std::string& k, const std::string& v,
                      const std::string& mask, const std::string& causal, const TransformerSizes& sizes);

}  // namespace mezzo::models
