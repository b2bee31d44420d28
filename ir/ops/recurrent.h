// recurrent.h: what LSTM, GRU and RNN share: their inputs and shapes, directions, activations, and the order
// in which a layer is built: one product of all inputs with W, then the loop over time.
#pragma once
#include "ir/op.h"
#include "ir/ops/time_loop.h"

namespace mezzo::ir {

// ONNX input positions; LSTM alone has the last two.
namespace recurrent {
enum Input : size_t { kX, kW, kR, kB, kLens, kInitialH, kInitialC, kP };
}

std::vector<AttrSpec> recurrent_attrs(std::vector<AttrSpec> more);

struct RecurrentShape {
  int64_t steps, batch, inputs, hidden, directions, gates;
  bool batch_first;
};
// Checks every input of `n`, whose gates' weights stand one below the other.
RecurrentShape recurrent_shape(const Node& n, int64_t gates);
// Types of Y and of `states` last values.
std::vector<Type> recurrent_types(const Node& n, int64_t gates, size_t states);

struct Activation {
  std::string name;
  double alpha, beta;
  double clip;  // of the argument; 0: none
  Value operator()(Value v) const;
};

// One direction of a layer, while it is built.
struct RecurrentDirection {
  const Node& node;
  const Values& in;
  RecurrentShape shape;
  int64_t number;
  std::vector<Activation> activations;
  DType wide;  // of gates and states

  // Direction `number` of input `i`, [D, ...] -> [...].
  Value part(size_t i) const;
  // Rows [begin, end) of v.
  static Value rows(Value v, int64_t begin, int64_t end);
  // Both biases [gates * H] in `wide`; absent without input B.
  Value bias_w() const;
  Value bias_r() const;
  // X W' + bias for all steps, [steps, batch, gates * H].
  Value input_product(Value bias) const;
  // A start state [batch, H] in `wide`: that given as input `i`, or zeros.
  Value initial(size_t i) const;
};

// The step of one direction under construction. Slices and states are of type `wide`.
struct RecurrentStep {
  Graph& body;
  Values states;     // as found
  Value x;           // its slice of input_product
  Values invariant;  // as listed by the layer
};

// What a kind of layer says of a direction.
struct RecurrentLayer {
  Values states;  // before the first step; the first is h
  Value x;        // input_product
  Values invariant;
  // The states as the step leaves them; values worth keeping for the gradient go to `yields`.
  std::function<Values(const RecurrentStep&, Values& yields)> step;
};

// The node's outputs: Y, then the last states. `layer` is asked once per direction.
Values build_recurrent(const Node& n, const Values& in, int64_t gates, const Strings& usual_activations,
                       const std::function<RecurrentLayer(const RecurrentDirection&)>& layer);

// h R' for h [batch, H] and R [N, H]: 16-bit operands where R has them, f32 sums.
Value hidden_product(Value h, Value r);
// Columns [k * H, (k + 1) * H) of a value [batch, n * H].
Value gate(Value all, int64_t k, int64_t hidden);

}  // namespace mezzo::ir
