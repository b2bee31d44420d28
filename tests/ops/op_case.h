// op_case.h: the op suite's cases, one per line of tests/ops/cases.txt, as one-op graphs. Used by the tests
// of every layer that gives ops a meaning: evaluator and gradients (tests/passes), backends (tests/codegen).
#pragma once
#include <ostream>
#include <random>

#include "ir/graph.h"
#include "ir/op.h"

namespace mezzo::ir {

// One input. Floats are drawn from [low, high]: distinct, never 0 and never a multiple of a half, so that no
// op stands at a kink; integers from low..high. With `values`, exactly these.
struct InputCase {
  bool absent = false;
  Type type;
  double low = -2, high = 2;
  std::vector<double> values;
};

struct OpCase {
  std::string line;
  int number = 0;     // of the line in the file
  unsigned seed = 0;  // of the drawn inputs: a hash of the line, so that other lines do not matter
  const OpDef* op = nullptr;
  std::vector<InputCase> inputs;
  Attrs attrs;
  // Options behind '|'.
  std::vector<int> grad_outputs;  // outputs=0,1: those the gradient test sums; default: all floats
  double tolerance = 2e-5;        // tol=: rounded f32 against exact, relative to max(1, |exact|)
  bool low = true;                // low=no: no 16-bit form
  double roundings = 1;           // roundings=: how many of the result's the 16-bit form may be off (a chain of products)
  bool grad = true;               // grad=no: no gradient test (a case about values, e.g. at infinities)
};

// How GoogleTest shows a case.
inline void PrintTo(const OpCase& c, std::ostream* out) { *out << c.line; }

// The lines of tests/ops/cases.txt. Throws Error naming the line that is wrong.
std::vector<OpCase> load_op_cases();

// What another implementation computes (tests/ops/expected.txt, written by expected.py): a case with explicit
// inputs and the elements of its first outputs.
struct ExpectedCase {
  OpCase op_case;
  std::vector<std::vector<double>> outputs;
};
std::vector<ExpectedCase> load_expected();

// The graph of one case: inputs x0, x1, ... (or parameter states, for gradients) and outputs y0, y1, ...;
// every f32 input and float attribute type is replaced by `real`, except that 16-bit forms keep the op's
// f32_inputs.
struct BuiltCase {
  Graph graph;
  std::map<std::string, Tensor> feeds;
  Node* node = nullptr;
};
BuiltCase build_op_case(const OpCase& c, DType real = DType::f32, bool inputs_are_parameters = false);

// Puts output "loss" in the place of the outputs: the weighted sum of those that the case names, or of all
// floats. False when there is none.
bool attach_loss(const OpCase& c, BuiltCase& built);

}  // namespace mezzo::ir
