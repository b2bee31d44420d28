// training.h: the loop of `mezzo train`: steps, evaluations, what is written when.
#pragma once
#include <deque>
#include <exception>
#include <memory>
#include <optional>

#include "runtime/checkpoint.h"
#include "runtime/cli/duration.h"
#include "runtime/cli/flags.h"
#include "runtime/data/batch_loader.h"
#include "runtime/evaluation.h"
#include "runtime/json_log.h"

namespace mezzo::cli {

// Places in a run are counted in windows: each is one optimizer step on up to --accumulate batches of one
// epoch. With
// --checkpoint everything that decides how the run goes on is saved between two windows.
class Training {
 public:
  Training(const Flags& flags, std::shared_ptr<const runtime::LoadedModel> model);
  // Returns false when it was interrupted; the weights are then those after the last complete step.
  bool run();
  void save() { session_->save_onnx(flags_.out); }
  bool has_stepped() const { return last_.step > 0; }
  // The summary on stdout.
  void print_json() const;

 private:
  // The batches of one step, and where the run is behind them.
  struct Window {
    std::vector<runtime::Arrays> batches;
    runtime::BatchOrder::Place place;
    bool ends_epoch = false;
    int64_t corrupt = 0;
  };
  Window gather();
  // Gathers the window behind the one under way, and sends it to the device.
  void stage_next() noexcept;
  // The next window; nothing when none of its samples could be read. `ahead`: the one behind it may be
  // started before it is over.
  std::optional<StepResult> step(bool ahead);
  void take_place(const Window& window);
  void evaluate(int64_t epoch);
  // Whether what happens every so often happens after the window that ends at `place` and makes them `done`.
  bool is_due(const Duration& every, int64_t done, bool ends_epoch,
              const runtime::BatchOrder::Place& place) const;
  bool is_due(const Duration& every) const { return is_due(every, done_, at_epoch_end_, place_); }
  // Whether the window under way must be over before the next one changes the states.
  bool is_looked_at(const Window& under_way) const;
  void report_epoch(int64_t epoch, bool evaluated) const;
  // The place of the run as JSON; and going on from the newest checkpoint. Returns the length the log had
  // there.
  std::string record() const;
  int64_t resume();

  const Flags& flags_;
  std::unique_ptr<runtime::DataSource> data_, eval_;
  std::optional<runtime::Session> session_;
  std::optional<runtime::BatchLoader> loader_;
  std::optional<runtime::JsonLog> log_;
  std::optional<runtime::CheckpointFolder> checkpoints_;
  Duration eval_every_, checkpoint_every_;
  int64_t windows_per_epoch_ = 0, windows_ = 0, done_ = 0;
  runtime::BatchOrder::Place place_;
  bool at_epoch_end_ = false;
  int64_t skipped_ = 0, corrupt_ = 0;
  double epoch_loss_ = 0;
  int64_t epoch_steps_ = 0;
  StepResult last_;
  std::deque<Window> under_way_;   // without their batches
  std::optional<Window> next_;     // gathered already
  std::exception_ptr next_error_;  // what that threw
  std::optional<runtime::Evaluation> final_, best_;
};

}  // namespace mezzo::cli
