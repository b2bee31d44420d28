// trainer.h: a model being trained.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/options.h"
#include "mezzo/tensor.h"

namespace mezzo {

// The first value that was not finite in a skipped step, in order of execution.
struct Overflow {
  // The ONNX node (several, separated by ", ", when the value stems from several), graph input or
  // initializer.
  std::string node;
  // What computed it; "input" or "state" (a weight) for what was not computed; "" when unknown.
  std::string op;
  std::string phase;  // "forward", "backward" or "update"
};

struct StepResult {
  int64_t step = 0;      // attempted steps so far, this one included; counts from 1
  double loss = 0;       // mean over the samples of the step, unscaled
  double grad_norm = 0;  // global L2 norm of the unscaled gradients, before clipping
  double scale = 1;      // the loss scale this step used
  bool skipped = false;  // gradients were not finite: weights, slots, counters and statistics are as before
  double lr = 0;         // the one this step used
  double ms = 0;         // wall-clock milliseconds, without the compilation a new input signature causes
  std::optional<Overflow> overflow;  // set when skipped
};

struct EvalResult {
  double loss = 0;  // NaN when no labels were fed
  Tensors outputs;  // of the model, by name
};

struct Gradients {
  double loss = 0;
  Tensors outputs;    // of the model, by name, f32
  Tensors gradients;  // by initializer name, f32, unscaled
};

// Owns the weights, the optimizer's state and the loss scale. Two trainers may be used from two threads; one
// trainer from one thread at a time. Feeds are converted to the types of the graph inputs (integers and
// floats of any width to floats, integers to integers); a feed with a wrong name, shape or kind, class ids
// out of range and NaN are Error(bad_input) that name it, and leave the trainer as it was.
class Trainer {
 public:
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  // One optimizer step on one batch: `feeds` holds every graph input by name, first axis the samples, and
  // "labels" unless the loss is an output. A batch of other shapes than before compiles another step, which
  // is kept. Throws Error(check_failed) after 10 skipped steps in a row, naming the first value that was not
  // finite.
  StepResult step(const Tensors& feeds);
  // One optimizer step on a window of micro-batches, of any sizes: loss and gradient are means over all their
  // samples.
  StepResult step(const std::vector<Tensors>& window);

  // Forward in inference mode (running statistics, no Dropout), in f32; changes nothing. "labels" may be left
  // out.
  EvalResult evaluate(const Tensors& feeds);
  // Loss and gradients of one batch as a step computes them, before clipping; changes nothing.
  Gradients gradients(const Tensors& feeds);

  // Names of the trained initializers, sorted; empty before the first compilation.
  std::vector<std::string> parameters() const;
  // The present value of a trained initializer or running statistic. Throws Error(usage) for another name.
  Tensor parameter(const std::string& name) const;
  // The learning rate of the next step.
  double lr() const;
  // The rate that the schedule multiplies.
  void set_lr(double lr);

  // The model's file with the present values of its initializers, everything else byte for byte as it was.
  // Atomic: an existing file is replaced only by a complete one.
  void save_onnx(const std::string& path) const;

  // Everything a later load_checkpoint needs to go on bit for bit: weights, optimizer state, statistics, loss
  // scale, counters. A safetensors file with a hash per tensor. Atomic.
  void save_checkpoint(const std::string& path) const;
  // Throws Error(bad_input), before anything has changed, for a file that is damaged or of another model.
  void load_checkpoint(const std::string& path);

 private:
  friend class Model;
  struct State;
  explicit Trainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezzo
