#include "runtime/schedule.h"

#include <gmock/gmock.h>

#include <cmath>

#include "runtime/session.h"
#include "tests/paths.h"
#include "tests/runtime/test_device.h"

namespace mezzo::runtime {
namespace {

using testing::DoubleNear;
using testing::HasSubstr;
using testing::Pointwise;
using Kind = Schedule::Kind;

struct ScheduleCase {
  const char* name;
  Schedule schedule;
  std::vector<double> factors;
};

class ScheduleTest : public testing::TestWithParam<ScheduleCase> {};

TEST_P(ScheduleTest, FactorsOfTorch) {
  std::vector<double> factors;
  const LrFactor factor(GetParam().schedule);
  for (size_t t = 0; t < GetParam().factors.size(); t++)
    factors.push_back(factor.at(static_cast<int64_t>(t)));
  EXPECT_THAT(factors, Pointwise(DoubleNear(1e-8), GetParam().factors));
  check_schedule(GetParam().schedule);
}

// Learning rates of torch.optim.lr_scheduler with lr = 1; the last is transformers'
// get_linear_schedule_with_warmup.
INSTANTIATE_TEST_SUITE_P(
    Torch, ScheduleTest,
    testing::Values(
        ScheduleCase{"Constant", {}, {1, 1, 1}},
        ScheduleCase{
            "StepLR", {.kind = Kind::step, .period = 3, .gamma = 0.5}, {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25}},
        ScheduleCase{"MultiStepLR",
                     {.kind = Kind::multi_step, .milestones = {2, 5}},
                     {1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01}},
        ScheduleCase{
            "CosineAnnealingLR",
            {.kind = Kind::cosine, .total = 8, .final_factor = 0.1},
            {1, 0.96574579, 0.868198052, 0.722207545, 0.55, 0.377792455, 0.231801948, 0.13425421, 0.1}},
        ScheduleCase{"LinearLR",
                     {.kind = Kind::linear, .total = 8, .final_factor = 0.2},
                     {1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.2}},
        ScheduleCase{"WarmUp", {.warmup = 4, .warmup_start = 0.25}, {0.25, 0.4375, 0.625, 0.8125, 1, 1}},
        ScheduleCase{"SequentialLR",
                     {.kind = Kind::cosine, .warmup = 4, .warmup_start = 0.25, .total = 10},
                     {0.25, 0.4375, 0.625, 0.8125, 1, 0.933012702, 0.75, 0.5, 0.25, 0.0669872981}},
        ScheduleCase{"ChainedScheduler",
                     {.kind = Kind::step, .warmup = 4, .warmup_start = 0.5, .period = 3},
                     {0.5, 0.625, 0.75, 0.0875, 0.1, 0.1, 0.01, 0.01}},
        ScheduleCase{"LinearWithWarmup",
                     {.kind = Kind::linear, .warmup = 3, .total = 9},
                     {0, 1 / 3., 2 / 3., 1, 5 / 6., 4 / 6., 0.5, 2 / 6., 1 / 6., 0, 0}}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(CheckSchedule, NamesTheFlag) {
  auto message = [](const Schedule& s) -> std::string {
    try {
      check_schedule(s);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::usage);
      return e.node() + ": " + e.what();
    }
    return "no error";
  };
  EXPECT_THAT(message({.warmup = -1}), HasSubstr("--warmup: "));
  EXPECT_THAT(message({.warmup_start = 2}), HasSubstr("--warmup-start: "));
  EXPECT_THAT(message({.kind = Kind::cosine, .warmup = 5, .total = 5}), HasSubstr("longer than its warm-up"));
  EXPECT_THAT(message({.kind = Kind::step}), HasSubstr("--lr-period: "));
  EXPECT_THAT(message({.kind = Kind::multi_step}), HasSubstr("--milestones: "));
  EXPECT_THAT(message({.kind = Kind::linear, .total = 5, .final_factor = -1}), HasSubstr("--lr-final: "));
}

Session mlp(const Schedule& schedule) {
  CompileOptions o;
  o.device = test_device();
  o.cache_dir = "none";
  o.optimizer = SGD{.lr = 0.1};
  o.schedule = schedule;
  return {std::make_shared<LoadedModel>(concat(MEZZO_SOURCE_DIR, "/models/fixtures/mlp.ts17.onnx")), o};
}

Arrays some_batch() {
  return {{"input", ir::Tensor::filled({ir::DType::f32, {2, 64}}, 0.5)},
          {"labels", ir::Tensor::of({2}, {3, 4}, ir::DType::i64)}};
}

// The step computes its learning rate itself: the same training as with the rates set by hand.
TEST(Schedule, IsAPartOfTheStep) {
  for (const Schedule& s : {Schedule{.kind = Kind::cosine, .warmup = 2, .warmup_start = 0.25, .total = 6},
                            Schedule{.kind = Kind::multi_step, .milestones = {1, 3}},
                            Schedule{.kind = Kind::step, .period = 2, .gamma = 0.3},
                            Schedule{.kind = Kind::linear, .total = 6}}) {
    Session scheduled = mlp(s), by_hand = mlp({});
    const LrFactor factor(s);
    for (int64_t t = 0; t < 6; t++) {
      by_hand.set_lr(0.1 * factor.at(t));
      EXPECT_EQ(scheduled.step({some_batch()}).lr, by_hand.step({some_batch()}).lr);
    }
    for (const std::string& name : by_hand.parameters())
      EXPECT_EQ(scheduled.parameter(name), by_hand.parameter(name)) << name;
  }
}

// Promise: a skipped step moves nothing, the schedule included.
TEST(Schedule, SkippedStepsDoNotAdvanceIt) {
  Session session = mlp({.kind = Kind::linear, .total = 10});
  const Arrays good = some_batch();
  Arrays bad = good;
  bad.at("input").set(5, INFINITY);
  const Arrays* batches[] = {&good, &bad, &bad, &good, &bad, &good};
  const double expected[] = {0.1, 0.09, 0.09, 0.09, 0.08, 0.08};
  for (int t = 0; t < 6; t++) {
    EXPECT_DOUBLE_EQ(session.lr(), expected[t]);
    const StepResult r = session.step({*batches[t]});
    EXPECT_EQ(r.skipped, batches[t] == &bad) << t;
    EXPECT_DOUBLE_EQ(r.lr, expected[t]) << t;
  }
  EXPECT_DOUBLE_EQ(session.lr(), 0.07);
}

}  // namespace
}  // namespace mezzo::runtime
