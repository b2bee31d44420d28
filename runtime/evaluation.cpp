#include "runtime/evaluation.h"

#include <cmath>

#include "runtime/data/batch_loader.h"

namespace mezzo::runtime {

Evaluation evaluate(Session& session, const DataSource& data, int64_t batch, int64_t depth) {
  BatchLoader loader(data, BatchOrder(data.samples(), batch, false, 0), depth);
  Hits hits;
  Evaluation e;
  double sum = 0;
  for (bool last = false; !last;) {
    const Batch next = loader.next();
    last = next.ends_epoch;
    e.corrupt += next.rows.corrupt;
    if (next.rows.samples == 0) continue;
    const EvalOutcome outcome = session.evaluate(next.rows.arrays);
    // A shorter last batch weighs less.
    sum += outcome.loss * static_cast<double>(next.rows.samples);
    e.samples += next.rows.samples;
    hits += outcome.hits;
  }
  if (e.samples == 0)
    throw Error(ErrorCode::bad_input, "no sample to evaluate on can be read", {}, "check the files");
  e.loss = sum / static_cast<double>(e.samples);
  if (hits.counted == 0) return e;
  e.top1 = static_cast<double>(hits.right) / static_cast<double>(hits.counted);
  e.top5 = static_cast<double>(hits.in_top5) / static_cast<double>(hits.counted);
  return e;
}

}  // namespace mezzo::runtime
