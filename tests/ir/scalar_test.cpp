// The programs of composed functions against double, over a stride of all floats; machine operations at their
// edges.
#include "ir/scalar.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "ir/lanes.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Distance of `got` from the exact value in units of the last place of a float there.
double ulp_error(float got, double exact) {
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) == std::isnan(got) ? 0 : 1e30;
  float rounded = static_cast<float>(exact);
  if (std::isinf(rounded) || std::isinf(got)) {
    bool overflow_edge = std::fabs(exact) > 3.4028230e38 && std::fabs(got) > 3.4028230e38f;
    return got == rounded || (overflow_edge && std::signbit(got) == std::signbit(rounded)) ? 0 : 1e30;
  }
  double unit = std::ldexp(1.0, std::max(exact == 0 ? -149 : std::ilogb(exact) - 23, -149));
  return std::fabs(got - exact) / unit;
}

struct Sweep {
  const char* op;
  double low, high;  // beyond: not tested; infinities mean all floats
  double bound;      // in ulp
};

class Functions : public testing::TestWithParam<Sweep> {};

TEST_P(Functions, MatchDouble) {
  const Sweep& sweep = GetParam();
  const Scalar& scalar = get_op(sweep.op).scalar;
  const Program& program = scalar.program();
  std::vector<Lanes> scratch;
  Lanes in;
  const Lanes* parameters[] = {&in};
  double worst = 0, worst_at = 0;
  int count = 0;
  auto flush = [&] {
    const Lanes& out = run(program, count, parameters, scratch);
    for (int i = 0; i < count; i++) {
      double error = ulp_error(static_cast<float>(out.real[i]), scalar.real(&in.real[i]));
      if (error > worst) {
        worst = error;
        worst_at = in.real[i];
      }
    }
    count = 0;
  };
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 3571) {
    double x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (x == x && (x < sweep.low || x > sweep.high)) continue;
    in.real[count++] = x;
    if (count == kLanes) flush();
  }
  flush();
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LE(worst, sweep.bound) << sweep.op << " at " << worst_at;
}

INSTANTIATE_TEST_SUITE_P(All, Functions,
                         testing::Values(Sweep{"Exp", -kInf, kInf, 2}, Sweep{"Expm1", -kInf, kInf, 2},
                                         Sweep{"Log", -kInf, kInf, 2}, Sweep{"Log1p", -kInf, kInf, 2},
                                         Sweep{"Tanh", -kInf, kInf, 2}, Sweep{"Sigmoid", -kInf, kInf, 3},
                                         Sweep{"Erf", -kInf, kInf, 2}, Sweep{"Sin", -1e5, 1e5, 2},
                                         Sweep{"Cos", -1e5, 1e5, 2}, Sweep{"Tan", -1e5, 1e5, 4},
                                         Sweep{"Asin", -kInf, kInf, 3}, Sweep{"Acos", -kInf, kInf, 3},
                                         Sweep{"Atan", -kInf, kInf, 3}, Sweep{"Sinh", -kInf, kInf, 3},
                                         Sweep{"Cosh", -kInf, kInf, 3}, Sweep{"Asinh", -kInf, kInf, 4},
                                         Sweep{"Acosh", -kInf, kInf, 4}, Sweep{"Atanh", -kInf, kInf, 4}),
                         [](auto& row) { return std::string(row.param.op); });

float f32(Code code, float a, float b = 0, float c = 0) {
  return static_cast<float>(evaluate(code, DType::f32, DType::f32, {a, 0}, {b, 0}, {c, 0}).real);
}
int64_t integer(Code code, DType type, int64_t a, int64_t b = 0) {
  return evaluate(code, type, type, {0, a}, {0, b}).integer;
}
int64_t to_integer(DType type, double v) { return evaluate(Code::cast, type, DType::f32, {v, 0}).integer; }

TEST(Machine, FloatsRoundOnceInTheirType) {
  EXPECT_EQ(f32(Code::add, 16777216, 1), 16777216);  // a tie, to even
  EXPECT_EQ(evaluate(Code::add, DType::f64, DType::f64, {16777216, 0}, {1, 0}).real, 16777217);
  EXPECT_EQ(f32(Code::div, 1, 3), 1.0f / 3);
  EXPECT_EQ(f32(Code::div, -1, 0.0f), -kInf);
  EXPECT_EQ(f32(Code::fma, 1 + 0x1p-12f, 1 + 0x1p-12f, -1 - 0x1p-11f), 0x1p-24f);  // mul and add would give 0
  EXPECT_EQ(f32(Code::mul, 0x1p-100f, 0x1p-49f), 0x1p-149f);                       // subnormals are kept
  EXPECT_EQ(f32(Code::round, 2.5f), 2);
  EXPECT_EQ(f32(Code::round, -3.5f), -4);
  EXPECT_EQ(f32(Code::trunc, -1.9f), -1);
  EXPECT_EQ(f32(Code::fmod, -7, 3), -1);
  EXPECT_EQ(f32(Code::mod, -7, 3), 2);
  EXPECT_EQ(f32(Code::mod, 7, -3), -2);
}

