// The 16-bit copies of the weights stay the weights, rounded, whatever happens to those.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "passes/step_names.h"
#include "runtime/checkpoint.h"
#include "runtime/safetensors.h"
#include "tests/paths.h"
#include "tests/runtime/test_device.h"

namespace mezzo::runtime {
namespace {

using ir::DType;
using ir::Tensor;

CompileOptions options(Precision precision) {
  CompileOptions o;
  o.device = test_device();
  o.cache_dir = "none";
  o.precision = precision;
  o.optimizer = AdamW{.lr = 1e-2};
  return o;
}

Session mlp(Precision precision) {
  auto model = std::make_shared<LoadedModel>(MEZZO_SOURCE_DIR + "/models/fixtures/mlp.ts17.onnx");
  return {std::move(model), options(precision)};
}

Arrays batch(int64_t n, int64_t first = 0) {
  Tensor x({DType::f32, {n, 64}}), y({DType::i64, {n}});
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::sin(0.7 * static_cast<double>(i + first * 64)));
  for (int64_t i = 0; i < n; i++) y.set_int(i, (i + first) * 7 % 10);
  return {{"input", x}, {"labels", y}};
}

// How many there are.
int expect_rounded(const Session& session) {
  const States& states = session.states();
  int copies = 0;
  for (auto& [name, value] : states.all()) {
    if (!states.is_copy(name)) continue;
    copies++;
    EXPECT_EQ(value, states.at(passes::copied_parameter(name)).cast(value.dtype())) << name;
  }
  return copies;
}

TEST(WeightCopies, FollowStepsOfEverySizeAndWindows) {
  Session session = mlp(Precision::bf16);
  for (int64_t k = 0; k < 3; k++) {
    session.step({batch(8, k)});
    EXPECT_GE(expect_rounded(session), 2);
    session.step({batch(5, k)});  // another program, the same states
    expect_rounded(session);
    session.step({batch(4, k), batch(3, k + 1)});
    expect_rounded(session);
  }
}

TEST(WeightCopies, AreLeftAloneBySkippedStepsEvaluationAndQuestions) {
  Session session = mlp(Precision::fp16);
  int skipped = 0;
  for (int64_t k = 0; k < 4; k++) {
    skipped += session.step({batch(8, k)}).skipped;
    expect_rounded(session);
  }
  Arrays poisoned = batch(8);
  poisoned.at("input").set(17, INFINITY);
  EXPECT_TRUE(session.step({poisoned}).skipped);
  EXPECT_GE(expect_rounded(session), 2);
  session.evaluate(batch(4));
  session.gradients(batch(8));
  expect_rounded(session);
  EXPECT_LT(skipped, 4);
}

// A checkpoint holds no copies, and they are made again from what it holds.
TEST(WeightCopies, AreMadeAgainFromACheckpoint) {
  const std::string file =
      (std::filesystem::path(testing::TempDir()) / concat("mezzo_copies_", ::getpid())).string();
  Session first = mlp(Precision::bf16), fresh = mlp(Precision::bf16), used = mlp(Precision::bf16);
  for (int64_t k = 0; k < 3; k++) first.step({batch(8, k)});
  write_checkpoint(file, first, "");
  for (auto& [name, value] : read_safetensors(file).tensors)
    EXPECT_FALSE(first.states().is_copy(name)) << name;
  const double loss = first.step({batch(8, 3)}).loss;
  used.step({batch(8, 9)});
  for (Session* session : {&fresh, &used}) {
    read_checkpoint(file, *session);
    expect_rounded(*session);
    EXPECT_EQ(session->step({batch(8, 3)}).loss, loss);
    EXPECT_GE(expect_rounded(*session), 2);
  }
  std::filesystem::remove(file);
}

TEST(WeightCopies, BelongNeitherToTheParametersNorToTheModel) {
  Session session = mlp(Precision::bf16);
  session.step({batch(8)});
  for (const std::string& name : session.parameters()) EXPECT_FALSE(session.states().is_copy(name)) << name;
  Session full = mlp(Precision::fp32);
  full.step({batch(8)});
  EXPECT_EQ(expect_rounded(full), 0);
}

// A program that updates a weight of which it has no copy leaves none behind that another would read.
TEST(WeightCopies, AreRenewedWhereAProgramUpdatesTheWeightAlone) {
  ir::Graph graph;
  graph.state("w", {DType::f32, {3}}, ir::StateKind::parameter, 1);
  graph.state("w.bf16", {DType::bf16, {3}}, ir::StateKind::copy, 1);
  States states;
  states.adopt(graph);
  EXPECT_TRUE(states.is_copy("w.bf16"));
  states.at("w").set(1, 2.5);
  states.renew_copies({});
  EXPECT_EQ(states.at("w.bf16").get(1), 1);
  states.renew_copies({"w"});
  EXPECT_EQ(states.at("w.bf16").get(1), 2.5);
}

}  // namespace
}  // namespace mezzo::runtime
