// Steps that are handed to the device before the one in front has told its results: the same training, step
// by step.
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "fake_device.h"
#include "ir/philox.h"
#include "models/nets.h"
#include "passes/step_names.h"
#include "runtime/session.h"

namespace mezzo::testing_cuda {
namespace {

using ir::DType;
using ir::Tensor;
using runtime::Arrays;
using runtime::LoadedModel;
using runtime::Session;

constexpr int64_t kBatch = 4, kSequence = 8, kWords = 29;

// A network whose steps draw random numbers, can be skipped, and can meet bad indices.
std::shared_ptr<LoadedModel> small_gpt2() {
  const auto file = std::filesystem::path(testing::TempDir()) / concat("mezzo_ahead_", ::getpid(), ".onnx");
  models::OnnxBuilder builder("gpt2", 1);
  models::gpt2(
      builder,
      {.layers = 1, .hidden = 16, .heads = 2, .sequence = kSequence, .vocabulary = kWords, .dropout = 0.1});
  builder.write(file.string());
  auto model = std::make_shared<LoadedModel>(file.string());
  std::filesystem::remove(file);
  return model;
}

CompileOptions options(Precision precision) {
  CompileOptions o;
  o.device = Device::cuda;
  o.cache_dir = "none";
  o.precision = precision;
  o.optimizer = AdamW{.lr = 1e-2};
  o.clip_norm = 1.0;
  o.schedule = {.kind = Schedule::Kind::cosine, .warmup = 3, .total = 20};
  return o;
}

std::vector<Arrays> batches(int n) {
  std::vector<Arrays> out;
  for (int k = 0; k < n; k++) {
    Tensor ids({DType::i64, {kBatch, kSequence}}), labels = ids;
    for (int64_t i = 0; i < ids.count(); i++) {
      ids.set_int(i, (i * i + 5 * k) % kWords);
      labels.set_int(i, (i + k) % kWords);
    }
    out.push_back({{"input_ids", ids}, {"labels", labels}});
  }
  return out;
}

// Trains on the batches as `mezzo train` does; `each` sees what every step told.
template <class Each>
void train(Session& session, const std::vector<Arrays>& batches, Each each) {
  for (size_t k = 0; k < batches.size(); k++) {
    if (!session.is_under_way()) {
      if (!session.has_staged()) session.stage({batches[k]});
      session.start();
    }
    if (k + 1 < batches.size()) session.stage({batches[k + 1]});
    if (session.may_start_ahead()) session.start();
    each(k, session.finish());
  }
}

void expect_equal(const StepResult& a, const StepResult& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.lr, b.lr);
  EXPECT_EQ(a.scale, b.scale);
  EXPECT_EQ(a.skipped, b.skipped);
  ASSERT_EQ(a.overflow.has_value(), b.overflow.has_value());
  if (!a.overflow) return;
  EXPECT_EQ(a.overflow->op, b.overflow->op);
  EXPECT_EQ(a.overflow->node, b.overflow->node);
}

void expect_equal(const Session& a, const Session& b) {
  EXPECT_EQ(a.draws(), b.draws());
  const auto &all = a.states().all(), &others = b.states().all();
  ASSERT_EQ(all.size(), others.size());
  for (auto& [name, value] : all) {
    if (name == passes::kHold || name == ir::kRandomKey) continue;  // set before a step
    EXPECT_EQ(value, others.at(name)) << name;
  }
}

class RunAhead : public OnFakeDevice {};
// The fake device runs late: when the host waits, or asks for the results.
class RunAheadOnDevice : public OnDevice {
 protected:
  void SetUp() override {
    OnDevice::SetUp();
    if (!kReal) late(true);
  }
  void TearDown() override {
    if (!kReal) late(false);
    OnDevice::TearDown();
  }
};

TEST_F(RunAhead, ThereIsAlwaysAStepUnderWay) {
  Session session(small_gpt2(), options(Precision::bf16));
  constexpr int kSteps = 14;
  train(session, batches(kSteps), [&](size_t k, const StepResult& r) {
    EXPECT_EQ(r.step, k + 1);
    EXPECT_EQ(session.is_under_way(), k + 1 < kSteps);
    if (k == 2) reset_calls();  // four steps were handed over
  });
  EXPECT_EQ(calls("cuGraphLaunch"), 10);
  EXPECT_EQ(calls("cuMemcpyHtoDAsync_v2"), 10);
  EXPECT_EQ(calls("cuMemcpyDtoDAsync_v2"), 10);
  EXPECT_EQ(calls("cuMemcpyDtoHAsync_v2") + calls("cuLaunchKernel"), 0);
  EXPECT_EQ(calls("cuMemAlloc_v2") + calls("cuMemHostAlloc"), 0);
  EXPECT_EQ(waits(), 0);
}

TEST_F(RunAheadOnDevice, EqualsOneStepAfterTheOther) {
  auto model = small_gpt2();
  Session ahead(model, options(Precision::bf16)), plain(model, options(Precision::bf16));
  const std::vector<Arrays> all = batches(8);
  train(ahead, all, [&](size_t k, const StepResult& r) { expect_equal(r, plain.step({all[k]})); });
  expect_equal(ahead, plain);
}

// A step behind a skipped one was handed over with a scale that does not hold, and would change the states in
// which the host looks for the overflow.
TEST_F(RunAheadOnDevice, StepsBehindASkippedOneAreHeldBack) {
  auto model = small_gpt2();
  CompileOptions o = options(Precision::fp16);
  o.loss_scale = LossScale::dynamic(16777216, 2);  // overflows at once, and again after every two steps
  Session ahead(model, o), plain(model, o);
  const std::vector<Arrays> all = batches(16);
  int skipped = 0, taken = 0;
  train(ahead, all, [&](size_t k, const StepResult& r) {
    expect_equal(r, plain.step({all[k]}));
    (r.skipped ? skipped : taken)++;
  });
  EXPECT_GE(skipped, 4);
  EXPECT_GE(taken, 4);
  expect_equal(ahead, plain);
}

// Bad indices are an error and no step. The batch behind them is staged again.
TEST_F(RunAheadOnDevice, AStepBehindBadIndicesIsHeldBack) {
  auto model = small_gpt2();
  Session ahead(model, options(Precision::fp32)), plain(model, options(Precision::fp32));
  std::vector<Arrays> all = batches(4);
  const Arrays good = all[2];
  all[2].at("input_ids").set_int(3, kWords);
  EXPECT_THROW(train(ahead, all, [](size_t, const StepResult&) {}), Error);
  EXPECT_THROW(train(plain, {all[0], all[1], all[2]}, [](size_t, const StepResult&) {}), Error);
  ASSERT_TRUE(ahead.has_staged());
  EXPECT_FALSE(ahead.is_under_way());
  ahead.start();
  expect_equal(ahead.finish(), plain.step({all[3]}));
  expect_equal(ahead.step({good}), plain.step({good}));
  expect_equal(ahead, plain);
}

TEST_F(RunAheadOnDevice, OtherProgramsWaitForTheStepUnderWay) {
  auto model = small_gpt2();
  Session session(model, options(Precision::fp32));
  const std::vector<Arrays> all = batches(3);
  session.stage({all[0]});
  session.start();
  EXPECT_FALSE(session.may_start_ahead()) << "nothing is staged";
  session.stage({all[1], all[2]});
  EXPECT_FALSE(session.may_start_ahead()) << "a window is more than one run";
  EXPECT_THROW(session.start(), InternalError);
  EXPECT_THROW(session.evaluate(all[1]), InternalError);
  EXPECT_THROW(session.gradients(all[1]), InternalError);
  session.finish();
  session.start();
  EXPECT_EQ(session.finish().step, 2);
}

}  // namespace
}  // namespace mezzo::testing_cuda
