#include "frontend/trainable.h"

#include <algorithm>
#include <map>

#include "frontend/names.h"
#include "ir/glob.h"
#include "ir/op.h"

namespace mezzo::frontend {
namespace {

bool all_equal(const ir::Tensor& t) {
  for (int64_t i = 1; i < t.count(); i++)
    if (!(t.get(i) == t.get(0))) return false;
  return true;
}

// What uses a value, looking through shape changes and the Cast of a 16-bit file. Bounded: only a few hops
// matter.
struct Uses {
  bool linear = false;  // a matrix product or convolution uses it: a weight or a bias
  bool factor = true;   // it only multiplies, divides, or is chosen or compared
};
Uses uses_of(const ir::UseMap& map, ir::Value v, int hops = 3) {
  Uses uses;
  for (const ir::Use& use : map.of(v)) {
    const ir::OpDef& op = use.node->op();
    bool moves =
        op.name == "Expand" || op.name == "Unsqueeze" || op.name == "Reshape" || ir::is_cast(*use.node);
    if (moves && hops > 0) {
      Uses inner = uses_of(map, use.node->out(), hops - 1);
      uses.linear |= inner.linear;
      uses.factor &= inner.factor;
    } else {
      uses.linear |= op.precision == ir::Precision::low;
      uses.factor &= op.name == "Mul" || op.name == "Div" || op.name == "Where" || op.name == "Equal";
    }
  }
  return uses;
}

// Why an initializer is a constant of the program rather than a weight; empty when it looks like a weight.
// Exporters write both as float initializers.
std::string constant_reason(const ir::Graph& graph, const ir::UseMap& map, const ir::Node& state,
                            const std::map<std::string, Role>& roles) {
  const std::string& name = state.s("name");
  if (auto role = roles.find(name); role != roles.end())
    return role->second == Role::buffer ? "constant: a buffer of the program" : "";
  if (!is_made_up(name)) return "";
  Uses uses = uses_of(map, state.out());
  if (uses.linear) return "";
  auto it = graph.tensors.find(name);
  if (state.type().count() == 1) return "constant: one number with a made-up name";
  if (it != graph.tensors.end() && all_equal(*it->second.share()))
    return "constant: all elements equal, with a made-up name";
  if (uses.factor && !may_be_weight(name)) return "constant: a folded factor with a made-up name";
  return "";
}

bool matches(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](auto& p) { return ir::matches_glob(name, p); });
}

bool is_kind(const ir::Node& node, ir::StateKind kind) {
  return ir::is_state(node) && node.s("kind") == ir::name(kind);
}

}  // namespace

std::vector<ParameterRow> select_trainable(const ir::Graph& graph, const TrainableRules& rules,
                                           const std::function<bool(const ir::Node&)>& reaches_loss) {
  ir::UseMap map(graph);
  std::vector<ParameterRow> rows;
  for (auto& node : graph.nodes()) {
    bool statistic = is_kind(*node, ir::StateKind::statistic);
    if (!statistic && !is_kind(*node, ir::StateKind::parameter)) continue;
    const std::string& name = node->s("name");
    ParameterRow row{name, node->type(), false, ""};
    bool named = matches(rules.train, name);
    if (statistic)
      row.reason = "BatchNorm statistic";
    else if (matches(rules.freeze, name))
      row.reason = "frozen by --freeze";
    else if (!rules.train.empty() && !named)
      row.reason = "not named by --train";
    else if (std::string why = named ? "" : constant_reason(graph, map, *node, rules.roles); !why.empty())
      row.reason = why;
    else if (reaches_loss && !reaches_loss(*node))
      row.reason = "no differentiable path to the loss";
    else {
      row.trainable = true;
      row.reason = named ? "named by --train" : "parameter";
    }
    rows.push_back(std::move(row));
  }
  for (auto* patterns : {&rules.train, &rules.freeze})
    for (const std::string& pattern : *patterns)
      if (std::none_of(rows.begin(), rows.end(),
                       [&](auto& row) { return ir::matches_glob(row.name, pattern); }))
        throw Error(ErrorCode::usage, concat("no parameter is called '", printable(pattern), "'"),
                    printable(pattern), "mezzo check lists the parameters");
  if (std::none_of(rows.begin(), rows.end(), [](auto& row) { return row.trainable; }))
    throw Error(ErrorCode::usage,
                rows.empty() ? "the model has no float initializers" : "nothing is left to train", "",
                rows.empty() ? "weights must be initializers of the graph, not Constant nodes"
                             : "mezzo check says why each parameter is not trained");
  return rows;
}

void freeze_parameters(ir::Graph& graph, const std::vector<ParameterRow>& rows) {
  std::map<std::string_view, bool> trainable;
  for (const ParameterRow& row : rows) trainable[row.name] = row.trainable;
  std::map<std::string, ir::StartValue> kept = graph.tensors;
  graph = ir::rewrite(
      graph, [&](ir::Graph& to, const ir::Node& node, const ir::Values&) -> std::optional<ir::Values> {
        if (!is_kind(node, ir::StateKind::parameter)) return std::nullopt;
        const std::string& name = node.s("name");
        auto row = trainable.find(name);
        auto tensor = kept.find(name);
        if (row == trainable.end() || row->second || tensor == kept.end()) return std::nullopt;
        return ir::Values{to.constant(tensor->second.copy())};
      });
  for (const ParameterRow& row : rows)
    if (!row.trainable && !graph.find_state(row.name)) graph.tensors.erase(row.name);
}

std::string to_text(const std::vector<ParameterRow>& rows) {
  size_t name = 4, type = 4;
  for (const ParameterRow& row : rows) {
    name = std::max(name, printable(row.name).size());
    type = std::max(type, ir::to_string(row.type).size());
  }
  auto padded = [](std::string text, size_t width) {
    text.resize(std::max(text.size(), width), ' ');
    return text;
  };
  std::string out;
  for (const ParameterRow& row : rows)
    out += concat(padded(printable(row.name), name), "  ", padded(ir::to_string(row.type), type), "  ",
                  row.trainable ? "yes" : "no ", "  ", row.reason, "\n");
  return out;
}

}  // namespace mezzo::frontend
