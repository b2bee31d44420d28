#include "ir/index.h"

#include <gtest/gtest.h>

#include <random>

namespace mezzo::ir {
namespace {

struct Both {  // an expression, and its value at one point without any simplification
  Expr e;
  int64_t value;
};

// Random expressions over coordinates of these extents, built step by step beside their value at `point`.
Both random_expression(std::mt19937& rng, const Dims& extents, const std::vector<int64_t>& point, int depth) {
  auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  if (depth == 0) {
    const int k = pick(static_cast<int>(extents.size()));
    return {Expr::coordinate(k, extents[static_cast<size_t>(k)]), point[static_cast<size_t>(k)]};
  }
  const Both a = random_expression(rng, extents, point, depth - 1);
  switch (pick(5)) {
    case 0: {
      const Both b = random_expression(rng, extents, point, pick(depth));
      return {a.e + b.e, a.value + b.value};
    }
    case 1: {
      const int64_t factor = std::vector<int64_t>{-3, -1, 2, 4, 6, 8, 12}[static_cast<size_t>(pick(7))];
      return {a.e * factor, a.value * factor};
    }
    case 2: {
      const int64_t shift = pick(17) - 8;
      return {a.e + shift, a.value + shift};
    }
    default: {
      const int64_t divisor = std::vector<int64_t>{2, 3, 4, 6, 8, 12, 24}[static_cast<size_t>(pick(7))];
      int64_t down = a.value / divisor - (a.value % divisor < 0);
      if (pick(2)) return {floor_div(a.e, divisor), down};
      return {floor_mod(a.e, divisor), a.value - down * divisor};
    }
  }
}

TEST(Index, SimplifiedExpressionsHaveTheValueOfThePlainOnes) {
  const Dims extents = {2, 3, 4, 8, 24};
  std::mt19937 rng(7);
  int with_quotients = 0;
  for (int trial = 0; trial < 20000; trial++) {
    const unsigned seed = rng();
    std::vector<int64_t> point;
    for (int64_t extent : extents)
      point.push_back(static_cast<int64_t>(rng() % static_cast<unsigned>(extent)));
    std::mt19937 same(seed);
    const Both b = random_expression(same, extents, point, 1 + trial % 7);
    ASSERT_EQ(b.e.evaluate(point), b.value) << b.e.to_string();
    ASSERT_LE(b.e.min(), b.value) << b.e.to_string();
    ASSERT_GE(b.e.max(), b.value) << b.e.to_string();
    for (const Expr::Term& t : b.e.terms()) with_quotients += t.atom.kind != Expr::AtomKind::coordinate;
  }
  EXPECT_GT(with_quotients, 1000);  // the trials are not all trivial
}

TEST(Index, QuotientsLoseWhatLiesBelowACommonFactor) {
  const Expr i = Expr::coordinate(0, 6), j = Expr::coordinate(1, 4);
  EXPECT_EQ(floor_div(i * 4 + j, 12), floor_div(i, 3));
  EXPECT_EQ(floor_mod(i * 4 + j, 12), floor_mod(i, 3) * 4 + j);
  EXPECT_EQ(floor_div(i * 4 + j, 4), i);
  EXPECT_NE(floor_div(i * 3 + j, 12), floor_div(i, 4));  // j reaches above the factor
}

}  // namespace
}  // namespace mezzo::ir
