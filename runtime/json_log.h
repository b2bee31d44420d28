// json_log.h: the training log: one JSON object per line, flushed line by line so that it can be followed and
// survives an interrupt.
#pragma once
#include <fstream>
#include <string>

#include "mezzo/trainer.h"
#include "runtime/evaluation.h"

namespace mezzo::runtime {

class JsonLog {
 public:
  // Keeps the first `keep` bytes of the file and goes on behind them; a file shorter than that is an error.
  // An empty path logs nothing. Errors, also later ones, are Error(bad_input) naming the path.
  explicit JsonLog(std::string path, int64_t keep = 0);
  // Length of the file.
  int64_t bytes() const { return bytes_; }

  // {"step", "loss", "lr", "grad_norm", "scale", "skipped", "ms"}, and "overflow" {"node", "op", "phase"} for
  // a skipped step. Numbers that are not finite are null, because JSON has no word for them.
  void step(const StepResult& result);
  // {"epoch", "step", "eval_loss", "eval_top1", "eval_top5"}; the last two are null where they have no
  // meaning.
  void evaluation(int64_t epoch, int64_t step, const Evaluation& evaluation);

 private:
  void line(const std::string& text);
  std::string path_;
  std::ofstream out_;
  int64_t bytes_ = 0;
};

}  // namespace mezzo::runtime
