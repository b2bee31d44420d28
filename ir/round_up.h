// round_up.h: the least multiple.
#pragma once
#include <cstdint>

namespace mezzo::ir {

// The least multiple of `to` that is not below `n`; n >= 0, to > 0.
constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace mezzo::ir
