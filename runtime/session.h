// session.h: a model in training: what stands behind mezzo::Trainer and the command line.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "mezzo/trainer.h"
#include "runtime/compile.h"
#include "runtime/feeds.h"
#include "runtime/schedule.h"

namespace mezzo::runtime {

struct EvalOutcome {
  double loss = 0;  // NaN without labels
  Hits hits;        // for cross_entropy; else none
  Arrays outputs;   // by name, in the model's types
};
struct GradientOutcome {
  double loss = 0;
  Arrays outputs, gradients;  // f32
  double scale = 1;           // the loss scale they were computed with
  bool finite = true;
};

// Names of states that belong to the model's file.
struct SessionNames {
  std::vector<std::string> trained, statistics;  // sorted
};

// The states of a model in training and the programs that move them: one per purpose and signature, compiled
// when it is first needed and kept. Not thread-safe; different sessions are independent.
class Session {
 public:
  Session(std::shared_ptr<const LoadedModel> model, CompileOptions options);

  // See Trainer.
  StepResult step(const std::vector<Arrays>& window);
  // The same in two parts. The window is checked, and sent to the device when there is one; bad feeds are
  // thrown here. Then the step on it: `meanwhile` is called when it is under way on a device (on the CPU
  // never), may stage the next window, and must not throw.
  void stage(std::vector<Arrays> window);
  bool has_staged() const { return staged_.has_value(); }
  StepResult step_staged(const std::function<void()>& meanwhile = {});
  // One step with the time of each launch added to `nanoseconds`.
  void step_timed(const Arrays& feeds, std::vector<int64_t>& nanoseconds);
  EvalOutcome evaluate(const Arrays& feeds);
  GradientOutcome gradients(const Arrays& feeds);

  // Compiles the step now if the shapes of all inputs are known from the options and the file.
  void prepare_from_options();
  // Compiles what `purpose` needs for batches of this signature, unless that is there already.
  const Compiled& prepare(const Signature& signature, Purpose purpose, const Arrays& values = {});
  // `told` is called with the plan of a training step before its memory is taken, when it is larger than those before.
  void tell_plans(std::function<void(const passes::MemoryReport&)> told) { tell_plan_ = std::move(told); }

  // Of the next step; and what the schedule multiplies.
  double lr() const;
  double base_lr() const { return lr_; }
  void set_lr(double lr) { lr_ = lr; }
  const States& states() const { return states_; }
  SessionNames names() const;
  // Random draws so far: one per micro-batch, so that no two see the same numbers.
  int64_t draws() const { return draws_; }
  // Goes on from what states(), names() and draws() once were. Throws Error(usage) when states of a program
  // that is already compiled would get another type.
  void restore(Arrays states, const SessionNames& names, int64_t draws);
  // Names of the trained initializers, sorted; empty before the first compilation.
  std::vector<std::string> parameters() const;
  // Present value of a parameter or statistic; Error(usage) for another name.
  const ir::Tensor& parameter(const std::string& name) const;
  // The model's file with the present values in place of its initializers, everything else as it was. Atomic.
  void save_onnx(const std::string& path) const;
  const LoadedModel& model() const { return *model_; }
  const CompileOptions& options() const { return options_; }
  // Bytes of everything the session holds: states and working memory.
  int64_t bytes() const;

 private:
  // A batch with the program for it, checked and converted.
  struct Bound {
    const Compiled* compiled;
    Signature signature;
    Arrays feeds;
  };
  struct Window {
    std::vector<Arrays> batches;
    std::vector<Bound> bound;
    bool sent = false;  // to the device
    double ms = 0;      // that staging took while no step was under way
  };
  std::vector<Bound> bind_window(const std::vector<Arrays>& batches);
  StepResult run_window(const std::vector<Arrays>& batches, std::vector<Bound> bound,
                        const RunExtras& extras);
  // `batch` says in messages which one it is: "step 3: ", or "".
  Bound bind(const Arrays& feeds, Purpose purpose, const std::string& batch);
  void set_step_states(int64_t draw);
  void reset_window();
  double number(const Arrays& outputs, const std::string& name) const;
  int64_t counter(const char* name) const;
  // Runs the step again, watching every value; the scale is the one the skipped step used.
  Overflow find_overflow(const std::vector<Arrays>& window, const std::vector<int64_t>& draws, float scale);

  std::shared_ptr<const LoadedModel> model_;
  CompileOptions options_;
  std::shared_ptr<codegen::Device> device_;  // null: the host is the device
  States states_;
  Arena arena_;
  std::map<std::pair<Purpose, Signature>, Compiled> programs_;
  std::set<std::string> trained_, statistics_;
  LrFactor lr_factor_;
  double lr_;
  double compiling_ms_ = 0;  // spent so far
  int64_t draws_ = 0;
  std::optional<Window> staged_;
  bool under_way_ = false;  // a step is
  std::function<void(const passes::MemoryReport&)> tell_plan_;
  int64_t told_bytes_ = 0;  // of the largest plan told
};

// The learning rate the optimizer starts with.
double initial_lr(const Optimizer& optimizer);

// Inference on one batch: outputs by name in the model's types.
Arrays infer(const LoadedModel& model, const Arrays& feeds, const CompileOptions& options);

}  // namespace mezzo::runtime
