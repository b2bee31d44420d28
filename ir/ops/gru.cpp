// gru.cpp: ONNX GRU and RNN. GRU's gates in the order z, r, h:
//   z = f(X Wz' + H Rz' + bz)   r = f(X Wr' + H Rr' + br)   H' = (1 - z).h + z.H
//   h = g(X Wh' + (r.H) Rh' + bh), or with linear_before_reset g(X Wh' + wbh + r.(H Rh' + rbh))
// RNN: H' = f(X W' + H R' + b).
#include "ir/ops/recurrent.h"

namespace mezzo::ir {
namespace {

using namespace recurrent;

enum Gate : int64_t { kZ, kReset, kHidden, kGates };

RecurrentLayer gru_layer(const RecurrentDirection& d) {
  const int64_t hidden = d.shape.hidden;
  const bool linear = d.node.i("linear_before_reset") != 0;
  Value bias = d.bias_w(), inner = d.bias_r();
  if (bias) {
    Value outer = inner;
    if (linear)  // the last third joins the product inside the reset
      outer = pad(RecurrentDirection::rows(inner, 0, 2 * hidden), {0}, {hidden});
    bias = bias + outer;
  }
  RecurrentLayer out;
  out.states = {d.initial(kInitialH)};
  out.x = d.input_product(bias);
  Value r = d.part(kR);
  if (linear) {
    out.invariant = {r};
    if (inner)
      out.invariant.push_back(reshape(RecurrentDirection::rows(inner, 2 * hidden, 3 * hidden), {1, hidden}));
  } else {
    out.invariant = {RecurrentDirection::rows(r, 0, 2 * hidden),
                     RecurrentDirection::rows(r, 2 * hidden, 3 * hidden)};
  }
  const std::vector<Activation> functions = d.activations;
  out.step = [=](const RecurrentStep& s, Values& yields) -> Values {
    const Activation &f = functions[0], &g = functions[1];
    Value h = s.states[0], all = hidden_product(h, s.invariant[0]);
    yields.push_back(all);
    auto x = [&](int64_t k) { return gate(s.x, k, hidden); };
    Value z = f(x(kZ) + gate(all, kZ, hidden)), reset = f(x(kReset) + gate(all, kReset, hidden)), last;
    if (linear) {
      last = gate(all, kHidden, hidden);
      if (s.invariant.size() > 1) last = last + s.invariant[1];
      last = reset * last;
    } else {
      last = hidden_product(reset * h, s.invariant[1]);
      yields.push_back(last);
    }
    return {(1.0 - z) * g(x(kHidden) + last) + z * h};
  };
  return out;
}

const OpDef gru = {
    .name = "GRU",
    .min_inputs = 3,
    .max_inputs = 6,
    .attrs = recurrent_attrs({{"linear_before_reset", 0}}),
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) { return recurrent_types(n, kGates, 1); },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      return build_recurrent(n, in, kGates, {"Sigmoid", "Tanh"}, gru_layer);
    },
    .f32_inputs = {kB, kInitialH},
};
MEZZO_REGISTER_OP(gru);

RecurrentLayer rnn_layer(const RecurrentDirection& d) {
  Value bias = d.bias_w();
  RecurrentLayer out;
  out.states = {d.initial(kInitialH)};
  out.x = d.input_product(bias ? bias + d.bias_r() : bias);
  out.invariant = {d.part(kR)};
  const Activation f = d.activations[0];
  out.step = [=](const RecurrentStep& s, Values& yields) -> Values {
    Value all = s.x + hidden_product(s.states[0], s.invariant[0]);
    yields.push_back(all);
    return {f(all)};
  };
  return out;
}

const OpDef rnn = {
    .name = "RNN",
    .min_inputs = 3,
    .max_inputs = 6,
    .attrs = recurrent_attrs({}),
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) { return recurrent_types(n, 1, 1); },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      return build_recurrent(n, in, 1, {"Tanh"}, rnn_layer);
    },
    .f32_inputs = {kB, kInitialH},
};
MEZZO_REGISTER_OP(rnn);

}  // namespace
}  // namespace mezzo::ir
