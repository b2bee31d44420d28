// random.h: random numbers that are a function of what they are for, the same on every machine.
#pragma once
#include <cstdint>

namespace mezzo::runtime {

// splitmix64 (Steele, Lea, Flood 2014): a bijection with good mixing, small enough to be the same everywhere.
inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// `random` spread over [0, limit) by the high half of a 128-bit product.
inline uint64_t below(uint64_t random, uint64_t limit) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(random) * limit) >> 64);
}

// The random numbers of one sample in one epoch.
class SampleRandom {
 public:
  SampleRandom(uint64_t seed, int64_t epoch, int64_t sample)
      : key_(mix(mix(seed ^ mix(static_cast<uint64_t>(epoch))) ^ mix(~static_cast<uint64_t>(sample)))) {}
  uint64_t next() { return mix(key_ + ++drawn_); }
  int64_t below(int64_t limit) {
    return static_cast<int64_t>(runtime::below(next(), static_cast<uint64_t>(limit)));
  }
  // In [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
  }

 private:
  uint64_t key_, drawn_ = 0;
};

}  // namespace mezzo::runtime
