#include "frontend/findings.h"

#include <algorithm>

#include "frontend/names.h"
#include "ir/op.h"

namespace mezzo::frontend {

using Level = Finding::Level;

std::string_view name(Finding::Level level) {
  switch (level) {
    case Level::obstacle: return "obstacle";
    case Level::warning: return "warning";
    case Level::note: return "note";
  }
  throw InternalError("unknown level of a finding");
}

std::vector<Finding> examine_import(const ImportReport& report) {
  std::vector<Finding> out;
  if (!report.baked.empty()) {
    std::vector<std::string> inputs;
    for (const std::string& input : report.baked) inputs.push_back(printable(input));
    out.push_back(
        {Level::warning, "baked-input", std::move(inputs),
         "shapes inside the model depend on the values of this input: a step holds for one value only",
         "make it a constant of the model"});
  }
  for (const std::string& line : report.notes) out.push_back({Level::note, "decision", {}, line, ""});
  return out;
}

std::vector<Finding> examine_objective(const ir::Graph& graph) {
  struct Twice {
    std::string_view loss, objective, inside;
  };
  constexpr Twice kTwice[] = {{"SoftmaxCrossEntropyLoss", "cross_entropy", "Softmax"},
                              {"BCEWithLogits", "bce_with_logits", "Sigmoid"}};
  std::vector<Finding> out;
  for (auto& node : graph.nodes())
    for (const Twice& twice : kTwice) {
      if (node->op().name != twice.loss) continue;
      ir::Value scores = node->in(0);
      while (scores.node->op().name == "Reshape" || ir::is_cast(*scores.node)) scores = scores.node->in(0);
      if (scores.node->op().name != twice.inside) continue;
      Finding f{Level::warning, "normalised-scores", {}, "", ""};
      for (const std::string& name : scores.node->origin) f.nodes.push_back(printable(name));
      f.what = concat("the scores have been through ", twice.inside, ", which ", twice.objective,
                      " does once more: it wants them as they were before");
      f.repair = concat("export the model without its last ", twice.inside);
      out.push_back(std::move(f));
    }
  return out;
}

std::vector<Finding> examine_error(const Error& error) {
  std::vector<Finding> out;
  if (auto* list = dynamic_cast<const UnsupportedNodes*>(&error)) {
    for (const UnsupportedNodes::Node& node : list->nodes) {
      std::string what = concat(node.op, ": ", node.reason);
      auto same = std::find_if(out.begin(), out.end(),
                               [&](auto& f) { return f.what == what && f.repair == node.hint; });
      if (same == out.end()) {
        out.push_back({Level::obstacle, "unsupported-node", {}, what, node.hint});
        same = out.end() - 1;
      }
      same->nodes.push_back(node.label);
    }
    for (Finding& f : out)
      if (f.repair.empty())
        f.repair = "replace it in the model by the operators that docs/onnx-support.md lists";
    return out;
  }
  Finding f{Level::obstacle, "cannot-build", {}, error.what(), error.hint()};
  if (!error.node().empty()) f.nodes.push_back(error.node());
  out.push_back(std::move(f));
  return out;
}

}  // namespace mezzo::frontend
