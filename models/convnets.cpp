// MobileNetV2 (Sandler and others, 2018) and VGG-16 (Simonyan and Zisserman, 2014) as torchvision builds and
// names them.
#include "models/nets.h"

namespace mezzo::models {
namespace {

constexpr int64_t kSmallImage = 64;

std::string relu6(OnnxBuilder& b, const std::string& x) {
  return b.apply("Clip", {x, b.constant(0), b.constant(6)});
}

std::string conv_bn(OnnxBuilder& b, const std::string& conv, const std::string& bn, const std::string& x,
                    int64_t in, int64_t out, OnnxBuilder::ConvOptions options) {
  options.bias = false;
  return b.batch_norm(bn, b.conv_normal(conv, x, in, out, options), out);
}

// Expand, filter each channel by itself, project; a shortcut where the shapes allow it.
std::string inverted_residual(OnnxBuilder& b, const std::string& name, const std::string& x, int64_t in,
                              int64_t out, int64_t stride, int64_t expansion) {
  const int64_t wide = in * expansion;
  std::string y = x;
  int part = 0;
  auto prefix = [&] { return name + ".conv." + std::to_string(part); };
  if (expansion != 1) {
    y = relu6(b, conv_bn(b, prefix() + ".0", prefix() + ".1", y, in, wide, {.kernel = 1}));
    part++;
  }
  y = relu6(b, conv_bn(b, prefix() + ".0", prefix() + ".1", y, wide, wide,
                       {.kernel = 3, .stride = stride, .padding = 1, .groups = wide}));
  part++;
  const std::string project = prefix();
  part++;
  y = conv_bn(b, project, prefix(), y, wide, out, {.kernel = 1});
  return stride == 1 && in == out ? b.apply("Add", {x, y}) : y;
}

}  // namespace

void mobilenet_v2(OnnxBuilder& b, const NetOptions& o) {
  struct Row {
    int64_t expansion, channels, blocks, stride;
  };
  constexpr Row kRows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                           {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  const int64_t image = o.image.value_or(224), classes = o.classes.value_or(1000),
                width = o.width.value_or(32);
  // Small pictures keep their size in the first two halvings.
  const int64_t early = image <= kSmallImage ? 1 : 2;
  auto scaled = [&](int64_t channels) { return std::max<int64_t>(8, channels * width / 32); };
  std::string x = b.input("input", {3, image, image});
  int64_t channels = width;
  x = relu6(b, conv_bn(b, "features.0.0", "features.0.1", x, 3, channels,
                       {.kernel = 3, .stride = early, .padding = 1}));
  int index = 1;
  for (const Row& row : kRows)
    for (int64_t k = 0; k < row.blocks; k++, index++) {
      const int64_t stride = k > 0 ? 1 : index < 4 ? std::min(row.stride, early) : row.stride;
      x = inverted_residual(b, "features." + std::to_string(index), x, channels, scaled(row.channels), stride,
                            row.expansion);
      channels = scaled(row.channels);
    }
  const int64_t last = scaled(1280);
  const std::string name = "features." + std::to_string(index);
  x = relu6(b, conv_bn(b, name + ".0", name + ".1", x, channels, last, {.kernel = 1}));
  x = b.dropout(b.flatten(b.apply("GlobalAveragePool", {x})), static_cast<float>(o.dropout.value_or(0.2)));
  b.name_result(b.linear("classifier.1", x, last, classes), "logits");
  b.output("logits", {classes});
}

void vgg16(OnnxBuilder& b, const NetOptions& o) {
  const int64_t image = o.image.value_or(224), classes = o.classes.value_or(1000),
                width = o.width.value_or(64), hidden = o.hidden.value_or(4096);
  const auto ratio = static_cast<float>(o.dropout.value_or(0.5));
  constexpr int kConvs[] = {2, 2, 3, 3, 3};
  std::string x = b.input("input", {3, image, image});
  int64_t channels = 3, side = image;
  int index = 0;
  for (int stage = 0; stage < 5; stage++) {
    const int64_t out = width << std::min(stage, 3);
    for (int k = 0; k < kConvs[stage]; k++, index += 2) {  // torchvision's numbers count the activations, too
      x = b.relu(
          b.conv_normal("features." + std::to_string(index), x, channels, out, {.kernel = 3, .padding = 1}));
      channels = out;
    }
    x = b.max_pool(x, 2, 2);
    side /= 2;
    index++;
  }
  x = b.flatten(x);
  x = b.dropout(b.relu(b.linear("classifier.0", x, channels * side * side, hidden)), ratio);
  x = b.dropout(b.relu(b.linear("classifier.3", x, hidden, hidden)), ratio);
  b.name_result(b.linear("classifier.6", x, hidden, classes), "logits");
  b.output("logits", {classes});
}

}  // namespace mezzo::models
