// node_gradient_test.cpp: the ONNX conformance tests as gradient tests. Every test that passes forward (see
// tests/frontend/node_test.cpp) and has a differentiable way from a float input to a float output: the
// gradients of a weighted sum of the outputs against central differences in f64.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <random>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "tests/nodes/node_case.h"

namespace mezzo::test {
namespace {

using ir::Graph;
using ir::Tensor;
using ir::Value;

// Float inputs become parameters; output "loss" is the sum of all float outputs by pseudo-random weights.
std::optional<Graph> with_loss(const Graph& from, const std::map<std::string, Tensor>& inputs) {
  Graph graph =
      ir::rewrite(from, [&](Graph& to, const ir::Node& node, const ir::Values&) -> std::optional<ir::Values> {
        if (!ir::is_input(node) || !ir::is_float(node.type().dtype)) return std::nullopt;
        const std::string& name = node.s("name");
        to.tensors[name] = std::make_shared<const Tensor>(inputs.at(name));
        return ir::Values{to.state(name, node.type(), ir::StateKind::parameter)};
      });
  graph.updates.clear();
  std::mt19937 random(7);
  Value loss;
  for (const ir::Output& output : std::vector(graph.outputs)) {
    if (!ir::is_float(output.value.dtype()) || output.value.type().count() == 0) continue;
    // Running statistics carry no gradient by definition.
    if (output.value.index > 0 && output.value.node->op().name == "BatchNormalization") continue;
    Value y = ir::cast(output.value, ir::DType::f64);
    Tensor weights(y.type());
    for (int64_t i = 0; i < weights.count(); i++)
      weights.set(i, 0.25 + static_cast<double>(random() % 1000) / 1000);
    Value term = ir::reduce_sum(y * graph.constant(std::move(weights)), {}, false);
    loss = loss ? loss + term : term;
  }
  if (!loss) return std::nullopt;
  graph.outputs = {{"loss", loss}};
  graph.remove_dead_nodes();
  return graph;
}

double loss_at(const Graph& graph, const std::map<std::string, Tensor>& feeds) {
  return ir::evaluate(graph, feeds, ir::EvalMode::exact).outputs.at("loss").get(0);
}

struct Check {
  std::string difference;  // empty: all agree
  int compared = 0, kinks = 0;
};

// Compares up to 6 elements per input. An element whose difference quotients from the left and the right
// disagree stands on a kink or a jump (max, relu, a rounding), where only the convention of the rule counts.
Check check_gradients(const Graph& graph, std::map<std::string, Tensor> feeds,
                      const std::map<std::string, Tensor>& gradients) {
  Check check;
  for (auto& [key, gradient] : gradients) {
    if (key.rfind("grad:", 0) != 0) continue;
    const std::string name = key.substr(5);
    const int64_t count = gradient.count(), stride = std::max<int64_t>(1, count / 6);
    for (int64_t i = 0; i < count; i += stride) {
      const double x = feeds.at(name).get(i), got = gradient.get(i);
      if (!std::isfinite(x)) continue;
      const double h = 1e-4 * std::clamp(std::abs(x), 1.0, 10.0);
      auto at = [&](double step) {
        feeds.at(name).set(i, x + step);
        double value = loss_at(graph, feeds);
        feeds.at(name).set(i, x);
        return value;
      };
      const double middle = at(0), up = at(h), down = at(-h);
      const double want = (8 * (up - down) - (at(2 * h) - at(-2 * h))) / (12 * h);
      const double narrow = (at(h / 2) - at(-h / 2)) / h, unit = 1e-2 * std::max(1.0, std::abs(want));
      const double left = (middle - down) / h, right = (up - middle) / h;
      if (!std::isfinite(want) || std::abs(left - right) > unit || std::abs(want - narrow) > unit) {
        check.kinks++;
        continue;
      }
      check.compared++;
      if (!(std::abs(got - want) <= 1e-6 * std::max(1.0, std::abs(want))))
        check.difference = concat(name, "[", i, "]: ", got, ", central difference ", want);
    }
  }
  return check;
}

TEST(NodeGradients, AgreeWithCentralDifferences) {
  if (node_test_root().empty()) GTEST_SKIP() << "libonnx-testdata is not installed";
  int checked = 0, elements = 0, kinks = 0, flat = 0;
  std::vector<std::string> without;
  for (const std::string& name : node_test_names("node")) {
    SCOPED_TRACE(name);
    std::optional<Graph> graph;
    std::map<std::string, Tensor> inputs;
    try {
      NodeCase test = load_node_case(node_test_root() + "/node/" + name);
      inputs = test.inputs;
      frontend::Imported imported = import_case(test);
      int64_t size = 0;
      for (auto& node : imported.graph.nodes())
        for (const ir::Type& type : node->types()) size += type.count();
      if (size > 20000) continue;  // the evaluator is slow; the same ops come in small tests too
      graph = with_loss(imported.graph, inputs);
    } catch (const Error&) {
      continue;  // not supported forward: listed in node_expected.txt
    }
    if (!graph) continue;
    Graph backward = ir::clone(*graph);
    try {
      passes::autodiff(backward, {});
    } catch (const Error&) {
      without.push_back(name);
      continue;
    }
    std::map<std::string, Tensor> feeds;
    for (auto& [input, value] : inputs)
      feeds[input] = ir::is_float(value.dtype()) ? value.cast(ir::DType::f64) : value;
    Check check = check_gradients(*graph, feeds, ir::evaluate(backward, feeds, ir::EvalMode::exact).outputs);
    EXPECT_EQ(check.difference, "");
    checked += check.compared > 0;
    flat += check.compared == 0;
    elements += check.compared;
    kinks += check.kinks;
  }
  std::cout << checked << " node tests gradient-checked, " << elements << " elements compared, " << kinks
            << " on a kink; " << flat << " without anything to compare, " << without.size()
            << " without a gradient\n";
  // The optimizers of ai.onnx.preview.training; every other op that is read has a gradient.
  EXPECT_THAT(without, testing::UnorderedElementsAre("test_adagrad", "test_adagrad_multiple", "test_adam",
                                                     "test_adam_multiple", "test_momentum",
                                                     "test_momentum_multiple", "test_nesterov_momentum"));
  EXPECT_GE(checked, 628);
}

}  // namespace
}  // namespace mezzo::test
