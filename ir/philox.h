// philox.h: the random bits of one element, for kernels that draw while they compute. ir/ops/random.cpp says what they
// are and has the same as an op.
#pragma once
#include <cmath>
#include <cstdint>

namespace mezzo::ir {

// The state that Dropout and the other random ops of a step read: u32[2], seed and draw.
inline constexpr const char* kRandomKey = "mezzo.key";

constexpr uint32_t kPhiloxMultiplier = 0xD256D193;
constexpr uint32_t kPhiloxKeyStep = 0x9E3779B9;
constexpr int kPhiloxRounds = 10;
// Not kPhiloxKeyStep: the rounds of neighbouring streams would overlap.
constexpr uint32_t kPhiloxStreamStep = 0x85EBCA6B;

// What a stream changes the seed by, with xor.
constexpr uint32_t philox_stream(int64_t stream) { return static_cast<uint32_t>(stream) * kPhiloxStreamStep; }

// 32 bits from counters `left` and `right`.
constexpr uint32_t philox(uint32_t left, uint32_t right, uint32_t key) {
  for (int round = 0; round < kPhiloxRounds; round++) {
    const uint64_t product = uint64_t{left} * kPhiloxMultiplier;
    left = static_cast<uint32_t>(product >> 32) ^ key ^ right;
    right = static_cast<uint32_t>(product);
    key += kPhiloxKeyStep;
  }
  return left;
}

// Dropout keeps an element whose bits, shifted right by 8, are not below this: uniform numbers are multiples of 2^-24, and
// the ratio is an f32.
inline uint32_t dropout_threshold(double ratio) {
  return static_cast<uint32_t>(std::ceil(static_cast<double>(static_cast<float>(ratio)) * 0x1p24));
}
// What it multiplies those by; ratio 1 keeps nothing, and its factor is never used.
inline double dropout_factor(double ratio) { return ratio < 1 ? 1 / (1 - ratio) : 0; }

}  // namespace mezzo::ir
