// BERT (Devlin and others, 2018) and GPT-2 (Radford and others, 2019) with the names of the transformers
// library, ViT (Dosovitskiy and others, 2020) with torchvision's.
#include <cmath>
#include <limits>
#include <numeric>

#include "models/nets.h"
#include "models/transformer.h"

namespace mezzo::models {
namespace {

constexpr double kDeviation = 0.02;
constexpr int64_t kSmallImage = 64;

TransformerSizes sizes_of(const NetOptions& o, int64_t sequence, float epsilon, double dropout) {
  TransformerSizes s;
  s.hidden = o.hidden.value_or(768);
  s.heads = o.heads.value_or(o.hidden ? std::max<int64_t>(1, s.hidden / 64) : 12);
  s.sequence = o.sequence.value_or(sequence);
  s.epsilon = epsilon;
  s.dropout = static_cast<float>(o.dropout.value_or(dropout));
  return s;
}

Shape counting(int64_t n) {
  Shape out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), int64_t{0});
  return out;
}

std::string embedding(OnnxBuilder& b, const std::string& name, const Shape& shape, const std::string& ids) {
  return b.apply("Gather", {b.normal_parameter(name + ".weight", shape, kDeviation), ids});
}

std::string add(OnnxBuilder& b, const std::string& x, const std::string& y) { return b.apply("Add", {x, y}); }

}  // namespace

void bert_base(OnnxBuilder& b, const NetOptions& o) {
  const TransformerSizes s = sizes_of(o, 128, 1e-12f, 0.1);
  const int64_t classes = o.classes.value_or(2), positions = std::max<int64_t>(512, s.sequence);
  const std::string ids = b.input("input_ids", {s.sequence}, Element::i64),
                    mask = b.input("attention_mask", {s.sequence}, Element::i64),
                    types = b.input("token_type_ids", {s.sequence}, Element::i64);
  // 0 where there is a token, the least float where there is none.
  std::string bias =
      b.apply("Cast", {b.apply("Unsqueeze", {mask, b.integers({1, 2})})}, {{"to", int64_t{1}}});
  bias = b.scaled(b.apply("Sub", {b.constant(1), bias}), std::numeric_limits<float>::lowest());

  const std::string e = "bert.embeddings.";
  std::string x = add(b, embedding(b, e + "word_embeddings", {o.vocabulary.value_or(30522), s.hidden}, ids),
                      embedding(b, e + "token_type_embeddings", {2, s.hidden}, types));
  x = add(b, x,
          embedding(b, e + "position_embeddings", {positions, s.hidden},
                    b.integers({1, s.sequence}, counting(s.sequence))));
  x = b.dropout(layer_norm(b, e + "LayerNorm", x, s.hidden, s.epsilon), s.dropout);
  for (int64_t k = 0; k < o.layers.value_or(12); k++) {
    const std::string layer = "bert.encoder.layer." + std::to_string(k) + ".",
                      self = layer + "attention.self.";
    std::string y = attention(b, dense(b, self + "query", x, s.hidden, s.hidden),
                              dense(b, self + "key", x, s.hidden, s.hidden),
                              dense(b, self + "value", x, s.hidden, s.hidden), bias, {}, s);
    y = b.dropout(dense(b, layer + "attention.output.dense", y, s.hidden, s.hidden), s.dropout);
    x = layer_norm(b, layer + "attention.output.LayerNorm", add(b, y, x), s.hidden, s.epsilon);
    y = gelu(b, dense(b, layer + "intermediate.dense", x, s.hidden, 4 * s.hidden));
    y = b.dropout(dense(b, layer + "output.dense", y, 4 * s.hidden, s.hidden), s.dropout);
    x = layer_norm(b, layer + "output.LayerNorm", add(b, y, x), s.hidden, s.epsilon);
  }
  const std::string first = b.apply("Gather", {x, b.integers({}, {0})}, {{"axis", int64_t{1}}});
  auto head = [&](const std::string& name, const std::string& v, int64_t out) {
    b.normal_parameter(name + ".weight", {out, s.hidden}, kDeviation);
    b.filled_parameter(name + ".bias", {out}, 0);
    return b.apply("Gemm", {v, name + ".weight", name + ".bias"}, {{"transB", int64_t{1}}});
  };
  const std::string pooled =
      b.dropout(b.apply("Tanh", {head("bert.pooler.dense", first, s.hidden)}), s.dropout);
  b.name_result(head("classifier", pooled, classes), "logits");
  b.output("logits", {classes});
}

