// expand: composites become primitives, level by level; then arithmetic on 16-bit floats is done in f32
// between explicit Casts, and reductions keep their axes.
#include <algorithm>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::Meaning;
using ir::Node;
using ir::Value;
using ir::Values;

constexpr int kMaxLevels = 100;  // of composites made of composites

bool is_composite(const Node& node) { return node.op().meaning == Meaning::expand; }

// A Cast is a rounding, a movement copies bits, and kernel ops take 16-bit operands; all else computes.
bool is_arithmetic(const Node& node) {
  Meaning meaning = node.op().meaning;
  return (meaning == Meaning::scalar && !is_cast(node)) || meaning == Meaning::reduce;
}

bool touches_low(const Node& node) {
  auto low = [](const ir::Type& t) { return ir::is_low(t.dtype); };
  for (const Value& v : node.inputs())
    if (v && low(v.type())) return true;
  return std::any_of(node.types().begin(), node.types().end(), low);
}

// The reduction with all of its axes written out and kept.
Value reduce_keeping(Graph& to, const Node& node, Value in) {
  ir::Ints axes = folded_axes(node);
  // A sum of one element still starts from 0, which turns -0 into 0.
  if (axes.empty()) return node.op().reduce == ir::Reduction::sum && is_float(in.dtype()) ? in + 0.0 : in;
  Node* kept = to.add(node.op(), {in}, {{"axes", axes}});
  return ir::reshape(kept->out(), node.type().dims);
}

}  // namespace

void expand(Graph& graph, const Options&) {
  auto composites = [](const Graph& g) {
    return std::any_of(g.nodes().begin(), g.nodes().end(), [](auto& node) { return is_composite(*node); });
  };
  for (int level = 0; composites(graph); level++) {
    check(level < kMaxLevels, "expand: an op expands to itself");
    graph = rewrite(graph, [](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
      if (!is_composite(node)) return std::nullopt;
      return expand_node(to, node, inputs);
    });
  }
  graph = rewrite(graph, [](Graph& to, const Node& node, Values inputs) -> std::optional<Values> {
    bool low = touches_low(node), reduction = node.op().meaning == Meaning::reduce;
    if (!is_arithmetic(node) || (!low && !reduction)) return std::nullopt;
    for (Value& v : inputs)
      if (v && ir::is_low(v.dtype())) v = cast(v, ir::DType::f32);
    Value out =
        reduction ? reduce_keeping(to, node, inputs[0]) : to.add(node.op(), inputs, node.attrs())->out();
    return Values{cast(out, node.type().dtype)};
  });
}

}  // namespace mezzo::passes
