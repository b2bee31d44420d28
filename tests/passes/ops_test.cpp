// ops_test.cpp: what one line of tests/ops/cases.txt buys for an op: its shape rule agrees with its value;
// the rounded f32 and 16-bit values are close to the exact ones; its gradient agrees with central
// differences.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "ir/build.h"
#include "ir/eval.h"
#include "passes/passes.h"
#include "tests/ops/op_case.h"

namespace mezzo::ir {
namespace {

bool has_gradient(const OpCase& c, const BuiltCase& built, size_t input) {
  const auto& none = c.op->no_grad_inputs;
  return built.node->has(input) && is_float(built.node->in_type(input).dtype) &&
         std::find(none.begin(), none.end(), static_cast<int>(input)) == none.end();
}

double loss_at(const BuiltCase& built, const std::map<std::string, Tensor>& feeds) {
  return evaluate(built.graph, feeds, EvalMode::exact).outputs.at("loss").get(0);
}

// d loss / d feeds[name][i] with an error of order h^4.
double central_difference(const BuiltCase& built, const std::string& name, int64_t i) {
  const double h = 5e-4 * std::max(1.0, std::abs(built.feeds.at(name).get(i)));
  auto at = [&](double step) {
    std::map<std::string, Tensor> feeds = built.feeds;
    feeds[name].set(i, feeds[name].get(i) + step);
    return loss_at(built, feeds);
  };
  return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
}

class Ops : public testing::TestWithParam<OpCase> {};

std::string test_name(const testing::TestParamInfo<OpCase>& info) {
  return mezzo::concat(info.param.op->name, "_line", info.param.number);
}

// Rounded against exact, element by element: one rounding of the result's dtype, and f32 arithmetic before
// it.
void expect_close(const OpCase& c, const BuiltCase& built) {
  const EvalResult exact = evaluate(built.graph, built.feeds, EvalMode::exact);
  const EvalResult rounded = evaluate(built.graph, built.feeds, EvalMode::rounded);
  for (int k = 0; k < built.node->output_count(); k++) {
    const std::string name = mezzo::concat("y", k);
    const Tensor &e = exact.outputs.at(name), &r = rounded.outputs.at(name);
    const Type& type = built.node->type(k);
    ASSERT_EQ(to_string(r.type()), to_string(type)) << "inferred and evaluated type of output " << k;
    ASSERT_EQ(to_string(e.dims()), to_string(type.dims)) << "inferred and evaluated shape of output " << k;
    const double unit = type.dtype == DType::bf16 ? 0x1p-8 : type.dtype == DType::f16 ? 0x1p-11 : 0;
    const double greatest = type.dtype == DType::f16 ? 65504 : 3e38;
    for (int64_t i = 0; i < e.count(); i++) {
      if (!is_float(type.dtype)) {
        ASSERT_EQ(r.get_int(i), e.get_int(i)) << "output " << k << " element " << i;
        continue;
      }
      const double want = e.get(i), got = r.get(i);
      if (!std::isfinite(want)) {
        ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : got == want)
            << "output " << k << " element " << i << ": " << got << " instead of " << want;
      } else if (std::abs(want) < greatest) {
        ASSERT_NEAR(got, want, c.roundings * unit * std::max(c.roundings > 1 ? 1.0 : 0.0, std::abs(want)) + c.tolerance * std::max(1.0, std::abs(want)))
            << "output " << k << " element " << i;
      }
    }
  }
}

TEST_P(Ops, ShapeAndRoundedValue) { expect_close(GetParam(), build_op_case(GetParam())); }

TEST_P(Ops, SixteenBitValues) {
  const OpCase& c = GetParam();
  if (!c.low) return;
  for (DType real : {DType::bf16, DType::f16}) {
    SCOPED_TRACE(name(real));
    expect_close(c, build_op_case(c, real));
  }
}

// The gradients of the parameters by reverse sweep; empty when the op has none.
std::map<std::string, Tensor> gradients(const OpCase& c, const BuiltCase& built, EvalMode mode) {
  Graph graph = clone(built.graph);
  bool any = false;
  for (size_t i = 0; i < built.node->input_count(); i++) any |= has_gradient(c, built, i);
  if (!any) return {};
  passes::autodiff(graph, {});
  return evaluate(graph, built.feeds, mode).outputs;
}

TEST_P(Ops, GradientAgreesWithDifferences) {
  const OpCase& c = GetParam();
  BuiltCase built = build_op_case(c, DType::f64, true);
  if (!c.grad || !attach_loss(c, built)) return;
  if (c.op->grad == not_differentiable) {
    EXPECT_THROW(gradients(c, built, EvalMode::exact), Error);
    return;
  }
  const auto found = gradients(c, built, EvalMode::exact);
  for (size_t input = 0; input < built.node->input_count(); input++) {
    if (!has_gradient(c, built, input)) continue;
    const std::string name = mezzo::concat("x", input);
    const auto g = found.find("grad:" + name);
    if (g != found.end()) {
      ASSERT_EQ(to_string(g->second.dims()), to_string(built.feeds.at(name).dims()));
    }
    const int64_t count = built.feeds.at(name).count(), stride = std::max<int64_t>(1, count / 24);
    for (int64_t i = 0; i < count; i += stride) {
      const double want = central_difference(built, name, i), got = g == found.end() ? 0 : g->second.get(i);
      ASSERT_NEAR(got, want, 1e-6 * std::max(1.0, std::abs(want))) << "input " << input << " element " << i;
    }
  }
}

// The rules also hold together on 16-bit values: right types everywhere, and results close to the exact ones.
TEST_P(Ops, SixteenBitGradients) {
  const OpCase& c = GetParam();
  if (!c.low || !c.grad || c.op->grad == not_differentiable) return;
  for (DType real : {DType::bf16, DType::f16}) {
    SCOPED_TRACE(name(real));
    BuiltCase built = build_op_case(c, real, true);
    if (!attach_loss(c, built)) continue;
    const auto exact = gradients(c, built, EvalMode::exact), rounded = gradients(c, built, EvalMode::rounded);
    const double unit = real == DType::bf16 ? 0x1p-8 : 0x1p-11;
    for (auto& [name, want] : exact) {
      const Tensor& got = rounded.at(name);
      double top = 1;
      for (int64_t i = 0; i < want.count(); i++) top = std::max(top, std::abs(want.get(i)));
      for (int64_t i = 0; i < want.count(); i++)
        ASSERT_NEAR(got.get(i), want.get(i), 16 * unit * top) << name << " element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Ops, testing::ValuesIn(load_op_cases()), test_name);

// Against another implementation, which computes in f32.
TEST(OpSuite, ValuesOfAnotherImplementation) {
  int cases = 0;
  for (const ExpectedCase& e : load_expected()) {
    SCOPED_TRACE(e.op_case.line);
    cases++;
    BuiltCase built = build_op_case(e.op_case);
    const EvalResult found = evaluate(built.graph, built.feeds, EvalMode::exact);
    for (size_t k = 0; k < e.outputs.size(); k++) {
      const Tensor& y = found.outputs.at(mezzo::concat("y", k));
      ASSERT_EQ(y.count(), static_cast<int64_t>(e.outputs[k].size()));
      for (int64_t i = 0; i < y.count(); i++) {
        const double want = e.outputs[k][static_cast<size_t>(i)];
        const double got = is_float(y.dtype()) ? y.get(i) : static_cast<double>(y.get_int(i));
        if (std::isfinite(want)) {
          EXPECT_NEAR(got, want, 3e-5 * std::max(1.0, std::abs(want))) << "output " << k << " element " << i;
        } else {
          EXPECT_TRUE(std::isnan(want) ? std::isnan(got) : got == want) << "output " << k << " element " << i;
        }
      }
    }
  }
  std::cout << cases << " cases with expected values\n";
}

TEST(OpSuite, EveryOpHasACase) {
  std::map<const OpDef*, int> cases;
  int count = 0;
  for (const OpCase& c : load_op_cases()) cases[c.op]++, count++;
  std::string missing;
  int ops = 0;
  for (const OpDef* op : all_ops()) {
    if (op->meaning == Meaning::leaf) continue;
    ops++;
    if (!cases.count(op)) missing += mezzo::concat(" ", op->name);
  }
  std::cout << count << " cases for " << ops << " ops\n";
  EXPECT_EQ(missing, "") << "ops without a line in tests/ops/cases.txt";
}

}  // namespace
}  // namespace mezzo::ir
