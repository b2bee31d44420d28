// Element types, shapes, and the conversions of the 16-bit floats: named vectors, every f16, a stride of all
// f32.
#include "ir/type.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace mezzo::ir {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

double f16(double v) {
  double direct = f16_to_f32(f64_to_f16(v));
  if (static_cast<double>(static_cast<float>(v)) == v) {
    EXPECT_EQ(direct, f16_to_f32(f32_to_f16(static_cast<float>(v)))) << v;
  }
  EXPECT_EQ(direct, round_to(v, DType::f16)) << v;
  return direct;
}
double bf16(double v) {
  double direct = bf16_to_f32(f64_to_bf16(v));
  if (static_cast<double>(static_cast<float>(v)) == v) {
    EXPECT_EQ(direct, bf16_to_f32(f32_to_bf16(static_cast<float>(v)))) << v;
  }
  EXPECT_EQ(direct, round_to(v, DType::bf16)) << v;
  return direct;
}

TEST(Half, RoundsTheNamedVectors) {
  EXPECT_EQ(f16(65504), 65504);
  EXPECT_EQ(f16(65519.9), 65504);
  EXPECT_EQ(f16(65520), kInf);
  EXPECT_EQ(f16(-65504 - 16), -kInf);
  EXPECT_EQ(f16(-65504 - 15.9), -65504);
  EXPECT_EQ(f16(-1e9), -kInf);
  EXPECT_EQ(f16(0x1p-14), 0x1p-14);         // least normal
  EXPECT_EQ(f16(0x1p-24), 0x1p-24);         // least subnormal
  EXPECT_EQ(f16(0x1p-25), 0);               // a tie, to even
  EXPECT_EQ(f16(0x1.000002p-25), 0x1p-24);  // just above it
  EXPECT_EQ(f16(0x1.8p-24), 0x1p-23);       // a tie between 1 and 2 units, to even
  EXPECT_EQ(f16(1e-8), 0);
  EXPECT_EQ(f16(1e-12), 0);
  EXPECT_EQ(f16(1e-7), 0x1p-23);  // 1.19e-7
  EXPECT_NEAR(f16(1e-5), 1.0014e-5, 1e-9);
  EXPECT_EQ(f16(2049), 2048);
  EXPECT_EQ(f16(2051), 2052);
  EXPECT_EQ(f16(4097), 4096);
  EXPECT_EQ(f16(1 + 0x1p-11), 1);
  EXPECT_EQ(f16(1 + 0x1.8p-10), 1 + 0x1p-9);
  EXPECT_TRUE(std::isnan(f16_to_f32(f64_to_f16(std::nan("")))));
  EXPECT_TRUE(std::signbit(f16(-0.0)));
  EXPECT_TRUE(std::signbit(f16(-1e-12)));
}

TEST(BrainFloat, RoundsTheNamedVectors) {
  EXPECT_EQ(bf16(65504), 65536);
  EXPECT_EQ(bf16(2049), 2048);
  EXPECT_EQ(bf16(256 + 1), 256);  // where a sum of ones stalls
  EXPECT_EQ(f16(2048 + 1), 2048);
  EXPECT_EQ(bf16(3.3895313892515355e38), 3.3895313892515355e38);  // the largest
  EXPECT_EQ(bf16(3.4e38), kInf);
  EXPECT_EQ(bf16(0x1p-133), 0x1p-133);  // the least subnormal
  EXPECT_EQ(bf16(0x1p-134), 0);
  EXPECT_EQ(bf16(1 + 0x1p-8), 1);
  EXPECT_EQ(bf16(1 + 0x1.8p-7), 1 + 0x1p-6);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f64_to_bf16(std::nan("")))));
  EXPECT_TRUE(
      std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001)))));  // payload in the lost bits
}

TEST(Half, DoubleRoundingIsAvoided) {
  // Rounding this to f32 first gives the tie 1 + 2^-11, which would then go to even.
  EXPECT_EQ(f16(1 + 0x1p-11 + 0x1p-40), 1 + 0x1p-10);
  EXPECT_EQ(bf16(1 + 0x1p-8 + 0x1p-40), 1 + 0x1p-7);
}

TEST(Half, EveryPatternComesBack) {
  for (uint32_t h = 0; h < 65536; h++) {
    auto bits = static_cast<uint16_t>(h);
    float wide = f16_to_f32(bits), brain = bf16_to_f32(bits);
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(wide)))) << h;
    } else {
      ASSERT_EQ(f32_to_f16(wide), bits) << h;
      ASSERT_EQ(f64_to_f16(wide), bits) << h;
    }
    if (std::isnan(brain)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(brain)))) << h;
    } else {
      ASSERT_EQ(f32_to_bf16(brain), bits) << h;
      ASSERT_EQ(f64_to_bf16(brain), bits) << h;
    }
  }
}

TEST(Half, BothWaysToRoundAgree) {
  for (uint64_t u = 0; u < (uint64_t{1} << 32); u += 1021) {
    float v = std::bit_cast<float>(static_cast<uint32_t>(u));
    if (std::isnan(v)) {
      ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(v))) && std::isnan(bf16_to_f32(f32_to_bf16(v)))) << u;
      continue;
    }
    ASSERT_EQ(f32_to_f16(v), f64_to_f16(v)) << u;
    ASSERT_EQ(f32_to_bf16(v), f64_to_bf16(v)) << u;
  }
}

TEST(DTypes, NamesComeBack) {
  for (int i = 0; i < kDTypeCount; i++) {
    auto t = static_cast<DType>(i);
    EXPECT_EQ(parse_dtype(name(t)), t);
    EXPECT_EQ(is_float(t) + is_integer(t) + (t == DType::boolean), 1) << name(t);
  }
  EXPECT_EQ(parse_dtype("float"), std::nullopt);
  EXPECT_EQ(compute_type(DType::bf16), DType::f32);
  EXPECT_EQ(compute_type(DType::f64), DType::f64);
}

TEST(Shapes, Broadcast) {
  EXPECT_EQ(broadcast({3, 1}, {4}), (Dims{3, 4}));
  EXPECT_EQ(broadcast({}, {2, 2}), (Dims{2, 2}));
  EXPECT_EQ(broadcast({1}, {0}), (Dims{0}));
  EXPECT_THROW(broadcast({3}, {4}), Error);
  EXPECT_THROW(broadcast({0}, {4}), Error);
}

TEST(Shapes, CountsAndAxesAreChecked) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 0, int64_t{1} << 30}), 0);
  EXPECT_THROW(element_count({-1}), Error);
  EXPECT_THROW(element_count({int64_t{1} << 30, int64_t{1} << 30}), Error);
  EXPECT_THROW(element_count({int64_t{1} << 62, 4}), Error);
  EXPECT_EQ(strides_of({2, 3, 4}), (Dims{12, 4, 1}));
  EXPECT_EQ(normalize_axis(-1, 3), 2);
  EXPECT_THROW(normalize_axis(3, 3), Error);
  EXPECT_THROW(normalize_axis(-4, 3), Error);
}

}  // namespace
}  // namespace mezzo::ir
