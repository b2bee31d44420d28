// time_loop.cpp: TimeLoop, the one op besides Kernel that has a body: a loop over time inside a graph
// without loops.
//
// Why not unrolled: at 128 steps an LSTM has some 8,000 nodes forward and backward in each direction, every
// pass walks and prints them, and slicing time makes every step's kernels differ in a constant. As a body the
// step is compiled once and the graph does not grow with time. What does not depend on the past (the product
// of all inputs with W) stays outside as one product over all steps.
#include "ir/ops/time_loop.h"

#include "ir/op.h"

namespace mezzo::ir {
namespace {

Dims stacked(int64_t steps, const Dims& dims) {
  Dims out{steps};
  out.insert(out.end(), dims.begin(), dims.end());
  return out;
}

std::vector<Type> infer(const Node& n) {
  check(n.body != nullptr, "a TimeLoop needs a body");
  const int64_t steps = n.i("steps");
  const auto carried = static_cast<size_t>(n.i("carried")), scanned = static_cast<size_t>(n.i("scanned"));
  require(steps >= 1, steps, " steps; at least 1");
  require(carried + scanned <= n.input_count() && carried <= n.body->outputs.size(), carried, " carried and ",
          scanned, " scanned values, but ", n.input_count(), " inputs and ", n.body->outputs.size(),
          " results of a step");
  std::vector<Type> last, history, yields;
  for (size_t k = 0; k < n.body->outputs.size(); k++) {
    const Type& t = n.body->outputs[k].value.type();
    const Type all{t.dtype, stacked(steps, t.dims)};
    if (k >= carried) {
      yields.push_back(all);
      continue;
    }
    require(n.in_type(k) == t, "carried value ", k, " starts as ", to_string(n.in_type(k)), " and becomes ",
            to_string(t));
    last.push_back(t);
    history.push_back(all);
  }
  for (size_t i = carried; i < carried + scanned; i++)
    require(n.in_type(i).rank() >= 1 && n.in_type(i).dims[0] == steps, "scanned input ", i, " is ",
            to_string(n.in_type(i)), " for ", steps, " steps");
  last.insert(last.end(), history.begin(), history.end());
  last.insert(last.end(), yields.begin(), yields.end());
  return last;
}

// Input k holds the carried values at first; the pass autodiff differentiates the body, see
// passes/autodiff_time_loop.cpp.
Values differentiated_by_its_body(Grad&) { throw InternalError("TimeLoop has no gradient rule of its own"); }

const OpDef time_loop_op = {
    .name = "TimeLoop",
    .min_inputs = 1,
    .max_inputs = kAnyNumber,
    .attrs = {{"steps", int64_t{1}, AttrSpec::required},
              {"carried", int64_t{0}, AttrSpec::required},
              {"scanned", int64_t{0}, AttrSpec::required},
              {"reverse", int64_t{0}}},
    .precision = Precision::fixed,
    .meaning = Meaning::leaf,
    .infer = infer,
    .grad = differentiated_by_its_body,
};
MEZZO_REGISTER_OP(time_loop_op);

}  // namespace

bool is_time_loop(const Node& n) { return &n.op() == &time_loop_op; }

TimeLoopResults time_loop(const TimeLoopSpec& spec, std::unique_ptr<Graph> body) {
  Values inputs = spec.carried;
  inputs.insert(inputs.end(), spec.scanned.begin(), spec.scanned.end());
  inputs.insert(inputs.end(), spec.invariant.begin(), spec.invariant.end());
  check(!inputs.empty(), "time_loop: needs an input to know the graph");
  Attrs attrs{{"steps", spec.steps},
              {"carried", static_cast<int64_t>(spec.carried.size())},
              {"scanned", static_cast<int64_t>(spec.scanned.size())}};
  if (spec.reverse) attrs["reverse"] = int64_t{1};
  Graph& graph = inputs[0].node->graph();
  Node* node = graph.add(time_loop_op, std::move(inputs), std::move(attrs), std::move(body));
  TimeLoopResults out;
  const size_t carried = spec.carried.size();
  for (int k = 0; k < node->output_count(); k++) {
    const auto at = static_cast<size_t>(k);
    (at < carried ? out.last : at < 2 * carried ? out.history : out.yields).push_back(node->out(k));
  }
  return out;
}

size_t carried_count(const Node& n) { return static_cast<size_t>(n.i("carried")); }

TimeLoopSpec spec_of(const Node& n) {
  const Values& in = n.inputs();
  const auto carried = static_cast<int64_t>(carried_count(n)), scanned = carried + n.i("scanned");
  return {{in.begin(), in.begin() + carried},
          {in.begin() + carried, in.begin() + scanned},
          {in.begin() + scanned, in.end()},
          n.i("steps"),
          n.i("reverse") != 0};
}

}  // namespace mezzo::ir
