// join_bias: Dot + bias -> Dot with that bias, and Dot + bias rounded to 16 bits -> Dot that rounds. Both are
// what the product computes; nothing of its size then stands in memory in f32.
#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {

using namespace ir;

namespace {

// The product that an addition has as this operand, perhaps reshaped.
const Node& product_of(const Node& add, int operand) {
  const Node* node = add.in(static_cast<size_t>(operand)).node;
  return is_reshape(*node) ? *node->in(0).node : *node;
}

// The operand of an addition that is a product nobody else reads, perhaps reshaped; -1 where there is none,
// or the other one is no bias of its columns.
int product_operand(const Node& add, const UseMap& uses) {
  if (!is_operation(add, Code::add)) return -1;
  for (int i : {0, 1}) {
    Value product = add.in(static_cast<size_t>(i)), bias = add.in(static_cast<size_t>(1 - i));
    if (product.rank() == 0 || product.type() != add.type() || uses.count(product) != 1) continue;
    const Node& dot = product_of(add, i);
    if (!is_dot(dot) || dot.has(2) || uses.count(dot.out()) != 1 || !is_float(dot.type().dtype)) continue;
    const int64_t columns = dot.type().dims.back();
    if (dot.type().dtype != compute_type(dot.in_type(0).dtype) || product.dims().back() != columns) continue;
    if (bias.dtype() == add.type().dtype && bias.rank() > 0 && bias.dims().back() == columns &&
        bias.type().count() == columns)
      return i;
  }
  return -1;
}

// Whether all that becomes of the sum is its rounding to the operands' 16 bits.
bool is_rounded(const Node& add, int product, const UseMap& uses) {
  const std::vector<Use>& readers = uses.of(add.out());
  if (uses.count(add.out()) != 1 || readers.size() != 1 || !is_cast(*readers[0].node)) return false;
  const DType to = readers[0].node->type().dtype;
  return is_low(to) && to == product_of(add, product).in_type(0).dtype;
}

// In the graph of `add`, of the type of `like`.
Value join(const Node& add, int product, const Type& like) {
  const Node& dot = product_of(add, product);
  Value bias = reshape(add.in(static_cast<size_t>(1 - product)), {dot.type().dims.back()});
  Attrs attrs = dot.attrs();
  if (like.dtype == dot.in_type(0).dtype)
    attrs.erase("out");
  else
    attrs["out"] = like.dtype;
  Value joined = add.graph().add(dot.op(), {dot.in(0), dot.in(1), bias}, std::move(attrs))->out();
  return reshape(joined, like.dims);
}

}  // namespace

void join_bias(Graph& graph, const Options& options) {
  if (!options.bias_in_products) return;
  UseMap uses(graph);
  graph = rewrite(graph, [&](Graph& to, const Node& node, const Values& inputs) -> std::optional<Values> {
    if (is_cast(node)) {
      const Node& add = *node.in(0).node;
      const int product = product_operand(add, uses);
      if (product < 0 || !is_rounded(add, product, uses)) return std::nullopt;
      return Values{join(*inputs[0].node, product, node.type())};
    }
    const int product = product_operand(node, uses);
    if (product < 0 || is_rounded(node, product, uses)) return std::nullopt;
    Node& sum = *copy_node(to, node, inputs)[0].node;
    return Values{join(sum, product, node.type())};
  });
}

}  // namespace mezzo::passes
