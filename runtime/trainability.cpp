#include "runtime/trainability.h"

#include <algorithm>
#include <cmath>

#include "ir/op.h"
#include "passes/differentiable.h"
#include "passes/step_names.h"
#include "runtime/compile.h"

namespace mezzo::runtime {
namespace {

using frontend::Finding;
using Level = Finding::Level;

// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < 3; i++) out += (i ? ", " : "") + names[i];
  return names.size() > 3 ? concat(out, " and ", names.size() - 3, " more") : out;
}

void add_gradients(std::vector<Finding>& out, const ir::Graph& graph) {
  for (const passes::Obstacle& o : passes::missing_gradients(graph)) {
    std::string freeze;
    for (size_t i = 0; i < o.parameters.size() && i < 3; i++) freeze += concat(" --freeze ", o.parameters[i]);
    out.push_back(
        {Level::obstacle, "missing-gradient", o.origin,
         concat(o.op, " has no gradient, and stands between ", some_of(o.parameters), " and the loss"),
         concat("freeze what lies behind it:", freeze, o.parameters.size() > 3 ? " ..." : "",
                ", or replace it in the model")});
  }
  passes::Differentiable ways(graph, graph.find_output(passes::kLoss));
  std::vector<std::string> still;  // parameters that only have flat ways
  for (const ir::Node* p : ways.parameters())
    if (ways.tie(*p) == passes::Differentiable::Tie::flat) still.push_back(p->s("name"));
  if (still.empty()) return;
  Finding f{Level::warning, "zero-gradient", {}, "", "freeze them, or replace the nodes in the model"};
  for (const ir::Node* node : ways.flat_nodes())
    f.nodes.push_back(passes::describe(node->op().name, node->origin));
  f.what = concat("the gradient of ", some_of(still),
                  " is always zero: every way to the loss passes an operator that is flat almost everywhere");
  out.push_back(std::move(f));
}

void add_precision(std::vector<Finding>& out, const std::vector<passes::PlanRow>& plan) {
  std::vector<std::string> unknown;
  bool no_product = false;
  for (const passes::PlanRow& row : plan) {
    if (row.rule == "unknown op") unknown.push_back(row.value);
    no_product |= row.rule == "no matrix product in the model";
  }
  if (!unknown.empty())
    out.push_back({Level::note, "unclassified-op", std::move(unknown),
                   "how well the operator does in 16 bits is not known: it stays f32", ""});
  if (no_product)
    out.push_back({Level::note,
                   "nothing-to-narrow",
                   {},
                   "there is no matrix product or convolution: all stays f32, whatever --precision says",
                   ""});
}

// Weights and constants that a 16-bit type cannot hold.
void add_ranges(std::vector<Finding>& out, const ir::Graph& planned, const passes::Options& options) {
  if (options.low != ir::DType::f16) return;
  std::vector<std::string> found;
  for (auto& node : planned.nodes()) {
    if (!ir::is_cast(*node) || node->type().dtype != ir::DType::f16) continue;
    const ir::Node& from = *node->in(0).node;
    ir::TensorPtr tensor = ir::constant_of(node->in(0));
    if (ir::is_state(from))
      if (auto it = planned.tensors.find(from.s("name")); it != planned.tensors.end()) tensor = it->second.share();
    if (!tensor) continue;
    bool overflows = false;
    for (int64_t i = 0; i < tensor->count(); i++)
      overflows |= std::isfinite(tensor->get(i)) && std::fabs(tensor->get(i)) > 65504;
    std::string name = ir::is_state(from) ? from.s("name") : passes::describe("constant", node->origin);
    if (overflows && std::find(found.begin(), found.end(), name) == found.end()) found.push_back(name);
  }
  if (!found.empty())
    out.push_back({Level::warning, "beyond-fp16", std::move(found),
                   "holds numbers beyond 65504, which become infinite in fp16",
                   "use --precision bf16, or pin the node to f32 in the precision plan (--plan)"});
}

}  // namespace

bool Trainability::trainable() const { return count(Level::obstacle) == 0; }

int Trainability::count(Level level) const {
  return static_cast<int>(
      std::count_if(findings.begin(), findings.end(), [&](auto& f) { return f.level == level; }));
}

Trainability examine(const LoadedModel& model, const CompileOptions& options,
                     const std::function<Signature()>& signature) {
  Trainability t;
  auto append = [&](std::vector<Finding> more) {
    t.findings.insert(t.findings.end(), std::make_move_iterator(more.begin()),
                      std::make_move_iterator(more.end()));
  };
  append(frontend::examine_file(model.file));
  try {
    Signature shapes = signature();
    StepGraph step = build_step_graph(model, shapes, options, Purpose::train);
    t.parameters = step.parameters;
    append(frontend::examine_import(step.report));
    append(frontend::examine_objective(step.graph));
    passes::Options pass = pass_options(options, Purpose::train, shapes.samples());
    if (!options.precision_plan.empty())
      pass.overrides = plan_overrides(step.graph, pass, options.precision_plan);
    pass.plan = &t.plan;
    add_gradients(t.findings, step.graph);
    passes::assign_precision(step.graph, pass);
    add_precision(t.findings, t.plan);
    add_ranges(t.findings, step.graph, pass);
  } catch (const Error& e) {
    append(frontend::examine_error(e));
    t.error = e;
  }
  std::stable_sort(t.findings.begin(), t.findings.end(), [](auto& a, auto& b) { return a.level < b.level; });
  return t;
}

}  // namespace mezzo::runtime