TEST(Machine, MinimumAndMaximumOfZerosAndNan) {
  EXPECT_TRUE(std::isnan(f32(Code::min, kNan, 1)) && std::isnan(f32(Code::min, 1, kNan)));
  EXPECT_TRUE(std::isnan(f32(Code::max, kNan, 1)) && std::isnan(f32(Code::max, 1, kNan)));
  EXPECT_TRUE(std::signbit(f32(Code::max, 0.0f, -0.0f)));  // of equal operands the second
  EXPECT_FALSE(std::signbit(f32(Code::min, -0.0f, 0.0f)));
}

TEST(Machine, IntegersWrap) {
  EXPECT_EQ(integer(Code::add, DType::i8, 127, 1), -128);
  EXPECT_EQ(integer(Code::mul, DType::u16, 65535, 65535), 1);
  EXPECT_EQ(integer(Code::neg, DType::i64, INT64_MIN), INT64_MIN);
  EXPECT_EQ(integer(Code::abs, DType::i32, INT32_MIN), INT32_MIN);
  EXPECT_EQ(integer(Code::div, DType::i64, INT64_MIN, -1), INT64_MIN);
  EXPECT_EQ(integer(Code::mod, DType::i32, -7, 3), 2);
  EXPECT_EQ(integer(Code::fmod, DType::i32, -7, 3), -1);
  EXPECT_EQ(integer(Code::mod, DType::i32, 5, 0), 0);
  EXPECT_EQ(integer(Code::div, DType::u64, -1, 2), INT64_MAX);  // unsigned
  EXPECT_EQ(evaluate(Code::less, DType::boolean, DType::u64, {0, 1}, {0, -1}).integer, 1);
  EXPECT_EQ(integer(Code::shift_right, DType::i32, -1, 28), 15);  // logical
  EXPECT_EQ(integer(Code::shift_left, DType::i32, 1, 32), 0);
  EXPECT_EQ(integer(Code::shift_left, DType::i32, 1, -1), 0);
  EXPECT_EQ(integer(Code::bit_not, DType::u8, 0), 255);
  EXPECT_EQ(integer(Code::mul_high, DType::u32, 0xffffffff, 0xffffffff), 0xfffffffe);
}

TEST(Machine, CastsSaturateAndRoundOnce) {
  EXPECT_EQ(to_integer(DType::i32, 3e9), INT32_MAX);
  EXPECT_EQ(to_integer(DType::i64, kInf), INT64_MAX);
  EXPECT_EQ(to_integer(DType::u64, kInf), -1);
  EXPECT_EQ(to_integer(DType::u64, -5), 0);
  EXPECT_EQ(to_integer(DType::i16, -1e9), -32768);
  EXPECT_EQ(to_integer(DType::i16, kNan), 0);
  EXPECT_EQ(to_integer(DType::boolean, kNan), 1);
  EXPECT_EQ(to_integer(DType::boolean, 0.25), 1);
  EXPECT_EQ(evaluate(Code::cast, DType::f32, DType::i64, {0, 16777217}).real, 16777216);
  EXPECT_EQ(evaluate(Code::cast, DType::f32, DType::u64, {0, -1}).real, 0x1p64);
  EXPECT_EQ(evaluate(Code::cast, DType::f16, DType::f64, {1 + 0x1p-11 + 0x1p-40, 0}).real, 1 + 0x1p-10);
  EXPECT_EQ(evaluate(Code::bitcast, DType::i32, DType::f32, {-1, 0}).integer, int32_t(0xbf800000));
  EXPECT_EQ(evaluate(Code::bitcast, DType::f32, DType::u32, {0, 0x3f800000}).real, 1);
}

TEST(Machine, EveryCodeHasANameAndArity) {
  for (int c = 0; c < static_cast<int>(Code::program); c++) {
    EXPECT_FALSE(name(static_cast<Code>(c)).empty());
    EXPECT_GE(arity(static_cast<Code>(c)), 1);
  }
  EXPECT_EQ(name(Code::bitcast), "bitcast");
  EXPECT_EQ(arity(Code::select), 3);
}

