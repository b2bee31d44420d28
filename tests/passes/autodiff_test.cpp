// The reverse sweep against central differences of the evaluator's exact mode, and its promises about dtypes
// and errors.
#include <gtest/gtest.h>

#include "passes/differentiable.h"
#include "step_session.h"

namespace mezzo::passes {
namespace {

using namespace ir;
using testing::ElementsAre;
using testing::HasSubstr;

// Ops of these tests only; the registry does not know them.
Value add(const OpDef& op, Values inputs) {
  Graph& graph = inputs[0].node->graph();
  return graph.add(op, std::move(inputs))->out();
}

// A composite whose gradient is that of its expansion: x * tanh(x) + x.
const OpDef composite = {
    .name = "TestComposite",
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = [](Graph&, const Node&, const Values& in) -> Values { return {in[0] * tanh(in[0]) + in[0]}; },
};

const OpDef hopeless = {
    .name = "TestHopeless",
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = [](Graph&, const Node&, const Values& in) -> Values { return {in[0]}; },
    .grad = not_differentiable,
};

// Its rule knows only attribute values up to 0.
const OpDef choosy = {
    .name = "TestChoosy",
    .attrs = {{"level", int64_t{0}}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = [](Graph&, const Node&, const Values& in) -> Values { return {in[0]}; },
    .grad = [](Grad& g) -> Values {
      if (g.node.i("level") > 0) throw Error(ErrorCode::unsupported, "level above 0");
      return {g.dy[0]};
    },
};

// Passes its first input on; the second is float but never gets a gradient.
const OpDef one_sided = {
    .name = "TestOneSided",
    .min_inputs = 2,
    .max_inputs = 2,
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = [](Graph&, const Node&, const Values& in) -> Values { return {in[0] + in[1] * 0}; },
    .grad = [](Grad& g) -> Values {
      return {g.dy[0], g.dy[0]};
    },
    .no_grad_inputs = {1},
};

Feeds initial_states(const Graph& graph) {
  Feeds feeds;
  for (auto& node : graph.nodes())
    if (is_state(*node)) feeds.emplace(node->s("name"), initial_value(graph, *node));
  return feeds;
}

// Compares every gradient output with (loss(p + h) - loss(p - h)) / 2h. Parameters lie on a grid and h is a
// power of two, so that the shifted values are exact.
void expect_gradients(Graph& graph, const Feeds& inputs, double tolerance = 1e-5) {
  Graph forward = clone(graph);
  autodiff(graph, {});
  Feeds feeds = initial_states(graph);
  feeds.insert(inputs.begin(), inputs.end());
  EvalResult got = evaluate(graph, feeds, EvalMode::exact);
  constexpr double h = 1.0 / 1024;
  int compared = 0;
  for (const Output& output : graph.outputs) {
    if (!output.name.starts_with(kGradPrefix)) continue;
    std::string name = output.name.substr(5);
    const Tensor& gradient = got.outputs.at(output.name);
    EXPECT_EQ(output.value.type(), (Type{DType::f32, feeds.at(name).dims()})) << name;
    for (int64_t i = 0; i < gradient.count(); i++, compared++) {
      double loss[2];
      for (int side = 0; side < 2; side++) {
        Feeds shifted = feeds;
        shifted.at(name).set(i, shifted.at(name).get(i) + (side ? h : -h));
        loss[side] = evaluate(forward, shifted, EvalMode::exact).outputs.at(kLoss).get(0);
      }
      EXPECT_NEAR(gradient.get(i), (loss[1] - loss[0]) / (2 * h), tolerance) << name << "[" << i << "]";
    }
  }
  EXPECT_GT(compared, 0);
}

Value mean_square(Value v) { return reduce_mean(v * v, {}, false); }

// Two layers; matrix products in `low` when given, with the casts that assign_precision would put.
Graph perceptron(std::optional<DType> low = {}) {
  Graph g;
  auto narrow = [&](Value v) { return low ? cast(v, *low) : v; };
  Value x = narrow(g.input("x", {DType::f32, {4, 3}}));
  Value w1 = narrow(parameter(g, "w1", grid({3, 5}, 1))), b1 = parameter(g, "b1", grid({5}, 2));
  Value w2 = narrow(parameter(g, "w2", grid({2, 5}, 3)));
  Value hidden = tanh(cast(dot(x, w1), DType::f32) + b1);
  Value y = cast(dot(narrow(hidden), transpose(w2, {1, 0})), DType::f32);
  g.outputs.push_back({kLoss, mean_square(y - g.input("target", {DType::f32, {4, 2}}))});
  return g;
}
const Feeds kPerceptronFeeds{{"x", grid({4, 3}, 4)}, {"target", grid({4, 2}, 5)}};

TEST(Autodiff, PerceptronEqualsCentralDifferences) {
  Graph g = perceptron();
  expect_gradients(g, kPerceptronFeeds);
}

TEST(Autodiff, LowPrecisionGraphHasTheSameExactGradient) {
  for (DType low : {DType::f16, DType::bf16}) {
    Graph g = perceptron(low);
    expect_gradients(g, kPerceptronFeeds);
  }
}

TEST(Autodiff, SumsOverSeveralUsesAndOverBroadcastAxes) {
  Graph g;
  Value x = g.input("x", {DType::f32, {4, 3}});
  Value a = parameter(g, "a", grid({3}, 1)), b = parameter(g, "b", grid({4, 1}, 2));
  Value c = parameter(g, "c", grid({}, 3)), d = parameter(g, "d", grid({2, 1, 1}, 4));
  Value v = (x * a + b) * c + tanh(a) * a;
  g.outputs.push_back({kLoss, mean_square(v * v - d * a)});
  expect_gradients(g, {{"x", grid({4, 3}, 9)}});
}

TEST(Autodiff, CompositeWithoutRuleIsDifferentiatedThroughItsExpansion) {
  Graph g;
  Value w = parameter(g, "w", grid({7}, 1));
  Value low = add(composite, {cast(w, DType::f16)});
  g.outputs.push_back({kLoss, mean_square(add(composite, {w}) + cast(low, DType::f32))});
  expect_gradients(g, {});
}

// The value nodes behind `v`, not looking behind matrix products.
bool any_low_value_before_product(Value v) {
  std::vector<Value> open{v};
  while (!open.empty()) {
    Value next = open.back();
    open.pop_back();
    if (is_low(next.dtype())) return true;
    if (next.node->op().precision == Precision::low) continue;
    for (Value in : next.node->inputs()) open.push_back(in);
  }
  return false;
}

TEST(Autodiff, WeightGradientsAreNeverRoundedToLowPrecision) {
  Graph g = perceptron(DType::f16);
  autodiff(g, {});
  for (const char* name : {"grad:w1", "grad:w2"}) {
    Value gradient = g.find_output(name);
    ASSERT_TRUE(gradient) << name;
    EXPECT_FALSE(any_low_value_before_product(gradient)) << name;
  }
  Feeds feeds = initial_states(g);
  feeds.insert(kPerceptronFeeds.begin(), kPerceptronFeeds.end());
  Tensor w1 = evaluate(g, feeds, EvalMode::rounded).outputs.at("grad:w1");
  int finer_than_f16 = 0;
  for (double v : values(w1)) finer_than_f16 += round_to(v, DType::f16) != v;
  EXPECT_GT(finer_than_f16, 0);
}

TEST(Autodiff, ActivationGradientIsSummedInF32AndRoundedOnce) {
  // The f16 value h is used seven times. Summed in f16, in either direction, the small parts after the 1 are
  // lost.
  Graph g;
  Value w = parameter(g, "w", grid({1}, 1));
  Value h = cast(w * g.input("x", {DType::f32, {1}}), DType::f16);
  Value loss;
  for (double weight : {0x1p-11, 0x1p-11, 0x1p-11, 1.0, 0x1p-11, 0x1p-11, 0x1p-11}) {
    Value part = reduce_sum(cast(h, DType::f32) * weight, {}, false);
    loss = loss ? loss + part : part;
  }
  g.outputs.push_back({kLoss, loss});
  autodiff(g, {});
  Feeds feeds = initial_states(g);
  feeds.emplace("x", Tensor::filled({DType::f32, {1}}, 1));
  EXPECT_EQ(number(evaluate(g, feeds, EvalMode::rounded), "grad:w"), 1 + 3 * 0x1p-10);
}

TEST(Autodiff, EveryNodeWithoutGradientIsNamedInOneError) {
  Graph g;
  Value w = parameter(g, "w", grid({3}, 1)), x = g.input("x", {DType::f32, {3}});
  auto at = [&](const char* origin, Value v) {
    Scope scope(g, Phase::forward, {origin});
    return add(hopeless, {v});
  };
  Value harmless = at("not_on_the_way", x);
  g.outputs.push_back({kLoss, mean_square(at("second", at("first", w) * 2) + harmless)});
  try {
    autodiff(g, {});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::unsupported);
    EXPECT_STREQ(e.what(), "no gradient for TestHopeless (first), TestHopeless (second)");
    EXPECT_EQ(e.node(), "first");
  }
}

TEST(Autodiff, MissingGradientsNameWhatLiesBehind) {
  Graph g;
  Value a = parameter(g, "a", grid({3}, 1)), b = parameter(g, "b", grid({3}, 2));
  auto at = [&](const char* origin, Value v, int64_t level) {
    Scope scope(g, Phase::forward, {origin});
    return g.add(choosy, {v}, {{"level", level}})->out();
  };
  Value first = at("first", a, 1), fine = at("fine", b, 0);
  g.outputs.push_back({kLoss, mean_square(at("second", first * fine, 2))});
  std::vector<Obstacle> found = missing_gradients(g);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].origin, Origin{"first"});
  EXPECT_EQ(found[0].why, "level above 0");
  EXPECT_THAT(found[0].parameters, ElementsAre("a"));
  EXPECT_EQ(found[1].origin, Origin{"second"});
  EXPECT_THAT(found[1].parameters, ElementsAre("a", "b"));
  EXPECT_FALSE(g.find_output("grad:a"));  // the graph itself stays
}

