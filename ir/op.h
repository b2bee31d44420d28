// op.h: what an operator is: one record, in one file under ir/ops/.
#pragma once
#include "ir/graph.h"
#include "ir/index.h"
#include "ir/scalar.h"

namespace mezzo::ir {

// How the precision pass treats an op (docs/precision.md; sources: PyTorch autocast, TensorFlow's lists, XLA).
enum class Precision : uint8_t {
  unset,
  low,        // LP: low-precision inputs, f32 accumulation, one rounding
  bounded,    // I-B: low in and out, f32 arithmetic inside; the output is bounded by its input
  unbounded,  // I-U: low in allowed, f32 arithmetic and f32 out
  full,       // F32: kept f32 in and out
  widest,     // PROM: runs in the widest of its inputs
  pass,       // PASS: dtype-transparent; takes whatever removes casts
  fixed,      // FIX: dtype given by definition
};
std::string_view name(Precision);

// What an op means. Exactly one.
enum class Meaning : uint8_t {
  leaf,    // Input, State, Constant
  scalar,  // element by element, with numpy broadcasting: `scalar`
  index,   // moves elements: `index`
  reduce,  // folds axes (attributes axes, keepdims): `reduce`
  expand,  // a composition of other ops: `expand`
  kernel,  // an algorithm of its own, one implementation per backend; `evaluate` is its meaning
};

enum class Reduction : uint8_t { sum, max, min, prod };

// The view of a node that a gradient rule gets. Except for ops of class `low`, 16-bit floats appear widened to f32: a
// rule is a formula on f32 (or f64) values, and the sweep rounds once. Gradients may have the broadcast shape; the sweep
// sums them back. The rule of a `low` op sees values as stored and may return f32 accumulators.
struct Grad {
  const Node& node;
  Values in, out, dy;        // dy[k] is absent when output k does not reach the loss
  std::vector<bool> needs;   // needs[i]: the gradient of input i is wanted
};

struct AttrSpec {
  enum Presence : uint8_t { defaulted, optional, required };
  std::string_view name;
  Attr value;                     // the default; for optional and required: only its type counts
  Presence presence = defaulted;
};

struct Decomposition;

struct ConstantInput {
  int position;
  std::string_view attr;
};

inline constexpr int kAnyNumber = 1 << 20;

struct OpDef {
  std::string_view name;                 // the ONNX op_type where there is one
  int min_inputs = 1, max_inputs = 1;    // inputs behind min_inputs, and inputs given as absent values, are optional
  std::vector<AttrSpec> attrs = {};
  Precision precision = Precision::unset;
  Meaning meaning = Meaning::leaf;

  // Output types from input types and attributes. Throws Error for arguments that do not fit.
  std::vector<Type> (*infer)(const Node&) = nullptr;

  // The meaning, by kind.
  Scalar scalar = {Code::program};
  IndexMap (*index)(const Node&, const Exprs& at) = nullptr;
  Reduction reduce = Reduction::sum;
  // Builds, with ir/build.h, what `node` means into `to`, on the values that stand for its inputs there. Sees 16-bit
  // floats widened to f32 unless the class is `low` or `pass`; the results are rounded to the node's types.
  Values (*expand)(Graph& to, const Node& node, const Values& inputs) = nullptr;
  // Fills `out` (allocated; floats are f64 in exact mode, else of the node's types) from `in` (null = absent).
  void (*evaluate)(const Node&, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) = nullptr;

  // Gradient of each input (absent = none). Null: the sweep differentiates the expansion. `not_differentiable`: asking
  // is an error that names the node. `zero_gradient`: flat almost everywhere.
  Values (*grad)(Grad&) = nullptr;
  // Inputs that never get a gradient although they may be float (ratio, bounds, statistics). Integer ones never do.
  std::vector<int> no_grad_inputs = {};

  // Storage order (assign_layout). `permuted`: the op may work on operands stored as `perm` says (operand = Transpose(
  // stored, perm)); it then needs these attributes, and output k is Transpose(result, *out_perm). Returns nothing where
  // it cannot. Scalar ops need no such function.
  std::optional<Attrs> (*permuted)(const Node&, const Ints& perm, Ints* out_perm) = nullptr;
  // Inputs with channels at axis 1 which attribute channels_last moves to the end; and whether the result is such.
  std::vector<int> channel_inputs = {};
  bool channel_output = false;

  // Inputs that stay f32 when the op runs in 16 bits: a bias that joins the accumulator, a norm's scale and statistics.
  std::vector<int> f32_inputs = {};

  // Output (an i64 scalar) that counts elements which name nothing, such as labels beyond the classes; -1: none. A step in
  // which it is not 0 is an error and changes no state (passes/catch_faults.cpp).
  int fault_output = -1;

  // How exporters write the op where their opset lacks it (ir/pattern.h); the pass recognize puts the op there instead.
  const std::vector<Decomposition>& (*decompositions)() = nullptr;

  // ONNX inputs which the IR holds as attributes, because they must be known when the graph is built (axes, shapes, pads,
  // ratios): the importer evaluates ONNX input `position` and sets attribute `attr`. The op's inputs are the others.
  std::vector<ConstantInput> constant_inputs = {};
};

Values not_differentiable(Grad&);
Values zero_gradient(Grad&);

// The registry. Iteration is in order of the names.
const OpDef* find_op(std::string_view name);
const OpDef& get_op(std::string_view name);  // InternalError when there is none
std::vector<const OpDef*> all_ops();
struct RegisterOp {
  explicit RegisterOp(const OpDef& op);
};
#define MEZZO_REGISTER_OP(definition) static const ::mezzo::ir::RegisterOp register_##definition{definition}

// The constant a value holds, or null. Looks through nothing: the producer must be a Constant.
TensorPtr constant_of(Value v);

// perm such that transpose(transpose(v, perm), inverse(perm)) is v.
Ints inverse(const Ints& perm);

// The axes that a reduction folds, from 0 and sorted.
Ints folded_axes(const Node& reduction);

// Shape rules shared by many ops.
std::vector<Type> same_as_input(const Node&);       // types = {type of input 0}
std::vector<Type> broadcast_inputs(const Node&);    // dtype of input 0 (all inputs must agree), broadcast dims

// Questions passes ask instead of comparing names.
bool is_input(const Node&);
bool is_state(const Node&);
bool is_constant(const Node&);
bool is_cast(const Node&);
bool is_kernel(const Node&);
bool is_time_loop(const Node&);  // a loop over time, with the step as its body
bool is_transpose(const Node&);
bool is_concat(const Node&);
Ints permutation_of(const Node& transpose);  // its perm, the default made explicit
bool is_reshape(const Node&);
// The value whose memory `v` is: looks through Reshapes.
Value root_of(Value v);
bool is_expand(const Node&);  // the op that broadcasts to a shape
bool is_dot(const Node&);
bool is_convolution(const Node&);
bool is_convolution_input_grad(const Node&);
bool is_convolution_weight_grad(const Node&);
bool is_loss_seed(const Node&);
// An addition, a product ...: the scalar op of that machine code.
inline bool is_operation(const Node& n, Code code) {
  return n.op().meaning == Meaning::scalar && n.op().scalar.code == code;
}

}  // namespace mezzo::ir
