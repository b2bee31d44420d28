// evaluation.h: how good a model is on a whole data set.
#pragma once
#include <cmath>

#include "runtime/data/source.h"
#include "runtime/session.h"

namespace mezzo::runtime {

struct Evaluation {
  double loss = NAN;              // mean over the samples
  double top1 = NAN, top5 = NAN;  // part of the labels that count; NaN where the loss has no classes
  int64_t samples = 0, corrupt = 0;
};

// Forward in inference mode with the f32 weights and the running statistics, over every sample once, in
// batches of `batch`; `depth` of them are read ahead. Throws Error(bad_input) when no sample can be read.
Evaluation evaluate(Session& session, const DataSource& data, int64_t batch, int64_t depth);

}  // namespace mezzo::runtime
