// The counter-based generator: known answers, an independent implementation, and the statistics of the
// numbers drawn.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// Philox2x32-10 written down from the paper: both words of the result.
std::pair<uint32_t, uint32_t> philox(uint32_t c0, uint32_t c1, uint32_t key) {
  for (int round = 0; round < 10; round++) {
    uint64_t product = uint64_t{0xD256D193} * c0;
    uint32_t next = static_cast<uint32_t>(product >> 32) ^ key ^ c1;
    c1 = static_cast<uint32_t>(product);
    c0 = next;
    key += 0x9E3779B9;
  }
  return {c0, c1};
}

uint32_t program_word(uint32_t c0, uint32_t c1, uint32_t key) {
  Number in[] = {{0, c0}, {0, c1}, {0, key}};
  return static_cast<uint32_t>(run(get_op("Philox").scalar.program(), in).integer);
}

TEST(Random, KnownAnswers) {
  // The published vectors of the generator's authors.
  EXPECT_EQ(philox(0, 0, 0), std::make_pair(0xff1dae59u, 0x6cd10df2u));
  EXPECT_EQ(philox(~0u, ~0u, ~0u), std::make_pair(0x2c3f628bu, 0xab4fd7adu));
  EXPECT_EQ(philox(0x243f6a88, 0x85a308d3, 0x13198a2e), std::make_pair(0xdd7ce038u, 0xf62a4c12u));
  EXPECT_EQ(program_word(0, 0, 0), 0xff1dae59u);
  EXPECT_EQ(program_word(~0u, ~0u, ~0u), 0x2c3f628bu);
  EXPECT_EQ(program_word(0x243f6a88, 0x85a308d3, 0x13198a2e), 0xdd7ce038u);
  for (uint32_t i = 0; i < 1000; i++)
    ASSERT_EQ(program_word(i, i * 77777, i ^ 5), philox(i, i * 77777, i ^ 5).first);
}

Tensor draw(uint32_t seed, uint32_t step, int64_t stream, const Dims& dims,
            EvalMode mode = EvalMode::rounded) {
  Graph g;
  Value key = g.input("key", {DType::u32, {2}});
  g.outputs = {{"y", random_uniform(key, dims, stream)}};
  Tensor k({DType::u32, {2}});
  k.set_int(0, seed);
  k.set_int(1, step);
  return evaluate(g, {{"key", k}}, mode).outputs.at("y");
}

TEST(Random, IsAFunctionOfSeedStepStreamAndIndex) {
  Tensor a = draw(7, 3, 0, {4, 50});
  EXPECT_EQ(a, draw(7, 3, 0, {4, 50}));
  EXPECT_EQ(a.reshaped({200}), draw(7, 3, 0, {200}));
  for (int64_t i = 0; i < 200; i++)
    ASSERT_EQ(a.get(i), (philox(static_cast<uint32_t>(i), 3, 7).first >> 8) * 0x1p-24) << i;
  EXPECT_EQ(draw(7, 3, 0, {4, 50}, EvalMode::exact).get(11), a.get(11));
  EXPECT_EQ(draw(7, 3, 0, {}).dims(), Dims{});
  for (const Tensor& other : {draw(8, 3, 0, {200}), draw(7, 4, 0, {200}), draw(7, 3, 1, {200})}) {
    int64_t equal = 0;
    for (int64_t i = 0; i < 200; i++) equal += other.get(i) == a.get(i);
    EXPECT_LE(equal, 1);
  }
}

TEST(Random, IsUniform) {
  constexpr int64_t kCount = 200000;
  Tensor a = draw(1, 0, 0, {kCount}), b = draw(1, 0, 1, {kCount});
  double sum = 0, squares = 0, product = 0;
  std::vector<int> bins(16);
  for (int64_t i = 0; i < kCount; i++) {
    double v = a.get(i);
    ASSERT_TRUE(v >= 0 && v < 1);
    sum += v;
    squares += v * v;
    product += (v - 0.5) * (b.get(i) - 0.5);
    bins[static_cast<size_t>(v * 16)]++;
  }
  double mean = sum / kCount, variance = squares / kCount - mean * mean;
  EXPECT_NEAR(mean, 0.5, 4 * std::sqrt(1.0 / 12 / kCount));
  EXPECT_NEAR(variance, 1.0 / 12, 4 * std::sqrt(1.0 / 180 / kCount));
  EXPECT_NEAR(product / kCount, 0, 4.0 / 12 / std::sqrt(kCount));  // streams do not correlate
  double chi = 0;
  for (int n : bins) chi += (n - kCount / 16.0) * (n - kCount / 16.0) / (kCount / 16.0);
  EXPECT_LT(chi, 37.7);  // 15 degrees of freedom, p = 0.001
}

TEST(Random, WantsASeedAndAStep) {
  Graph g;
  Value key = g.input("key", {DType::u32, {3}});
  EXPECT_THROW(random_uniform(key, {2}, 0), Error);
}

}  // namespace
}  // namespace mezzo::ir
