// Optimizer trajectories against PyTorch 2 (numbers of torch.optim after 20 steps), and the outputs of a
// step.
#include <gtest/gtest.h>

#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

// Two parameters, [5] and [2, 3], whose gradients in step t are grid(.., t) and grid(.., t + 50).
Graph two_parameters() { return graph_with_given_gradients({grid({5}, 1), grid({2, 3}, 2)}); }

std::vector<double> after_20_steps(Options options) {
  Graph g = two_parameters();
  make_step(g, options);
  Session session;
  for (int t = 0; t < 20; t++) session.run(g, {{"g0", grid({5}, t)}, {"g1", grid({2, 3}, t + 50)}});
  EXPECT_EQ(session.number(kStep), 20);
  std::vector<double> all = values(session.states.at("p0")), rest = values(session.states.at("p1"));
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

struct TorchCase {
  const char* name;
  OptimizerOptions optimizer;
  std::optional<double> clip_norm;
  std::vector<double> expected;
};

class Torch : public testing::TestWithParam<TorchCase> {};

TEST_P(Torch, SameParametersAfter20Steps) {
  const TorchCase& c = GetParam();
  Options plain{.optimizer = c.optimizer, .clip_norm = c.clip_norm};
  EXPECT_THAT(after_20_steps(plain), Pointwise(FloatNear(1e-6f), c.expected));
  Options scaled = plain;
  scaled.loss_scale = {.kind = LossScaleKind::dynamic, .init = 1024, .interval = 5};
  EXPECT_EQ(after_20_steps(scaled), after_20_steps(plain));
}

INSTANTIATE_TEST_SUITE_P(
    Optimizers, Torch,
    testing::Values(
        TorchCase{"Sgd",
                  {.lr = 0.1},
                  {},
                  {-0.631249964, -0.162499994, 0.712500036, 0.34375, 0.99999994, -0.425000012, -0.162499994,
                   0.918750048, 0.550000012, -0.856249988, -1.07102096e-08}},
        TorchCase{"SgdMomentum",
                  {.lr = 0.1, .momentum = 0.9},
                  {},
                  {1.24398935, -0.225507006, 0.474046767, -0.357503384, 1.23207808, 1.32239652, -0.856393874,
                   1.59608972, 0.691924453, 0.322577596, -1.02314508}},
        TorchCase{"SgdDampeningAndWeightDecay",
                  {.lr = 0.05, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.01},
                  {},
                  {0.0110843107, -0.212741956, 0.602829278, 0.199704781, 0.922132611, 0.10895393, -0.36289674,
                   1.05476093, 0.628893495, -0.590028226, -0.295290053}},
        TorchCase{"SgdNesterov",
                  {.lr = 0.05, .momentum = 0.8, .weight_decay = 0.1, .nesterov = true},
                  {},
                  {-0.261997789, -0.0269860011, 0.316650301, 0.0894606933, 0.575750768, -0.069861792,
                   -0.173026592, 0.551663518, 0.339849174, -0.514565408, -0.0776630491}},
        TorchCase{"Adam",
                  {.kind = OptimizerKind::adam, .lr = 0.01},
                  {},
                  {-0.792393684, -0.284276128, 0.847631395, 0.57203567, 0.994470537, -0.666759253,
                   -0.181795329, 1.00294518, 0.721378028, -0.905526817, 0.0229278002}},
        TorchCase{"AdamWithL2",
                  {.kind = OptimizerKind::adam,
                   .lr = 0.02,
                   .weight_decay = 0.1,
                   .beta1 = 0.8,
                   .beta2 = 0.99,
                   .eps = 1e-6},
                  {},
                  {-0.739302218, -0.246994868, 0.774221599, 0.507014871, 0.924460769, -0.6059497,
                   -0.173321053, 0.932953179, 0.662051976, -0.871022463, -0.00797141716}},
        TorchCase{"AdamWithSmallBetas",
                  {.kind = OptimizerKind::adam, .lr = 0.02, .beta1 = 0.3, .beta2 = 0.9},
                  {},
                  {-0.859892488, -0.310376644, 0.784451306, 0.506502211, 0.950560808, -0.705260098,
                   -0.227009952, 0.925692081, 0.653688967, -0.972104788, -0.0271361396}},
        TorchCase{"AdamW",
                  {.kind = OptimizerKind::adamw, .lr = 0.02, .weight_decay = 0.05},
                  {},
                  {-0.695084512, -0.250900686, 0.803763509, 0.508397758, 0.969326437, -0.571193874,
                   -0.173003644, 0.986048341, 0.67901963, -0.855946541, -0.016950028}},
        TorchCase{"SgdGroups",
                  {.lr = 0.1,
                   .momentum = 0.9,
                   .weight_decay = 0.01,
                   .groups = {{"*", 1, 0.0, {}}, {"p0", {}, 7.0, 0.5}}},
                  {},
                  {0.184494615, -0.26900354, 0.674523354, 0.133748382, 1.1160388, 1.25324667, -0.815202832,
                   1.42932403, 0.636013627, 0.324939579, -0.959277689}},
        TorchCase{"AdamWGroups",
                  {.kind = OptimizerKind::adamw,
                   .lr = 0.02,
                   .weight_decay = 0.05,
                   .groups = {{"p0", {}, 0.0, {}}, {"p1", {}, {}, 0.1}}},
                  {},
                  {-0.709787488, -0.256052256, 0.820262849, 0.519071341, 0.988940954, -0.731878459,
                   -0.185990736, 0.998590291, 0.742788136, -0.929241657, 0.0544700064}},
        TorchCase{"SgdClipped",
                  {.lr = 0.1, .momentum = 0.9},
                  0.7,
                  {-0.348013252, -0.528638899, 0.95543319, 0.671440601, 1.14694428, -0.282257497,
                   -0.676963508, 1.30935919, 1.06638837, -0.558029354, -0.435119808}}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(Optimizer, NormIsThatOfAllUnscaledGradientsBeforeTheClip) {
  Options o{.optimizer = OptimizerOptions{}, .clip_norm = 0.1};
  o.loss_scale = {.kind = LossScaleKind::fixed, .init = 0x1p20};
  Graph g = graph_with_given_gradients({grid({2}, 1), grid({1}, 2)});
  make_step(g, o);
  Feeds feeds{{"g0", Tensor::of({2}, {3e4, 0})}, {"g1", Tensor::of({1}, {4e4})}};
  EXPECT_EQ(number(Session().run(g, feeds), kGradNorm), 5e4);
}

TEST(Optimizer, SlotsExistOnlyForWhatNeedsThem) {
  auto slots = [](OptimizerOptions optimizer) {
    Graph g = two_parameters();
    make_step(g, {.optimizer = optimizer});
    std::vector<std::string> names;
    for (auto& node : g.nodes())
      if (is_state(*node) && node->s("kind") == "slot") names.push_back(node->s("name"));
    std::sort(names.begin(), names.end());
    return names;
  };
  EXPECT_THAT(slots({}), ElementsAre());
  EXPECT_THAT(slots({.momentum = 0.9}), ElementsAre("p0.momentum", "p1.momentum"));
  EXPECT_THAT(slots({.kind = OptimizerKind::adamw}),
              ElementsAre("mezzo.beta1_power", "mezzo.beta2_power", "p0.exp_avg", "p0.exp_avg_sq",
                          "p1.exp_avg", "p1.exp_avg_sq"));
}

TEST(Optimizer, ScheduleSetsTheLearningRateState) {
  Graph g = graph_with_given_gradients({Tensor::of({1}, {1})});
  make_step(g, {.optimizer = OptimizerOptions{.lr = 0.5}});
  Session session;
  session.run(g, {{"g0", Tensor::of({1}, {1})}});
  EXPECT_EQ(session.number("p0"), 0.5);
  session.states.at(kLr).set(0, 0.125);
  session.run(g, {{"g0", Tensor::of({1}, {1})}});
  EXPECT_EQ(session.number("p0"), 0.375);
}

TEST(Optimizer, GradientOutputsAreUnscaledAndOptional) {
  Options o{.optimizer = OptimizerOptions{}};
  o.loss_scale = {.kind = LossScaleKind::dynamic};
  Graph without = two_parameters(), with = two_parameters();
  make_step(without, o);
  EXPECT_FALSE(without.find_output("grad:p0"));
  o.gradient_outputs = true;
  make_step(with, o);
  EvalResult r = Session().run(with, {{"g0", grid({5}, 7)}, {"g1", grid({2, 3}, 8)}});
  EXPECT_EQ(r.outputs.at("grad:p0"), grid({5}, 7));
  EXPECT_EQ(r.outputs.at("grad:p1"), grid({2, 3}, 8));
}

TEST(Optimizer, ZeroGradientsAreNoDivisionByZero) {
  Graph g = graph_with_given_gradients({Tensor::of({2}, {1, -1})});
  make_step(g, {.optimizer = OptimizerOptions{.kind = OptimizerKind::adam}});
  Session session;
  for (int t = 0; t < 3; t++) session.run(g, {{"g0", Tensor::of({2}, {0, 0})}});
  EXPECT_THAT(values(session.states.at("p0")), ElementsAre(1, -1));
}

TEST(Optimizer, SmallUpdatesMoveMasterWeights) {
  // 100 steps of 2^-12: each would vanish in an f16 or bf16 weight of 1.
  Graph g = graph_with_given_gradients({Tensor::of({1}, {1})});
  make_step(g, {.optimizer = OptimizerOptions{.lr = 0x1p-12}});
  Session session;
  for (int t = 0; t < 100; t++) session.run(g, {{"g0", Tensor::of({1}, {1})}});
  EXPECT_EQ(session.number("p0"), 1 - 100 * 0x1p-12);
}

TEST(Optimizer, GroupsMustMatchSomething) {
  auto message = [](ParameterGroup group) -> std::string {
    Graph g = two_parameters();
    try {
      make_step(g, {.optimizer = OptimizerOptions{.groups = {group}}});
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({"q*", {}, 0.0, {}}), "group 'q*' has no trained parameter");
  EXPECT_EQ(message({"p1", 1, 0.0, {}}), "group 'p1' has no trained parameter");
  EXPECT_EQ(message({"p1", 2, 0.0, {}}), "no error");
  EXPECT_THAT(message({"p*", {}, -1.0, {}}), HasSubstr("the weight decay of a group"));
  EXPECT_THAT(message({"p*", {}, {}, -1.0}), HasSubstr("a group's learning rate"));
}

TEST(Optimizer, RefusesSenselessOptions) {
  auto error = [](OptimizerOptions optimizer) -> std::string {
    Graph g = two_parameters();
    try {
      make_step(g, {.optimizer = optimizer});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::usage);
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error({.lr = -1}), HasSubstr("learning rate"));
  EXPECT_THAT(error({.nesterov = true}), HasSubstr("Nesterov"));
  EXPECT_THAT(error({.kind = OptimizerKind::adam, .beta1 = 1}), HasSubstr("betas"));
  EXPECT_EQ(error({}), "");
}

}  // namespace
}  // namespace mezzo::passes