TEST(Autodiff, UnreachedParametersHaveNoGradientAndFlatOnesHaveZeros) {
  Graph g;
  Value w = parameter(g, "w", grid({3}, 1)), flat = parameter(g, "flat", grid({3}, 2));
  Value side = parameter(g, "side", grid({3}, 3)), unused = parameter(g, "unused", grid({3}, 4));
  g.outputs.push_back({kLoss, mean_square(add(one_sided, {w, side}) + floor(flat))});
  g.outputs.push_back({"other", unused});
  Differentiable paths(g, g.find_output(kLoss));
  std::vector<Differentiable::Tie> ties;
  for (Node* p : paths.parameters()) ties.push_back(paths.tie(*p));
  EXPECT_THAT(ties, ElementsAre(Differentiable::Tie::full, Differentiable::Tie::flat,
                                Differentiable::Tie::none, Differentiable::Tie::none));
  autodiff(g, {});
  EXPECT_TRUE(g.find_output("grad:w"));
  EXPECT_FALSE(g.find_output("grad:side"));
  EXPECT_FALSE(g.find_output("grad:unused"));
  Tensor zeros = evaluate(g, initial_states(g), EvalMode::rounded).outputs.at("grad:flat");
  EXPECT_THAT(values(zeros), ElementsAre(0, 0, 0));
}

TEST(Autodiff, BackwardNodesKnowPhaseAndOrigin) {
  Graph g;
  Value w = parameter(g, "w", grid({3}, 1));
  {
    Scope scope(g, Phase::forward, {"layer"});
    w = tanh(w);
  }
  g.outputs.push_back({kLoss, mean_square(w)});
  autodiff(g, {});
  EXPECT_EQ(g.find_output("grad:w").node->phase, Phase::backward);
  EXPECT_EQ(g.find_output("grad:w").node->origin, Origin{"layer"});
}

TEST(Autodiff, NeedsOneFloatLoss) {
  Graph none, vector;
  EXPECT_THROW(autodiff(none, {}), Error);
  vector.outputs.push_back({kLoss, parameter(vector, "w", grid({3}, 1))});
  EXPECT_THROW(autodiff(vector, {}), Error);
}

TEST(Autodiff, DeepGraphsDoNotNeedDeepStacks) {
  Graph g;
  Value v = parameter(g, "w", grid({}, 1));
  for (int i = 0; i < 20000; i++) v = v + 1;
  g.outputs.push_back({kLoss, v});
  autodiff(g, {});
  EXPECT_TRUE(g.find_output("grad:w"));
}

}  // namespace
}  // namespace mezzo::passes
