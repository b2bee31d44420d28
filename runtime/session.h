// session.h: a model in training: what stands behind mezzo::Trainer and the command line.
#pragma once
#include <chrono>
#include <deque>
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
  StepResult step(std::vector<Arrays> window);
  // The same in three parts. stage(): the window is checked, and sent to the device when there is one; bad
  // feeds are thrown here. start(): the step on it is handed to the device (the CPU takes it at once); the
  // next window may be staged then. finish(): waits for the step that was started first.
  void stage(std::vector<Arrays> window);
  bool has_staged() const { return staged_.has_value(); }
  void start();
  // Whether start() may come before finish() of the step under way. When that step turns out to be skipped,
  // the device holds back the one behind it, and finish() hands it over again.
  bool may_start_ahead() const;
  bool is_under_way() const { return !under_way_.empty(); }
  bool on_device() const { return device_ != nullptr; }
  StepResult finish();
  // One step with the time of each launch added to `nanoseconds`.
  void step_timed(const Arrays& feeds, std::vector<int64_t>& nanoseconds);
  EvalOutcome evaluate(const Arrays& feeds);
  GradientOutcome gradients(const Arrays& feeds);

  // Compiles the step now if the shapes of all inputs are known from the options and the file.
  void prepare_from_options();
  // Compiles what `purpose` needs for batches of this signature, unless that is there already.
  const Compiled& prepare(const Signature& signature, Purpose purpose, const Arrays& values = {});
  // `told` is called with the plan of a training step before its memory is taken, when it is larger than
  // those before.
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
  struct Moment {
    std::chrono::steady_clock::time_point time;
    double compiling_ms;  // until then
  };
  struct Window {
    std::vector<Arrays> batches;
    std::vector<Bound> bound;
    bool sent = false;  // to the device
    double ms = 0;      // that staging took while no step was under way
    // From when it is started.
    std::vector<int64_t> draws;  // one per batch
    double base_lr = 0;
    Moment started = {};
    StepProgram& last_program() const {  // whose outputs are the step's
      const Compiled& c = *bound.back().compiled;
      return bound.size() == 1 ? *c.program : *c.window_end;
    }
  };
  std::vector<Bound> bind_window(const std::vector<Arrays>& batches);
  // What the step on this window returned.
  Arrays outputs_of(const Window& w);
  // The step that was started behind one that did not commit is only staged again. False if there is none.
  bool take_back();
  Moment now() const { return {std::chrono::steady_clock::now(), compiling_ms_}; }
  double ms_since(const Moment& moment) const;  // without compilations
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
  std::optional<int64_t> key_draw_;  // of the random key on the device; unknown: none
  std::optional<Window> staged_;
  std::deque<Window> under_way_;
  Moment finished_ = {};  // the last step
  std::function<void(const passes::MemoryReport&)> tell_plan_;
  int64_t told_bytes_ = 0;  // of the largest plan told
};

// The learning rate the optimizer starts with.
double initial_lr(const Optimizer& optimizer);

// Inference on one batch: outputs by name in the model's types.
Arrays infer(const LoadedModel& model, const Arrays& feeds, const CompileOptions& options);

}  // namespace mezzo::runtime
