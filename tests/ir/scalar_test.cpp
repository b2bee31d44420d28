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

}  // namespace
}  // namespace mezzo::ir
