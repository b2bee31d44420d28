#include "models/nets.h"

namespace mezzo::models {
namespace {

constexpr int64_t kClasses = 10;
constexpr float kDigitScale = 1.f / 16;  // grey values of digits.npz run from 0 to 16

void classify(OnnxBuilder& b, const std::string& x, const std::string& layer, int64_t in) {
  b.name_result(b.linear(layer, x, in, kClasses), "logits");
  b.output("logits", {kClasses});
}

}  // namespace

void mlp(OnnxBuilder& b) {
  std::string x = b.input("input", {784});
  x = b.relu(b.linear("fc1", x, 784, 1024));
  x = b.relu(b.linear("fc2", x, 1024, 1024));
  classify(b, x, "fc3", 1024);
}

void lenet(OnnxBuilder& b) {
  std::string x = b.input("input", {1, 28, 28});
  x = b.max_pool(b.relu(b.conv("conv1", x, 1, 6, {.kernel = 5, .padding = 2})), 2, 2);
  x = b.max_pool(b.relu(b.conv("conv2", x, 6, 16, {.kernel = 5})), 2, 2);
  x = b.relu(b.linear("fc1", b.flatten(x), 400, 120));
  x = b.relu(b.linear("fc2", x, 120, 84));
  classify(b, x, "fc3", 84);
}

void digits_mlp(OnnxBuilder& b) {
  std::string x = b.flatten(b.scaled(b.input("input", {1, 8, 8}), kDigitScale));
  x = b.relu(b.linear("fc1", x, 64, 64));
  x = b.relu(b.linear("fc2", x, 64, 64));
  classify(b, x, "fc3", 64);
}

void digits_cnn(OnnxBuilder& b) {
  std::string x = b.scaled(b.input("input", {1, 8, 8}), kDigitScale);
  x = b.relu(b.batch_norm("bn1", b.conv("conv1", x, 1, 32, {.padding = 1}), 32));
  x = b.relu(b.batch_norm("bn2", b.conv("conv2", x, 32, 64, {.padding = 1}), 64));
  x = b.flatten(b.max_pool(x, 2, 2));
  classify(b, x, "fc", 64 * 4 * 4);
}

}  // namespace mezzo::models
