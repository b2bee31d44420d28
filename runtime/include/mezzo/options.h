// options.h: what can be said about a training step before it is compiled.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mezzo/tensor.h"

namespace mezzo {

// Where the numbers of a matrix product or convolution are 16 bits wide. Weights, optimizer, loss and
// normalisation statistics stay f32 in every precision.
enum class Precision : uint8_t { fp32, bf16, fp16 };

// strict: every rounding of the precision plan happens, whoever computes. excess: matrix products may skip those
// between them and what follows (docs/numerics.md says which); their biases and bias gradients then have the type of
// the product. Results differ from strict ones by such roundings, and between devices no more than they do otherwise.
enum class Numerics : uint8_t { strict, excess };

// cpu: compiled kernels. reference: the interpreter that defines what every op means; slow, for comparisons. cuda: the
// first NVIDIA GPU that is visible; Error(unsupported) where there is none or a library it needs is missing.
enum class Device : uint8_t { cpu, reference, cuda };

// How the scalar that training minimises comes about. Semantics of the torch.nn losses of the same names,
// with mean reduction.
struct Loss {
  enum class Kind : uint8_t { cross_entropy, mse, l1, bce_with_logits, output };
  Kind kind = Kind::cross_entropy;
  // The name under which labels or targets are fed. Must not be that of a graph input.
  std::string labels = "labels";
  // cross_entropy: this part of the weight is spread evenly over all classes.
  double label_smoothing = 0;

  // Scores (N, C, ...) of the first output against class ids (N, ...) fed under `labels`; scores (..., C)
  // when only that shape fits.
  static Loss cross_entropy(double label_smoothing = 0) {
    return {Kind::cross_entropy, "labels", label_smoothing};
  }
  // The first output against targets of its shape, fed under `labels`.
  static Loss mse() { return {Kind::mse}; }
  static Loss l1() { return {Kind::l1}; }
  static Loss bce_with_logits() { return {Kind::bce_with_logits}; }
  // The model's first output is the loss.
  static Loss output() { return {Kind::output}; }
};

// Semantics and defaults of torch.optim.SGD, Adam and AdamW.
struct SGD {
  double lr = 0.01, momentum = 0, weight_decay = 0, dampening = 0;
  bool nesterov = false;
};
struct Adam {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};
struct AdamW {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};
using Optimizer = std::variant<SGD, Adam, AdamW>;

// What is different for some parameters. Each of the two is decided by the first group that matches a
// parameter and says something about it.
struct ParameterGroup {
  std::string match = "*";             // glob over initializer names
  std::optional<int64_t> max_rank;     // only parameters of at most so many dims
  std::optional<double> weight_decay;  // instead of the optimizer's
  std::optional<double> lr_scale;      // factor of the learning rate

  // No decay on biases and on the gains of norms: on everything of at most one dim.
  static ParameterGroup no_decay_on_vectors() { return {"*", 1, 0.0, {}}; }
};

// The learning rate over a run: lr(t) = lr * warm(t) * f(t), where t counts the steps so far, without skipped
// ones.
//   warm(t)     warmup_start + (1 - warmup_start) * t / warmup before step `warmup`, then 1     (torch:
//   LinearLR) step        gamma^floor(t / period) (StepLR) multi_step  gamma^(number of milestones <= t)
//   (MultiStepLR) cosine      final + (1 - final) * (1 + cos(pi * p)) / 2 (CosineAnnealingLR) linear      1 +
//   (final - 1) * p                                                             (LinearLR)
// with p = (t - warmup) / (total - warmup), cut to [0, 1]. step and multi_step multiply with the warm-up as
// in torch's ChainedScheduler, cosine and linear follow it as in SequentialLR.
struct Schedule {
  enum class Kind : uint8_t { constant, step, multi_step, cosine, linear };
  Kind kind = Kind::constant;
  int64_t warmup = 0;               // steps
  double warmup_start = 0;          // part of the learning rate in the first of them
  int64_t total = 0;                // cosine, linear: steps until the end, warm-up included
  double final_factor = 0;          // cosine, linear
  int64_t period = 0;               // step
  std::vector<int64_t> milestones;  // multi_step
  double gamma = 0.1;               // step, multi_step
};

// Loss scaling. `automatic` is dynamic for fp16 and none otherwise. The dynamic scale starts at `init`,
// doubles after `interval` clean steps, halves after one whose gradients are not finite (that step is skipped
// as a whole), and stays within [1, 2^24]. Semantics: torch.amp.GradScaler, plus the bounds.
struct LossScale {
  enum class Kind : uint8_t { automatic, none, fixed, dynamic };
  Kind kind = Kind::automatic;
  double init = 65536;
  int64_t interval = 2000;

  static LossScale none() { return {Kind::none}; }
  static LossScale fixed(double scale) { return {Kind::fixed, scale}; }
  static LossScale dynamic(double init = 65536, int64_t interval = 2000) {
    return {Kind::dynamic, init, interval};
  }
};

struct CompileOptions {
  // Shapes of graph inputs by name, for those the file leaves open. Inputs that are not named here get their
  // shapes from the first batch.
  std::map<std::string, Shape> inputs;
  Loss loss;
  Precision precision = Precision::fp32;
  Numerics numerics = Numerics::strict;
  Optimizer optimizer = SGD{};
  std::vector<ParameterGroup> groups;
  Schedule schedule;
  LossScale loss_scale;
  std::optional<double> clip_norm;  // bound of the global L2 norm of the gradients
  bool training = true;             // false: BatchNorm and Dropout as in inference, also in steps
  Device device = Device::cpu;
  std::vector<std::string> train;   // globs over initializer names; empty: all that can be trained
  std::vector<std::string> freeze;  // globs over initializer names that stay as they are
  bool tie_aliases = false;         // all names that the file gives an initializer are one parameter
  std::string precision_plan;       // text of a precision plan whose overrides are applied (not a path)
  uint64_t seed = 0;                // of Dropout and other random ops
  int threads = 0;                  // 0: all
  std::string cache_dir;            // compiled kernels; empty: $XDG_CACHE_HOME/mezzo, "none": no cache
  std::string dump_dir;             // every stage of the compilation is written there; empty: nowhere
};

}  // namespace mezzo
