// The simulator itself: right kernels run, broken ones are caught, bytes are counted.
#include <gmock/gmock.h>

#include <cstring>

#include "tests/cuda_sim/sim.h"

namespace mezzo::cuda_sim {
namespace {

using testing::HasSubstr;

// One text for all tests, compiled once.
constexpr const char* kKernels = R"(
KERNEL(64) neighbours(const f32* a0, f32* a1) {
  SHARED(f32, tile, 64);
  const i32 t = thread_number();
  tile[t] = fetch(a0 + t);
  block_barrier();
  store(a1 + t, tile[(t + 1) % 64]);
}
KERNEL(64) folds(const f32* a0, f32* a1, f32* a2) {
  SHARED(f32, room, 64);
  const i32 t = thread_number();
  f32 x = fetch(a0 + t);
  store(a1 + t, fold_block<Sum, 64>(x, room));
  x = fold_lanes<Greatest, 8>(x);
  fold_rows<Sum, 32, 2, 1>(&x, room);
  store(a2 + t, x);
}
KERNEL(64) no_barrier(const f32* a0, f32* a1) {
  SHARED(f32, tile, 64);
  const i32 t = thread_number();
  tile[t] = fetch(a0 + t);
  store(a1 + t, tile[(t + 1) % 64]);
}
KERNEL(64) race(const f32* a0, f32* a1) { store(a1 + thread_number() % 8, fetch(a0 + thread_number())); }
KERNEL(32) across_blocks(const f32* a0, f32* a1) { if (block_number() == 0 || load(a1 + thread_number()) > 0) store(a1 + thread_number(), 1.0f + (f32)block_number()); }
KERNEL(32) wrong_mask(const f32* a0, f32* a1) {
  f32 v = 1;
  if (thread_number() < 16) v = shuffle_xor(0xffffffffu, v, 1);
  store(a1 + thread_number(), v);
}
KERNEL(64) two_barriers(const f32* a0, f32* a1) {
  if (thread_number() < 32)
    block_barrier();
  else
    block_barrier();
  store(a1 + thread_number(), 1.0f);
}
KERNEL(64) missed_barrier(const f32* a0, f32* a1) {
  if (thread_number() < 48) block_barrier();
  store(a1 + thread_number(), 1.0f);
}
KERNEL(8) misaligned(const f32* a0, f32* a1) { store16(a1 + 4 * thread_number(), fetch16(a0 + 4 * thread_number() + 1)); }
KERNEL(64) out_of_bounds(const f32* a0, f32* a1) { store(a1 + thread_number() + 1, 1.0f); }
KERNEL(64) reads_behind(const f32* a0, f32* a1) { store(a1 + thread_number(), fetch(a0 + thread_number() + 1)); }
KERNEL(32) shared_overrun(const f32* a0, f32* a1) {
  SHARED(f32, tile, 31);
  tile[thread_number()] = 1;
  store(a1 + thread_number(), tile[0]);
}
// Two matrices by late copies, and two that are not there: words 0 and `step` of every lane.
template <class LOAD>
DEVICE void matrices(const f32* a0, f32* a1, i32 step, LOAD load) {
  SHARED(Bytes16, tile, 32);
  LateCopies copies;
  const i32 t = thread_number();
  copies.start(tile + t, a0 + t % 16 * 4, t < 16);
  copies.wait();
  warp_barrier(0xffffffffu);
  u32 words[4];
  load(words, tile + t);
  UNROLL for (i32 m = 0; m < 2; m++) store(a1 + t + m * 32, float_of(words[m * step]));
}
KERNEL_BESIDE(32, 2) turned(const f32* a0, f32* a1) {
  matrices(a0, a1, 2, [](u32* words, const void* row) { load_matrices_turned(words, row); });
}
KERNEL(32) straight(const f32* a0, f32* a1) {
  matrices(a0, a1, 1, [](u32* words, const void* row) { load_matrices(words, row); });
}
KERNEL(16) too_early(const f32* a0, f32* a1) {
  SHARED(Bytes16, tile, 16);
  LateCopies copies;
  const i32 t = thread_number();
  copies.start(tile + t, a0 + 4 * t, true);
  store16(a1 + 4 * t, tile[t]);
  copies.wait();
}
KERNEL(64) unwritten(const f32* a0, f32* a1) {
  if (thread_number() != 5) store(a1 + thread_number(), 1.0f);
}
)";

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    module_ = Module::load({kKernels});
    a0_ = gpu_.allocate(64 * 4, "a0");
    a1_ = gpu_.allocate(64 * 4, "a1");
    for (int i = 0; i < 64; i++) set(i, static_cast<float>(i * i % 37));
  }
  void set(int i, float v) { std::memcpy(a0_ + 4 * i, &v, 4); }
  static float get(const std::byte* memory, int i) {
    float v = 0;
    std::memcpy(&v, memory + 4 * i, 4);
    return v;
  }
  void launch(const char* name, unsigned threads, Order order = Order::ascending, unsigned blocks = 1) {
    gpu_.launch(*module_, name, {blocks}, {threads}, 0, {a0_, a1_}, order);
  }
  // Whether the orders give different results.
  bool disagrees(const char* name, unsigned threads, unsigned blocks = 1) {
    std::string first;
    for (Order order : {Order::ascending, Order::descending, Order::shuffled}) {
      gpu_.poison(a1_);
      launch(name, threads, order, blocks);
      std::string now(reinterpret_cast<const char*>(a1_), 64 * 4);
      if (order == Order::ascending)
        first = now;
      else if (now != first)
        return true;
    }
    return false;
  }
  std::string fault(const char* name, unsigned threads) {
    try {
      launch(name, threads);
    } catch (const Fault& e) {
      return e.what();
    }
    return "no fault";
  }

  std::shared_ptr<const Module> module_;
  Simulator gpu_;
  std::byte *a0_ = nullptr, *a1_ = nullptr;
};

