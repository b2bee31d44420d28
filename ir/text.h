// text.h: the canonical text form of a graph. Values are numbered depth-first from the outputs (in execution
// order once the graph is scheduled), so equal graphs print equally whatever built them; it parses back to an
// equal graph.
//
//   graph main {
//     input %x : f32[8,4]
//     state $w kind="slot" init=1 : f32[4,4]
//     %0 = Constant {1, 2.5, -inf, nan} : f32[4]
//     %1 = Dot(%x, $w) trans_b=1 : f32[8,4]  ; backward fc1, fc2
//     output loss = %1
//     update $w = %1 unconditional
//   }
//
// `_` is an absent input; `f32[8,4]@128` has arena offset 128 (@none, @state: -1, -2). After the semicolon:
// the phase unless forward, then the origin. One number is a Constant's every element. Lines that begin with
// # are comments.
#pragma once
#include "ir/graph.h"

namespace mezzo::ir {

using TensorMap = std::map<std::string, TensorPtr, std::less<>>;

struct PrintOptions {
  int64_t inline_limit =
      16;               // constants with more, unequal elements are printed as @name, see elided_tensors
  bool origins = true;  // "; backward conv1" behind each node
};
// `elided`, when given, receives the constants that are only named.
std::string print(const Graph& graph, const PrintOptions& options = {}, TensorMap* elided = nullptr);
// The node's line in print(graph), without a Kernel's body. For messages: works on broken graphs, too.
std::string print(const Node& node);
// What a node does with its inputs: op, attributes, types and body. Nodes of equal signature on equal inputs are equal.
std::string signature(const Node& node);

// The constants that print() elides, by the name it gives them.
TensorMap elided_tensors(const Graph& graph, const PrintOptions& options = {});
// That name: c_ and 128 bits of hash of type and content.
std::string elided_name(const Tensor& tensor);

// Throws Error naming line and column. `tensors` supplies elided constants; one that is missing is an Error.
Graph parse(std::string_view text, const TensorMap& tensors = {});

// The nodes in the order in which print() shows them: as they stand when scheduled, otherwise inputs, live
// states, then depth-first from the outputs and updates.
std::vector<Node*> canonical_order(const Graph& graph);
// Drops dead nodes and puts the others, also in bodies, in canonical order with new ids: what
// parse(print(graph)) makes.
void canonicalize(Graph& graph);

// Checks structure and re-infers every type; throws InternalError naming the first node that is wrong.
void verify(const Graph& graph);

}  // namespace mezzo::ir
