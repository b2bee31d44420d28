#include "tests/codegen/backend_agreement.h"

#include <unordered_map>

#include "passes/pipeline.h"
#include "tests/codegen/kernel_harness.h"

namespace mezzo::codegen::testing {
namespace {

using Flags = std::unordered_map<Value, bool, ir::ValueHash>;

// Which values of `graph` depend on something that is computed in another order than the evaluator's.
// `inputs` says it of the graph's inputs.
Flags reordered(const Graph& graph, const std::vector<bool>& inputs = {}) {
  Flags flags;
  size_t next_input = 0;
  for (const auto& node : graph.nodes()) {
    const ir::OpDef& op = node->op();
    bool any = op.meaning == ir::Meaning::reduce &&
               (op.reduce == ir::Reduction::sum || op.reduce == ir::Reduction::prod);
    any |= op.meaning == ir::Meaning::kernel && !ir::is_kernel(*node);
    if (ir::is_input(*node) && next_input < inputs.size()) any |= inputs[next_input++];
    std::vector<bool> operands;
    for (const Value& v : node->inputs()) operands.push_back(v && flags.at(v));
    if (ir::is_kernel(*node)) {
      Flags inside = reordered(*node->body, operands);  // bodies hold no Kernels: one level
      for (int k = 0; k < node->output_count(); k++)
        flags[node->out(k)] = inside.at(node->body->outputs[static_cast<size_t>(k)].value);
      continue;
    }
    for (bool operand : operands) any |= operand;
    for (int k = 0; k < node->output_count(); k++) flags[node->out(k)] = any;
  }
  return flags;
}

// Another order moves a sum by parts of a unit of f32, and what is rounded to 16 bits afterwards by a unit of
// these.
void expect_within(const Tensor& got, const Tensor& want, double tolerance, DType real,
                   const std::string& what) {
  ASSERT_EQ(got.type(), want.type()) << what;
  const double unit = real == DType::bf16 ? 0x1p-7 : real == DType::f16 ? 0x1p-10 : 0;
  double top = 1;
  for (int64_t i = 0; i < want.count(); i++)
    if (std::isfinite(want.get(i))) top = std::max(top, std::fabs(want.get(i)));
  for (int64_t i = 0; i < want.count(); i++) {
    const double a = got.get(i), b = want.get(i);
    const bool same = a == b || (std::isnan(a) && std::isnan(b));
    ASSERT_TRUE(same || std::fabs(a - b) <= (tolerance + unit) * top)
        << what << " element " << i << ": " << a << ", expected " << b;
  }
}

PlannedCase planned_case(ir::BuiltCase built, const ir::OpCase& c, DType real) {
  passes::RunOptions run;
  run.training = false;
  run.first = "expand";
  Graph planned = passes::run_pipeline(ir::clone(built.graph), {}, run).step;
  return {std::move(built.graph), std::move(planned), std::move(built.feeds), c.tolerance, real};
}

}  // namespace

PlannedCase value_case(const ir::OpCase& c, DType real) {
  return planned_case(ir::build_op_case(c, real), c, real);
}

std::optional<PlannedCase> gradient_case(const ir::OpCase& c, DType real) {
  ir::BuiltCase built = ir::build_op_case(c, real, true);
  if (!c.grad || c.op->grad == ir::not_differentiable || !ir::attach_loss(c, built)) return std::nullopt;
  passes::autodiff(built.graph, {});
  std::erase_if(built.graph.outputs, [](const ir::Output& o) { return o.name == "loss"; });
  if (built.graph.outputs.empty()) return std::nullopt;
  built.graph.remove_dead_nodes();
  return planned_case(std::move(built), c, real);
}

Agreement check_case(const PlannedCase& c, Program& program) {
  const auto want = ir::evaluate(c.graph, c.feeds, ir::EvalMode::rounded).outputs;
  std::vector<Tensor> inputs, states;
  for (const auto& node : c.planned.nodes()) {
    if (ir::is_input(*node)) inputs.push_back(c.feeds.at(node->s("name")));
    if (ir::is_state(*node)) states.push_back(c.feeds.at(node->s("name")));
  }
  std::vector<Tensor> got = run_program(program, c.planned, inputs, &states);
  const Flags flags = reordered(c.planned);
  Agreement result;
  for (size_t k = 0; k < got.size(); k++) {
    const ir::Output& output = c.planned.outputs[k];
    const Tensor& expected = want.at(output.name);
    if (flags.at(output.value) && ir::is_float(expected.dtype())) {
      expect_within(got[k], expected, c.tolerance, c.real, output.name);
      result.bounded++;
    } else {
      expect_same_bits(got[k], expected, output.name);
      result.exact++;
    }
  }
  for (const LaunchInfo& l : program.launches())
    if (l.name.starts_with("k")) result.launches.push_back(l.detail);
  return result;
}

}  // namespace mezzo::codegen::testing
