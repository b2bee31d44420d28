// keep_copies: Cast(parameter) to 16 bits -> a state of its own that the optimizer writes along with the
// parameter. A step then reads two bytes of a weight where it would read four, write two and read two. The
// parameter may be transposed or reshaped in between; a part of it is not worth a copy of the whole.
#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "passes/simplify.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

namespace {

Value find_or_make_copy(Graph& to, Node& parameter, DType low) {
  const std::string& from = parameter.s("name");
  const std::string name = copy_name(from, low);
  if (Node* found = to.find_state(name)) return found->out();
  // Keeps the parameter, which may have no other use, in the graph until add_optimizer updates it.
  if (copies_of(to, from).empty()) to.updates.push_back({&parameter, parameter.out(), true});
  Scope scope(to, Phase::forward, {});
  const Type type{low, parameter.type().dims};
  Value copy = to.state(name, type, StateKind::copy, parameter.f("init"));
  if (auto start = to.tensors.find(from); start != to.tensors.end())
    to.tensors[name] = {type, [master = start->second, low] { return master.share()->cast(low); }};
  return copy;
}

bool turns_whole(const Node& n, DType low) {
  return n.input_count() == 1 && n.output_count() == 1 && n.type().count() == n.in_type(0).count() &&
         moves(n, low);
}

}  // namespace

void keep_copies(Graph& graph, const Options& options) {
  if (!options.optimizer) return;
  graph = rewrite(graph, [&](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
    const DType low = node.type().dtype;
    if (!is_cast(node) || !is_low(low)) return std::nullopt;
    std::vector<const Node*> turns;  // exporters turn a weight before the product
    Node* source = inputs[0].node;
    for (; turns_whole(*source, low); source = source->in(0).node) turns.push_back(source);
    if (!is_state(*source) || source->type().dtype != DType::f32) return std::nullopt;
    const std::string& name = source->s("name");
    if (!graph.find_output(kGradPrefix + name) || graph.find_state(copy_name(name, low))) return std::nullopt;
    Value copy = find_or_make_copy(to, *source, low);
    for (; !turns.empty(); turns.pop_back())
      copy = to.add(turns.back()->op(), {copy}, turns.back()->attrs())->out();
    return Values{copy};
  });
}

}  // namespace mezzo::passes
