// The fixtures of models/fixtures (made by PyTorch, see models/export.py): loss and every gradient of a
// batch, and 20 steps of three optimizers, for both exporters.
#include <gmock/gmock.h>

#include <cmath>

#include "runtime/session.h"
#include "tests/paths.h"
#include "tests/runtime/test_device.h"

namespace mezzo::runtime {
namespace {

using ir::Tensor;

std::string fixture(const std::string& name) { return MEZZO_SOURCE_DIR + "/models/fixtures/" + name; }

// Relative L2 distance of `a` from `b`, in f64.
double distance(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dims(), b.dims());
  double error = 0, norm = 0;
  for (int64_t i = 0; i < b.count(); i++) {
    error += std::pow(a.get(i) - b.get(i), 2);
    norm += std::pow(b.get(i), 2);
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

double norm(const Tensor& t) {
  double sum = 0;
  for (int64_t i = 0; i < t.count(); i++) sum += std::pow(t.get(i), 2);
  return std::sqrt(sum);
}

Arrays with_prefix(const Arrays& all, const std::string& prefix) {
  Arrays out;
  for (auto& [name, tensor] : all)
    if (name.starts_with(prefix)) out.emplace(name.substr(prefix.size()), tensor);
  return out;
}

struct Case {
  const char *net, *exporter;
  Device device = test_device();
};
std::string name_of(const testing::TestParamInfo<Case>& info) {
  return concat(info.param.net, "_", info.param.exporter,
                info.param.device == Device::reference ? "_reference" : "");
}

CompileOptions options_for(Device device) {
  CompileOptions options;
  options.device = device;
  options.cache_dir = "none";
  return options;
}

class FixtureGradients : public testing::TestWithParam<Case> {};

TEST_P(FixtureGradients, MatchFloat64) {
  const Case& c = GetParam();
  Arrays want = read_npz(fixture(concat(c.net, ".case.npz")));
  Arrays feeds = with_prefix(want, "feed:");
  feeds.emplace("labels", want.at("labels"));
  auto model = std::make_shared<LoadedModel>(fixture(concat(c.net, ".", c.exporter, ".onnx")));
  GradientOutcome got = Session(model, options_for(c.device)).gradients(feeds);
  EXPECT_NEAR(got.loss, want.at("loss").get(0), 1e-4 * std::abs(want.at("loss").get(0)));
  for (auto& [name, output] : with_prefix(want, "output:"))
    EXPECT_LE(distance(got.outputs.at(name), output), 1e-4);

  Arrays gradients = with_prefix(want, "grad:");
  ASSERT_FALSE(gradients.empty());
  double largest = 0;
  for (auto& [name, g] : gradients) largest = std::max(largest, norm(g));
  for (auto& [name, g] : gradients) {
    ASSERT_TRUE(got.gradients.count(name)) << name;
    const Tensor& mine = got.gradients.at(name);
    if (norm(g) > 1e-9 * largest)
      EXPECT_LE(distance(mine, g), 1e-4) << name;
    else
      EXPECT_LE(norm(mine), 1e-5 * largest) << name;  // zero but for rounding: a bias before BatchNorm
  }
}

INSTANTIATE_TEST_SUITE_P(Nets, FixtureGradients,
                         testing::Values(Case{"mlp", "ts17", Device::reference},
                                         Case{"digits_cnn", "ts17", Device::reference}, Case{"mlp", "ts17"},
                                         Case{"mlp", "dyn"}, Case{"lenet", "ts17"}, Case{"lenet", "dyn"},
                                         Case{"digits_cnn", "ts17"}, Case{"digits_cnn", "dyn"},
                                         Case{"resnet", "ts17"}, Case{"resnet", "dyn"}, Case{"unet", "ts17"},
                                         Case{"unet", "dyn"}, Case{"tagger", "ts17"}, Case{"tagger", "dyn"},
                                         Case{"squeeze", "ts17"}, Case{"squeeze", "dyn"}),
                         name_of);

// One batch of an architecture each (models/export_architectures.py).
INSTANTIATE_TEST_SUITE_P(Architectures, FixtureGradients,
                         testing::Values(Case{"vit", "dynraw"}, Case{"swin", "ts17"},
                                         Case{"convnext", "ts13"}, Case{"gpt2", "ts17"},
                                         Case{"llama", "ts17"}, Case{"llama", "dynraw"}, Case{"t5", "ts17"},
                                         Case{"t5", "ts17", Device::reference}, Case{"moe", "ts17"},
                                         Case{"moe", "dynraw"}, Case{"einsum", "dynraw"}),
                         name_of);

struct Trial {
  const char *net, *run;
};
std::string run_name(const testing::TestParamInfo<Trial>& info) {
  return concat(info.param.net, "_", info.param.run);
}

class FixtureRuns : public testing::TestWithParam<Trial> {};

TEST_P(FixtureRuns, FollowPyTorch) {
  const Trial& p = GetParam();
  Arrays want = read_npz(fixture(concat(p.net, ".runs.npz")));
  CompileOptions options = options_for(test_device());
  std::string run = p.run;
  if (run == "sgd") options.optimizer = SGD{.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-4};
  if (run == "adam") options.optimizer = Adam{.lr = 1e-3};
  if (run == "adamw") options.optimizer = AdamW{.lr = 1e-3, .weight_decay = 0.01};
  if (run == "adamw") options.clip_norm = 1.0;
  Session session(std::make_shared<LoadedModel>(fixture(concat(p.net, ".ts17.onnx"))), options);
  const Tensor &data = want.at("data:input"), &labels = want.at("labels");
  constexpr int64_t kBatch = 16;
  ir::Dims dims = data.dims();
  dims[0] = kBatch;
  for (int64_t k = 0; k < 20; k++) {
    Tensor x({data.dtype(), dims}), y({labels.dtype(), {kBatch}});
    std::copy_n(data.data() + k * x.bytes(), x.bytes(), x.data());
    std::copy_n(labels.data() + k * y.bytes(), y.bytes(), y.data());
    StepResult r = session.step({{{"input", x}, {"labels", y}}});
    EXPECT_EQ(r.step, k + 1);
    EXPECT_FALSE(r.skipped);
    EXPECT_NEAR(r.loss / want.at(run + ":losses").get(k), 1, 2e-3) << "step " << k + 1;
    EXPECT_NEAR(r.grad_norm / want.at(run + ":norms").get(k), 1, 5e-3) << "step " << k + 1;
  }
  // A bias before BatchNorm has no gradient but rounding errors, which Adam scales up to full steps.
  Arrays gradients = with_prefix(read_npz(fixture(concat(p.net, ".case.npz"))), "grad:");
  double largest = 0;
  for (auto& [name, g] : gradients) largest = std::max(largest, norm(g));
  int compared = 0;
  for (auto& [name, final] : with_prefix(want, run + ":final:")) {
    if (gradients.count(name) && norm(gradients.at(name)) <= 1e-9 * largest) continue;
    EXPECT_LE(distance(session.parameter(name), final), 2e-3) << name;
    compared++;
  }
  EXPECT_GE(compared, 4);
}

INSTANTIATE_TEST_SUITE_P(Nets, FixtureRuns,
                         testing::Values(Trial{"mlp", "sgd"}, Trial{"mlp", "adam"}, Trial{"mlp", "adamw"},
                                         Trial{"lenet", "sgd"}, Trial{"digits_cnn", "sgd"},
                                         Trial{"digits_cnn", "adamw"}, Trial{"resnet", "sgd"}),
                         run_name);

}  // namespace
}  // namespace mezzo::runtime