float function(const char* op, float x) { return run(get_op(op).scalar.program(), &x); }

TEST(Programs, SpecialValues) {
  EXPECT_EQ(function("Exp", -kInf), 0);
  EXPECT_EQ(function("Exp", 0), 1);
  EXPECT_GT(function("Exp", -100), 0);  // subnormal
  EXPECT_EQ(function("Log", 1), 0);
  EXPECT_EQ(function("Log", 0), -kInf);
  EXPECT_TRUE(std::isnan(function("Log", -1)));
  EXPECT_EQ(function("Log1p", -1), -kInf);
  EXPECT_EQ(function("Log1p", 1e-30f), 1e-30f);
  EXPECT_EQ(function("Tanh", kInf), 1);
  EXPECT_EQ(function("Tanh", 1e-30f), 1e-30f);
  EXPECT_EQ(function("Sigmoid", 0), 0.5f);
  EXPECT_EQ(function("Sigmoid", -kInf), 0);
  EXPECT_EQ(function("Erf", kInf), 1);
  EXPECT_TRUE(std::isnan(function("Sin", kInf)));
  EXPECT_TRUE(std::signbit(function("Tanh", -0.0f)));
  EXPECT_LE(std::fabs(function("Sin", 3e38f)), 1);  // no accuracy there, but still a sine
  for (const char* op : {"Exp", "Expm1", "Log", "Log1p", "Tanh", "Sigmoid", "Erf", "Sin", "Cos", "Tan",
                         "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"})
    EXPECT_TRUE(std::isnan(function(op, kNan))) << op;
}

TEST(Programs, OperandsComeBeforeTheirUse) {
  for (const OpDef* op : all_ops()) {
    if (op->meaning != Meaning::scalar || op->scalar.code != Code::program) continue;
    const Program& p = op->scalar.program();
    EXPECT_EQ(p.parameters, op->min_inputs) << op->name;
    for (size_t k = 0; k < p.body.size(); k++) {
      const Instruction& it = p.body[k];
      EXPECT_EQ((it.a >= 0) + (it.b >= 0) + (it.c >= 0), it.a < 0 ? 0 : arity(it.code))
          << op->name << " " << k;
      for (int operand : {it.a, it.b, it.c})
        EXPECT_LT(operand, p.parameters + static_cast<int>(k)) << op->name;
    }
  }
}

TEST(Programs, PowerMatchesDouble) {
  const Program& program = get_op("Power").scalar.program();
  double worst = 0, worst_x = 0, worst_y = 0;
  uint32_t state = 1;
  auto random = [&] { return state = state * 1664525u + 1013904223u; };
  for (int i = 0; i < 300000; i++) {
    // Bases over all magnitudes and around 1, exponents that keep most results finite.
    float x = i % 2 ? std::bit_cast<float>(random() & 0x7fffffff)
                    : std::exp2(static_cast<float>(random() >> 8) * 0x1p-21f - 4);
    float y = (static_cast<float>(random() >> 8) * 0x1p-23f - 1) * (i % 4 < 2 ? 3.0f : 40.0f);
    if (std::isnan(x)) continue;
    float in[] = {x, y};
    double error = ulp_error(run(program, in), std::pow(static_cast<double>(x), static_cast<double>(y)));
    if (error > worst) {
      worst = error;
      worst_x = x;
      worst_y = y;
    }
  }
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LE(worst, 3) << worst_x << " ^ " << worst_y;
}

TEST(Programs, PowerHasTheSpecialCasesOfTheLibrary) {
  const Program& program = get_op("Power").scalar.program();
  const float values[] = {0.0f,  -0.0f, 1,     -1,     2,           -2,   3,     -3,  0.5f,
                          -0.5f, 2.5f,  1e30f, -1e30f, 16777217.0f, kInf, -kInf, kNan};
  for (float x : values)
    for (float y : values) {
      float in[] = {x, y}, got = run(program, in), wanted = std::pow(x, y);
      EXPECT_LE(ulp_error(got, wanted), 1) << x << " ^ " << y << " = " << wanted << ", not " << got;
      if (!std::isnan(wanted)) {
        EXPECT_EQ(std::signbit(got), std::signbit(wanted)) << x << " ^ " << y;
      }
    }
}

}  // namespace
}  // namespace mezzo::ir
