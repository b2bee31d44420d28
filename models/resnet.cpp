// ResNet (He and others, 2015) as torchvision builds and names it.
#include "models/nets.h"

namespace mezzo::models {
namespace {

constexpr int64_t kSmallImage = 64;

struct Stage {
  int64_t blocks, stride;
};

class ResNet {
 public:
  ResNet(OnnxBuilder& b, bool bottleneck) : b_(b), bottleneck_(bottleneck) {}

  void build(const std::vector<Stage>& stages, const NetOptions& o) {
    const int64_t image = o.image.value_or(224), width = o.width.value_or(64),
                  classes = o.classes.value_or(1000);
    std::string x = b_.input("input", {3, image, image});
    channels_ = width;
    if (image <= kSmallImage) {
      x = conv_bn("conv1", "bn1", x, 3, width, {.kernel = 3, .padding = 1});
      x = b_.relu(x);
    } else {
      x = conv_bn("conv1", "bn1", x, 3, width, {.kernel = 7, .stride = 2, .padding = 3});
      x = b_.max_pool(b_.relu(x), 3, 2, 1);
    }
    for (size_t s = 0; s < stages.size(); s++)
      for (int64_t k = 0; k < stages[s].blocks; k++)
        x = block("layer" + std::to_string(s + 1) + "." + std::to_string(k), x, width << s,
                  k ? 1 : stages[s].stride);
    x = b_.flatten(b_.apply("GlobalAveragePool", {x}));
    b_.name_result(b_.linear("fc", x, channels_, classes), "logits");
    b_.output("logits", {classes});
  }

 private:
  std::string conv_bn(const std::string& conv, const std::string& bn, const std::string& x, int64_t in,
                      int64_t out, OnnxBuilder::ConvOptions options) {
    options.bias = false;
    return b_.batch_norm(bn, b_.conv_normal(conv, x, in, out, options), out);
  }

  std::string block(const std::string& name, const std::string& x, int64_t width, int64_t stride) {
    const int64_t in = channels_, out = bottleneck_ ? 4 * width : width;
    auto part = [&](const char* conv, int k) { return name + "." + conv + std::to_string(k); };
    auto layer = [&](int k, const std::string& v, int64_t from, int64_t to, int64_t kernel, int64_t step) {
      return conv_bn(part("conv", k), part("bn", k), v, from, to,
                     {.kernel = kernel, .stride = step, .padding = kernel / 2});
    };
    std::string y;
    if (bottleneck_) {  // the stride is in the 3x3 convolution, torchvision's "version 1.5"
      y = b_.relu(layer(1, x, in, width, 1, 1));
      y = b_.relu(layer(2, y, width, width, 3, stride));
      y = layer(3, y, width, out, 1, 1);
    } else {
      y = b_.relu(layer(1, x, in, width, 3, stride));
      y = layer(2, y, width, width, 3, 1);
    }
    std::string skip = x;
    if (stride != 1 || in != out)
      skip = conv_bn(name + ".downsample.0", name + ".downsample.1", x, in, out,
                     {.kernel = 1, .stride = stride});
    channels_ = out;
    return b_.relu(b_.apply("Add", {y, skip}));
  }

  OnnxBuilder& b_;
  bool bottleneck_;
  int64_t channels_ = 0;
};

}  // namespace

void resnet18(OnnxBuilder& b, const NetOptions& o) {
  ResNet(b, false).build({{2, 1}, {2, 2}, {2, 2}, {2, 2}}, o);
}
void resnet50(OnnxBuilder& b, const NetOptions& o) {
  ResNet(b, true).build({{3, 1}, {4, 2}, {6, 2}, {3, 2}}, o);
}

}  // namespace mezzo::models
