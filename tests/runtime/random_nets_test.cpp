// Random networks, of images and of sequences: loss and gradients as compiled for the device against the
// evaluator, which runs the same precision plan node by node. MEZZO_RANDOM_NETS: how many of each kind.
#include <gtest/gtest.h>

#include "model_gradients.h"
#include "random_net.h"
#include "test_device.h"

namespace mezzo::runtime {
namespace {

using ir::Tensor;

// The distance of all gradients together, relative to their norm. One by one, those that cancel would be all
// rounding.
double distance(const Arrays& a, const Arrays& b) {
  double apart = 0, all = 0;
  for (const auto& [name, want] : b) {
    const Tensor& got = a.at(name);
    EXPECT_EQ(got.dims(), want.dims()) << name;
    for (int64_t i = 0; i < want.count(); i++) {
      apart += std::pow(got.get(i) - want.get(i), 2);
      all += std::pow(want.get(i), 2);
    }
  }
  return std::sqrt(apart / std::max(all, 1e-30));
}

class RandomNets : public testing::TestWithParam<Precision> {
 protected:
  void check(RandomNet& net, uint64_t seed) {
    SCOPED_TRACE(concat("seed ", seed, ":", net.text()));
    const Arrays feeds = net.feeds();
    const GradientOutcome want = gradients(net.model(), feeds, GetParam(), Device::reference),
                          got = gradients(net.model(), feeds, GetParam(), test_device());
    const double tolerance = GetParam() == Precision::fp32   ? 1e-4
                             : GetParam() == Precision::fp16 ? 1e-2
                                                             : 6e-2;
    EXPECT_NEAR(got.loss, want.loss, tolerance);
    EXPECT_LE(distance(got.gradients, want.gradients), tolerance);
  }
};
INSTANTIATE_TEST_SUITE_P(Precisions, RandomNets,
                         testing::Values(Precision::fp32, Precision::bf16, Precision::fp16), [](auto& test) {
                           return test.param == Precision::fp32   ? "fp32"
                                  : test.param == Precision::bf16 ? "bf16"
                                                                  : "fp16";
                         });

uint64_t nets() {
  if (const char* wanted = std::getenv("MEZZO_RANDOM_NETS")) return std::strtoull(wanted, nullptr, 10);
  return test_device() == Device::cuda ? 3 : 16;  // under the simulator a net takes seconds
}

TEST_P(RandomNets, OfImages) {
  for (uint64_t seed = 1; seed <= nets(); seed++) {
    RandomNet net(seed);
    net.images();
    check(net, seed);
  }
}

TEST_P(RandomNets, OfSequences) {
  for (uint64_t seed = 1; seed <= nets(); seed++) {
    RandomNet net(seed);
    net.sequences();
    check(net, seed);
  }
}

}  // namespace
}  // namespace mezzo::runtime
