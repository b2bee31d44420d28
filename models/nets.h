// nets.h: the networks that mezzo-models writes.
#pragma once
#include <optional>

#include "models/onnx_builder.h"

namespace mezzo::models {

// Sizes; what is absent is that of the published network.
struct NetOptions {
  std::optional<int64_t> image, classes, width, layers, hidden, heads, sequence, vocabulary;
  std::optional<double> dropout;
};

// All read `input` and give `logits` for 10 classes.
void mlp(OnnxBuilder& b);         // 784 -> 1024 -> 1024 -> 10, relu
void lenet(OnnxBuilder& b);       // LeNet-5 on 1x28x28, relu and max pooling
void digits_mlp(OnnxBuilder& b);  // 1x8x8 (values 0..16) -> 64 -> 64 -> 10
void digits_cnn(OnnxBuilder& b);  // 1x8x8 (values 0..16): conv-bn-relu twice, pool, linear

// torchvision's networks: `input` [batch, 3, image, image] -> `logits` [batch, classes] (224 and 1000).
// Reads image, classes, width (channels of the first stage, 64). Pictures up to 64 get the stem usual for
// CIFAR (3x3, no pooling).
void resnet18(OnnxBuilder& b, const NetOptions& o);
void resnet50(OnnxBuilder& b, const NetOptions& o);
void mobilenet_v2(OnnxBuilder& b, const NetOptions& o);  // also dropout
void vgg16(OnnxBuilder& b, const NetOptions& o);         // also dropout; hidden: of the classifier, 4096
// Reads image, classes, layers, hidden, heads, dropout. Patches of 16, of 4 for pictures up to 64.
void vit_b16(OnnxBuilder& b, const NetOptions& o);

// `input_ids`, `attention_mask`, `token_type_ids` [batch, sequence] -> `logits` [batch, classes] (128 and 2).
// Reads layers, hidden, heads, sequence, vocabulary, classes, dropout.
void bert_base(OnnxBuilder& b, const NetOptions& o);
// `input_ids` [batch, sequence] -> `logits` [batch, sequence, vocabulary] (1024 and 50257); the head is the
// token embedding. Reads layers, hidden, heads, sequence, vocabulary, dropout.
void gpt2(OnnxBuilder& b, const NetOptions& o);

}  // namespace mezzo::models
