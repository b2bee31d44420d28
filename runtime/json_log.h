// json_log.h: the training log: one JSON object per line, flushed line by line so that it can be followed and
// survives an interrupt.
#pragma once
#include <fstream>
#include <string>

#include "mezzo/trainer.h"

namespace mezzo::runtime {

class JsonLog {
 public:
  // Truncates `path`. An empty path logs nothing. Errors, also later ones, are Error(bad_input) naming the
  // path.
  explicit JsonLog(std::string path);

  // {"step", "loss", "lr", "grad_norm", "scale", "skipped", "ms"}, and "overflow" {"node", "op", "phase"} for
  // a skipped step. Numbers that are not finite are null, because JSON has no word for them.
  void step(const StepResult& result);
  // {"epoch", "step", "eval_loss", "eval_top1"}; eval_top1 is null where it has no meaning.
  void evaluation(int64_t epoch, int64_t step, double loss, double top1);

 private:
  void line(const std::string& text);
  std::string path_;
  std::ofstream out_;
};

}  // namespace mezzo::runtime