TEST_F(Gpu, RunsBarriersAndShuffles) {
  EXPECT_FALSE(disagrees("neighbours", 64));
  for (int i = 0; i < 64; i++) EXPECT_EQ(get(a1_, i), get(a0_, (i + 1) % 64));
  EXPECT_EQ(gpu_.traffic(a0_).read, 3u * 64 * 4);
  EXPECT_EQ(gpu_.traffic(a1_).written, 3u * 64 * 4);
}

TEST_F(Gpu, FoldsGiveEveryThreadTheResult) {
  std::byte* a2 = gpu_.allocate(64 * 4, "a2");
  gpu_.launch(*module_, "folds", {1}, {64}, 0, {a0_, a1_, a2}, Order::shuffled);
  float sum = 0, most[8] = {};
  for (int i = 0; i < 64; i++) {
    sum += get(a0_, i);
    most[i / 8] = std::max(most[i / 8], get(a0_, i));
  }
  for (int i = 0; i < 64; i++) {
    EXPECT_EQ(get(a1_, i), sum);
    EXPECT_EQ(get(a2, i), most[i % 32 / 8] + most[i % 32 / 8 + 4]);
  }
}

TEST_F(Gpu, CatchesRaces) {
  EXPECT_TRUE(disagrees("no_barrier", 64));
  EXPECT_TRUE(disagrees("race", 64));
  EXPECT_TRUE(disagrees("across_blocks", 32, 4));
}

TEST_F(Gpu, CatchesThreadsThatDoNotMeet) {
  EXPECT_THAT(fault("wrong_mask", 32), HasSubstr("never arrives"));
  EXPECT_THAT(fault("two_barriers", 64), HasSubstr("different barriers"));
  EXPECT_THAT(fault("missed_barrier", 64), HasSubstr("without reaching a barrier"));
}

TEST_F(Gpu, CatchesBadAddresses) {
  EXPECT_THAT(fault("misaligned", 8), HasSubstr("misaligned"));
  EXPECT_THAT(fault("out_of_bounds", 64), HasSubstr("write outside every buffer"));
  EXPECT_THAT(fault("reads_behind", 64), HasSubstr("read outside every buffer"));
  EXPECT_THAT(fault("shared_overrun", 32), HasSubstr("shared array"));
}

TEST_F(Gpu, WhatNobodyWroteIsNotANumber) {
  gpu_.poison(a1_);
  launch("unwritten", 64);
  EXPECT_EQ(get(a1_, 4), 1.0f);
  EXPECT_NE(get(a1_, 5), get(a1_, 5));
}

// A matrix of 8 by 8 16-bit elements is 32 words, row by row: lane l holds word l of it, or turned two
// elements below each other. Rows that are not there are zeros.
TEST_F(Gpu, CopiesAndMatrices) {
  EXPECT_FALSE(disagrees("straight", 32));
  for (int i = 0; i < 64; i++) EXPECT_EQ(get(a1_, i), get(a0_, i));
  EXPECT_FALSE(disagrees("turned", 32));
  for (int i = 0; i < 32; i++) {
    const int column = i / 4, row = i % 4 * 2;
    uint16_t got[2], want[2];
    std::memcpy(got, a1_ + 4 * i, 4);
    for (int half = 0; half < 2; half++) std::memcpy(want + half, a0_ + (row + half) * 16 + column * 2, 2);
    EXPECT_EQ(got[0], want[0]);
    EXPECT_EQ(got[1], want[1]);
    EXPECT_EQ(get(a1_, 32 + i), 0);
  }
  launch("too_early", 16);
  EXPECT_NE(get(a1_, 5), get(a1_, 5));
}

TEST_F(Gpu, WrongLaunchesAndTexts) {
  EXPECT_THROW(gpu_.launch(*module_, "race", {1}, {64}, 0, {a0_}), Fault);
  EXPECT_THROW(launch("nothing", 64), Fault);
  EXPECT_THROW(Module::load({"KERNEL(32) broken(const f32* a0) { this is not C++ }"}), Fault);
}

}  // namespace
}  // namespace mezzo::cuda_sim
