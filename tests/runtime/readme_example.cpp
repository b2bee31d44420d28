// The example of the README, compiled and run.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "mezzo/mezzo.h"
#include "tests/paths.h"

namespace {

struct Digits {
  mezzo::Tensor images, labels;
};

// Eight grey 8x8 images and their classes.
Digits load_digits() {
  std::vector<float> pixels(8 * 64);
  for (size_t i = 0; i < pixels.size(); i++) pixels[i] = static_cast<float>(i * 37 % 17);
  return {mezzo::Tensor({8, 1, 8, 8}, pixels),
          mezzo::Tensor({8}, std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7})};
}

// README: begin
void train(const std::string& file, const std::string& trained) {
  auto model = mezzo::Model::load(file);
  auto trainer = model.compile({.inputs = {{"input", {8, 1, 8, 8}}},
                                .loss = mezzo::Loss::cross_entropy(),
                                .precision = mezzo::Precision::bf16,
                                .optimizer = mezzo::AdamW{.lr = 1e-3}});
  auto [images, labels] = load_digits();
  for (int epoch = 0; epoch < 5; epoch++) {
    mezzo::StepResult result = trainer.step({{"input", images}, {"labels", labels}});
    std::cout << "step " << result.step << "  loss " << result.loss << "  norm " << result.grad_norm << '\n';
  }
  trainer.save_onnx(trained);
}
// README: end

TEST(ReadmeExample, Runs) {
  std::string trained = testing::TempDir() + "mezzo_readme_" + std::to_string(::getpid()) + ".onnx";
  train(MEZZO_SOURCE_DIR + "/models/fixtures/digits_cnn.ts17.onnx", trained);
  auto [images, labels] = load_digits();
  auto before =
      mezzo::Model::load(MEZZO_SOURCE_DIR + "/models/fixtures/digits_cnn.ts17.onnx").run({{"input", images}});
  auto after = mezzo::Model::load(trained).run({{"input", images}});
  EXPECT_EQ(after.at("logits").shape(), (mezzo::Shape{8, 10}));
  EXPECT_NE(after.at("logits").to<float>(), before.at("logits").to<float>());
  std::filesystem::remove(trained);
}

TEST(PublicTensor, ConvertsAndChecks) {
  mezzo::Tensor t({2, 2}, std::vector<uint8_t>{1, 2, 3, 250});
  EXPECT_EQ(t.dtype(), mezzo::DType::u8);
  EXPECT_EQ(t.to<float>(), (std::vector<float>{1, 2, 3, 250}));
  EXPECT_EQ(t.at(3), 250);
  EXPECT_STREQ(mezzo::to_string(t.dtype()), "u8");
  EXPECT_THROW(mezzo::Tensor({3}, std::vector<float>{1, 2}), mezzo::Error);
  EXPECT_THROW(mezzo::Tensor({-1}, mezzo::DType::f32), mezzo::Error);
  EXPECT_THROW(t.at(4), mezzo::Error);
}

TEST(PublicTrainer, FeedsOfOtherTypesAndShapes) {
  auto model = mezzo::Model::load(MEZZO_SOURCE_DIR + "/models/fixtures/mlp.ts17.onnx");
  auto trainer = model.compile({.optimizer = mezzo::SGD{.lr = 0.1}});
  EXPECT_TRUE(trainer.parameters().empty());  // nothing is known about the batch yet
  for (int64_t n : {4, 7}) {
    mezzo::Tensor x({n, 64}, mezzo::DType::u8), y({n}, mezzo::DType::i32);
    EXPECT_GT(trainer.step({{"input", x}, {"labels", y}}).loss, 0);
  }
  EXPECT_EQ(trainer.parameters().size(), 6u);
  EXPECT_EQ(trainer.parameter("fc1.weight").shape(), (mezzo::Shape{32, 64}));
  EXPECT_THROW(trainer.parameter("fc9.weight"), mezzo::Error);
}

}  // namespace
