// time_loop.h: a step graph that runs over the time axis, for what depends on its own past: LSTM, GRU, RNN.
#pragma once
#include "ir/build.h"

namespace mezzo::ir {

// Inputs of the body, in order: the carried values as the step finds them, one slice of every scanned input,
// the invariant inputs. Its outputs: the carried values as the step leaves them, then what each step yields.
struct TimeLoopSpec {
  Values carried;  // before the first step
  Values scanned;  // [steps, ...]
  Values invariant;
  int64_t steps = 0;
  bool reverse = false;  // from the last slice to the first
};

// Results: the carried values after the last step (one per carried), their history (after every step, [steps,
// ...], at the step's place in `scanned`), and the yields, [steps, ...].
struct TimeLoopResults {
  Values last, history, yields;
};
TimeLoopResults time_loop(const TimeLoopSpec& spec, std::unique_ptr<Graph> body);

// What a TimeLoop node was made with, and its parts.
TimeLoopSpec spec_of(const Node& loop);
size_t carried_count(const Node& loop);

}  // namespace mezzo::ir
