// leaf.cpp: what has no inputs: graph inputs, state, constants, the seed of the loss gradient; and the fused Kernel.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

std::vector<Type> declared(const Node& n) {
  element_count(n.ints("shape"));
  return {{n.dtype("dtype"), n.ints("shape")}};
}

const OpDef input = {
    .name = "Input",
    .min_inputs = 0,
    .max_inputs = 0,
    .attrs = {{"name", "", AttrSpec::required}, {"dtype", DType::f32, AttrSpec::required}, {"shape", Ints{}}},
    .precision = Precision::fixed,
    .infer = declared,
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(input);

// A value that lives from step to step. `kind`: StateKind; `init`: the start value without an entry in Graph::tensors.
const OpDef state = {
    .name = "State",
    .min_inputs = 0,
    .max_inputs = 0,
    .attrs = {{"name", "", AttrSpec::required},
              {"dtype", DType::f32, AttrSpec::required},
              {"shape", Ints{}},
              {"kind", "parameter"},
              {"init", 0.0}},
    .precision = Precision::fixed,
    .infer =
        [](const Node& n) {
          require(parse_state_kind(n.s("kind")).has_value(), "unknown kind of state '", n.s("kind"), "'");
          return declared(n);
        },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(state);

const OpDef constant = {
    .name = "Constant",
    .min_inputs = 0,
    .max_inputs = 0,
    .attrs = {{"value", TensorPtr{}, AttrSpec::required}},
    .precision = Precision::fixed,
    .infer = [](const Node& n) -> std::vector<Type> { return {n.tensor("value")->type()}; },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(constant);

// d loss / d loss, before scale_loss replaces it by the loss scale: 1.
const OpDef loss_seed = {
    .name = "LossSeed",
    .min_inputs = 0,
    .max_inputs = 0,
    .attrs = {{"dtype", DType::f32}},
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> { return {{n.dtype("dtype"), {}}}; },
    .expand = [](Graph& to, const Node& n, const Values&) -> Values { return {to.constant(1, n.dtype("dtype"))}; },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(loss_seed);

// A fusion group: its body says what it computes.
const OpDef kernel = {
    .name = "Kernel",
    .min_inputs = 0,
    .max_inputs = kAnyNumber,
    .precision = Precision::fixed,
    .meaning = Meaning::leaf,
    .infer =
        [](const Node& n) {
          check(n.body != nullptr, "a Kernel needs a body");
          std::vector<Type> types;
          for (const Output& o : n.body->outputs) types.push_back(o.value.type());
          return types;
        },
    .grad = not_differentiable,
};
MEZZO_REGISTER_OP(kernel);

}  // namespace

bool is_input(const Node& n) { return &n.op() == &input; }
bool is_state(const Node& n) { return &n.op() == &state; }
bool is_constant(const Node& n) { return &n.op() == &constant; }
bool is_kernel(const Node& n) { return &n.op() == &kernel; }
bool is_loss_seed(const Node& n) { return &n.op() == &loss_seed; }

Value make_loss_seed(Graph& graph, DType dtype) { return graph.add(loss_seed, {}, {{"dtype", dtype}})->out(); }

}  // namespace mezzo::ir
