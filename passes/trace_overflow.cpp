// trace_overflow: a step -> the program that names the first value of it that is not finite.
#include <cmath>
#include <unordered_set>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

namespace {

bool holds_infinity(const Node& constant) {
  if (!is_float(constant.type().dtype)) return false;
  const Tensor& t = *constant.tensor("value");
  for (int64_t i = 0; i < t.count(); i++)
    if (!std::isfinite(t.get(i))) return true;
  return false;
}

// Nodes whose values may hold an infinity on purpose: constants with one (attention masks) and what
// element-wise and movement ops make of them. Of these only NaN is reported.
std::unordered_set<const Node*> infinite_on_purpose(const Graph& graph) {
  std::unordered_set<const Node*> out;
  for (auto& node : graph.nodes()) {
    Meaning meaning = node->op().meaning;
    bool spreads = false;
    for (const Value& v : node->inputs())
      spreads = spreads || (v && is_float(v.dtype()) && out.count(v.node));
    if (is_constant(*node) ? holds_infinity(*node)
                           : spreads && (meaning == Meaning::scalar || meaning == Meaning::index))
      out.insert(node.get());
  }
  return out;
}

std::string what(const Node& node) {
  if (is_input(node)) return "input " + node.s("name");
  if (is_state(node)) return "state " + node.s("name");
  return std::string(node.op().name);
}

}  // namespace

std::vector<TracePoint> trace_overflow(Graph& graph, const Options&) {
  std::unordered_set<const Node*> excused = infinite_on_purpose(graph);
  std::vector<TracePoint> points;
  Values watched;
  for (auto& node : graph.nodes())
    for (int k = 0; k < node->output_count(); k++) {
      const Type& type = node->type(k);
      if (node->phase == Phase::update || is_constant(*node) || !is_float(type.dtype) || type.count() == 0)
        continue;
      points.push_back({what(*node), node->phase, node->origin});
      watched.push_back(node->out(k));
    }
  Scope scope(graph, Phase::update, {});
  Value good = graph.constant(0), worst = good;
  for (size_t k = 0; k < watched.size(); k++) {
    Value v = cast(watched[k], compute_type(watched[k].dtype()));
    Value fine = excused.count(watched[k].node) ? equal(v, v) : is_finite(v);
    Value mark = graph.constant(static_cast<double>(watched.size() - k));
    worst = maximum(worst, reduce_max(where(fine, good, mark), {}, false));
  }
  Value count = graph.constant(static_cast<double>(watched.size()));
  Value bad = where(equal(worst, good), constant_like(worst, -1), count - worst);
  graph.updates.clear();
  graph.outputs = {{kBadNode, cast(bad, DType::i64)}};
  graph.remove_dead_nodes();
  return points;
}

}  // namespace mezzo::passes
