// lstm.cpp: ONNX LSTM. Gates in the order i, o, f, c:
//   i = f(X Wi' + H Ri' + Pi.C + bi)   f = f(.. + Pf.C + bf)   c = g(..)   C' = f.C + i.c
//   o = f(.. + Po.C' + bo)             H' = o.h(C')
#include "ir/ops/recurrent.h"

namespace mezzo::ir {
namespace {

using namespace recurrent;

enum Gate : int64_t { kI, kO, kF, kC, kGates };

RecurrentLayer layer(const RecurrentDirection& d) {
  Value bias = d.bias_w();
  RecurrentLayer out;
  out.states = {d.initial(kInitialH), d.initial(kInitialC)};
  out.x = d.input_product(bias ? bias + d.bias_r() : bias);
  out.invariant = {d.part(kR)};
  const bool peepholes = d.node.has(kP), coupled = d.node.i("input_forget") != 0;
  if (peepholes) out.invariant.push_back(reshape(cast(d.part(kP), d.wide), {1, 3 * d.shape.hidden}));
  const int64_t hidden = d.shape.hidden;
  const std::vector<Activation> functions = d.activations;
  out.step = [=](const RecurrentStep& s, Values& yields) -> Values {
    const Activation &f = functions[0], &g = functions[1], &h = functions[2];
    Value c = s.states[1], all = s.x + hidden_product(s.states[0], s.invariant[0]);
    yields.push_back(all);
    auto pre = [&](int64_t k, int64_t peephole, Value cell) {
      Value v = gate(all, k, hidden);
      return peepholes ? v + gate(s.invariant[1], peephole, hidden) * cell : v;
    };
    Value i = f(pre(kI, 0, c));
    Value forget = coupled ? 1.0 - i : f(pre(kF, 2, c));
    Value next = forget * c + i * g(gate(all, kC, hidden));
    Value o = f(pre(kO, 1, next));
    return {o * h(next), next};
  };
  return out;
}

const OpDef lstm = {
    .name = "LSTM",
    .min_inputs = 3,
    .max_inputs = 8,
    .attrs = recurrent_attrs({{"input_forget", 0}}),
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) { return recurrent_types(n, kGates, 2); },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      return build_recurrent(n, in, kGates, {"Sigmoid", "Tanh", "Tanh"}, layer);
    },
    .f32_inputs = {kB, kInitialH, kInitialC, kP},
};
MEZZO_REGISTER_OP(lstm);

}  // namespace
}  // namespace mezzo::ir
