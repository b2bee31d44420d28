// dot_epilogue.h: a matrix product together with what follows it while its sums are still in the accumulator's type
// (ir/ops/dot_epilogue.cpp), for the pass that plans such products and for everybody who computes them.
#pragma once
#include "ir/pattern.h"

namespace mezzo::ir {

// Of a product s = a b. The bias has the type of the result, as has the operand.
enum class Epilogue : uint8_t {
  bias,   // y = s + bias
  add,    // y = operand + scale s
  gelu,   // h = s + bias (where there is one); y = Gelu(h) by tanh, and h
  dgelu,  // y = s Gelu'(operand), and with bias_grad the sum of all rows of y
};
std::string_view name(Epilogue);

struct DotEpilogueSpec {
  Epilogue epilogue = Epilogue::bias;
  bool trans_a = false, trans_b = false;
  std::optional<DType> out = {};  // default: the operands' type
  double scale = 1;               // add
  bool bias_grad = false;         // dgelu
};
Node* dot_epilogue(Value a, Value b, Value bias, Value operand, const DotEpilogueSpec& spec);

bool is_dot_epilogue(const Node&);
Epilogue epilogue_of(const Node&);
// Whether output 0 may be written over the operand: every element depends on its own only.
bool overwrites_operand(const Node&);

// The node as a Dot whose result stays in the accumulator's type, and a Kernel that does the rest. The graph's inputs
// are those of the node that are present, in order, the one an output is written over a state; its outputs are the
// node's, up to their shapes.
Graph split_dot_epilogue(const Node&);

// Gelu by tanh and its gradient in primitives, as expand leaves them: `x` is what Gelu is computed of, `dy` the
// gradient of its result.
const Pattern& gelu_by_tanh();
const Pattern& gelu_by_tanh_gradient();

}  // namespace mezzo::ir