void gpt2(OnnxBuilder& b, const NetOptions& o) {
  const TransformerSizes s = sizes_of(o, 1024, 1e-5f, 0.1);
  const int64_t vocabulary = o.vocabulary.value_or(50257), layers = o.layers.value_or(12), h = s.hidden,
                t = s.sequence;
  // Sums of 2 * layers branches keep the variance of one.
  const double into_sum = kDeviation / std::sqrt(2 * static_cast<double>(layers));
  const std::string ids = b.input("input_ids", {t}, Element::i64);
  std::vector<char> lower(static_cast<size_t>(t * t));
  for (int64_t i = 0; i < t * t; i++) lower[static_cast<size_t>(i)] = i % t <= i / t;
  const std::string causal = b.booleans({1, 1, t, t}, lower);

  const std::string p = "transformer.";
  std::string x =
      add(b, embedding(b, p + "wte", {vocabulary, h}, ids),
          embedding(b, p + "wpe", {std::max<int64_t>(1024, t), h}, b.integers({1, t}, counting(t))));
  x = b.dropout(x, s.dropout);
  for (int64_t k = 0; k < layers; k++) {
    const std::string layer = p + "h." + std::to_string(k) + ".";
    std::string y = layer_norm(b, layer + "ln_1", x, h, s.epsilon);
    const auto qkv = b.split(flat_dense(b, layer + "attn.c_attn", y, h, 3 * h, t, kDeviation), {h, h, h}, 2);
    y = attention(b, qkv[0], qkv[1], qkv[2], {}, causal, s);
    x = add(b, x, b.dropout(flat_dense(b, layer + "attn.c_proj", y, h, h, t, into_sum), s.dropout));
    y = layer_norm(b, layer + "ln_2", x, h, s.epsilon);
    y = gelu_tanh(b, flat_dense(b, layer + "mlp.c_fc", y, h, 4 * h, t, kDeviation));
    x = add(b, x, b.dropout(flat_dense(b, layer + "mlp.c_proj", y, 4 * h, h, t, into_sum), s.dropout));
  }
  x = layer_norm(b, p + "ln_f", x, h, s.epsilon);
  const std::string head = b.apply("Transpose", {p + "wte.weight"}, {{"perm", Shape{1, 0}}});
  b.name_result(b.apply("MatMul", {x, head}), "logits");
  b.output("logits", {t, vocabulary});
}

void vit_b16(OnnxBuilder& b, const NetOptions& o) {
  const int64_t image = o.image.value_or(224), classes = o.classes.value_or(1000),
                patch = image <= kSmallImage ? 4 : 16;
  const int64_t patches = (image / patch) * (image / patch);
  TransformerSizes s = sizes_of(o, patches + 1, 1e-6f, 0);
  const int64_t h = s.hidden;
  std::string x = b.input("input", {3, image, image});
  // The variance that keeps that of the pixels.
  const double deviation = std::sqrt(1 / static_cast<double>(3 * patch * patch));
  b.normal_parameter("conv_proj.weight", {h, 3, patch, patch}, deviation);
  b.filled_parameter("conv_proj.bias", {h}, 0);
  std::string batch = b.apply("Shape", {x}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
  x = b.apply("Conv", {x, "conv_proj.weight", "conv_proj.bias"},
              {{"kernel_shape", Shape{patch, patch}}, {"strides", Shape{patch, patch}}});
  x = b.apply("Reshape", {x, b.integers({0, h, patches})});
  x = b.apply("Transpose", {x}, {{"perm", Shape{0, 2, 1}}});
  const std::string token = b.filled_parameter("class_token", {1, 1, h}, 0);
  const std::string shape = b.apply("Concat", {batch, b.integers({1, h})}, {{"axis", int64_t{0}}});
  x = b.apply("Concat", {b.apply("Expand", {token, shape}), x}, {{"axis", int64_t{1}}});
  x = add(b, x, b.normal_parameter("encoder.pos_embedding", {1, patches + 1, h}, kDeviation));
  x = b.dropout(x, s.dropout);
  for (int64_t k = 0; k < o.layers.value_or(12); k++) {
    const std::string layer = "encoder.layers.encoder_layer_" + std::to_string(k) + ".";
    std::string y = layer_norm(b, layer + "ln_1", x, h, s.epsilon);
    const auto qkv = b.split(dense(b, layer + "self_attention.in_proj", y, h, 3 * h), {h, h, h}, 2);
    y = attention(b, qkv[0], qkv[1], qkv[2], {}, {}, s);
    x = add(b, x, b.dropout(dense(b, layer + "self_attention.out_proj", y, h, h), s.dropout));
    y = layer_norm(b, layer + "ln_2", x, h, s.epsilon);
    y = b.dropout(gelu(b, dense(b, layer + "mlp.0", y, h, 4 * h)), s.dropout);
    x = add(b, x, b.dropout(dense(b, layer + "mlp.3", y, 4 * h, h), s.dropout));
  }
  x = layer_norm(b, "encoder.ln", x, h, s.epsilon);
  x = b.apply("Gather", {x, b.integers({}, {0})}, {{"axis", int64_t{1}}});
  b.filled_parameter("heads.head.weight", {classes, h}, 0);
  b.filled_parameter("heads.head.bias", {classes}, 0);
  x = b.apply("Gemm", {x, "heads.head.weight", "heads.head.bias"}, {{"transB", int64_t{1}}});
  b.name_result(x, "logits");
  b.output("logits", {classes});
}

}  // namespace mezzo::models
