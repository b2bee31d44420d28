// nets.h: the networks that mezzo-models writes.
#pragma once
#include "models/onnx_builder.h"

namespace mezzo::models {

// All read `input` and give `logits` for 10 classes.
void mlp(OnnxBuilder& b);         // 784 -> 1024 -> 1024 -> 10, relu
void lenet(OnnxBuilder& b);       // LeNet-5 on 1x28x28, relu and max pooling
void digits_mlp(OnnxBuilder& b);  // 1x8x8 (values 0..16) -> 64 -> 64 -> 10
void digits_cnn(OnnxBuilder& b);  // 1x8x8 (values 0..16): conv-bn-relu twice, pool, linear

}  // namespace mezzo::models
