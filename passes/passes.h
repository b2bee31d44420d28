// passes.h: every pass, with what it turns into what, and the options they read. A pass is a free function in a file of
// its own; the order stands in pipeline.cpp.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

enum class OptimizerKind : uint8_t { sgd, adam, adamw };
// What is different for some parameters. Each of the two is decided by the first group that matches a parameter and
// says something about it.
struct ParameterGroup {
  std::string match;                   // glob over names
  std::optional<int64_t> max_rank;     // only parameters of at most so many dims
  std::optional<double> weight_decay;  // instead of the optimizer's
  std::optional<double> lr_scale;      // factor of the learning rate
};
// How the learning rate changes over the steps: mezzo::Schedule says what the fields mean.
enum class ScheduleKind : uint8_t { constant, step, multi_step, cosine, linear };
struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  int64_t warmup = 0;
  double warmup_start = 0;
  int64_t total = 0;
  double final_factor = 0;
  int64_t period = 0;
  std::vector<int64_t> milestones;
  double gamma = 0.1;
};
// Semantics and defaults of torch.optim.{SGD,Adam,AdamW}.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0.01, momentum = 0, dampening = 0, weight_decay = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool nesterov = false;
  ScheduleOptions schedule;
  std::vector<ParameterGroup> groups;
};

enum class LossScaleKind : uint8_t { none, fixed, dynamic };
// The state machine of docs/loss-scaling.md; growth and backoff are powers of two.
struct LossScaleOptions {
  LossScaleKind kind = LossScaleKind::none;
  double init = 65536, growth = 2, backoff = 0.5, min = 1, max = 16777216;
  int64_t interval = 2000;
};

// What the precision plan shall do against the rules: all nodes whose ONNX name, op type or glob matches.
struct PrecisionOverride {
  std::string match;   // a node name, an op type, or a glob over node names
  ir::DType dtype;     // f32, bf16 or f16
};
struct PlanRow {
  std::string node;    // ONNX node name
  std::string value;   // the same, with the output's number where there are several
  std::string op;
  ir::DType dtype;
  std::string rule;    // why
  bool overridden = false;
};

// strict: every rounding of the precision plan happens. excess: plan_epilogues may skip some.
enum class Numerics : uint8_t { strict, excess };

struct Options {
  std::optional<ir::DType> low;  // bf16 or f16; none = all f32
  std::vector<PrecisionOverride> overrides;
  LossScaleOptions loss_scale;
  std::optional<OptimizerOptions> optimizer;  // none: gradients are outputs `grad:<parameter>`
  std::optional<double> clip_norm;
  int64_t accumulate = 1;                     // micro-batches per step; above 1 the pass `accumulate` splits the step
  int64_t samples = 1;                        // in the graph's batch: the weight of its loss in an accumulation window
  bool gradient_outputs = false;              // also with an optimizer
  bool channels_last = true;                  // assign_layout
  Numerics numerics = Numerics::strict;       // plan_epilogues
  bool bias_in_products = false;              // join_bias: the backend adds a bias while it stores a product
  bool run_ahead = false;                     // the pass run_ahead
  std::vector<PlanRow>* plan = nullptr;       // filled by assign_precision
};

using ir::Graph;

// What exporters write for ops that their opset lacks -> these ops. Never needed for correctness.
void recognize(Graph&, const Options&);
// Inserts Casts so that matrix products and convolutions run in `low`; fills the plan with the reason for every value.
void assign_precision(Graph&, const Options&);
// Appends the backward graph of output "loss" (seed: LossSeed) and outputs `grad:<name>` for every parameter state.
void autodiff(Graph&, const Options&);
// Cast(parameter) to 16 bits -> a state that the optimizer writes in the same pass as the parameter.
void keep_copies(Graph&, const Options&);
// With micro-batches, between autodiff and scale_loss: leaves in the graph what one micro-batch does (forward, backward,
// adding `samples` times loss and gradients to accumulators, pending statistics) and returns the graph that ends a window:
// loss and gradients as means over all samples of the window, whatever the sizes of its micro-batches, commit of the
// statistics, accumulators back to zero. Both graphs go through the passes that follow and share their states by name;
// all updates of the micro-batch graph are unconditional, the scale is constant inside a window.
[[nodiscard]] Graph accumulate(Graph& micro, const Options&);
// LossSeed -> the loss scale state; gradients are unscaled in f32; adds the finite check and the scaler's updates. What
// the graph lacks (a seed in the second graph of accumulate, gradients in the first) is left out.
void scale_loss(Graph&, const Options&);
// Gradient outputs -> parameter and slot updates (norm, clip, optimizer), in f32 on the master weights.
void add_optimizer(Graph&, const Options&);
// Ops that count bad indices -> outputs `faults:<node>`; where one is not 0, no state changes at all.
void catch_faults(Graph&, const Options&);
// For a device that gets a step before the host has seen the one in front of it: a step behind one that did not commit
// changes no state, and so on until the host takes back state `mezzo.hold`. The random key counts the steps by itself.
void run_ahead(Graph&, const Options&);
// update s = v -> update s = Where(finite, v, s), except for unconditional updates.
void guard_updates(Graph&, const Options&);
// A value that trace_overflow watches.
struct TracePoint {
  std::string what;  // op name; "input NAME" or "state NAME" for leaves
  ir::Phase phase;
  ir::Origin origin;
};
// A step (after scale_loss) -> the program that finds out why it was skipped: no updates, one output `bad_node`, the
// position in the returned table of the first value, in execution order, that is not finite (-1: none). Run on the batch
// and the unchanged state of the skipped step; it costs nothing in steps that commit.
[[nodiscard]] std::vector<TracePoint> trace_overflow(Graph&, const Options&);
// Composite ops -> scalar, index, reduce and kernel primitives, with explicit Casts around 16-bit floats.
void expand(Graph&, const Options&);
// Algebraic rules that keep every bit: x*1, x+0, cast pairs whose inner cast widens, movement of movement.
void simplify(Graph&, const Options&);
// Nodes on constants only -> their value.
void fold_constants(Graph&, const Options&);
// Equal nodes -> one.
void cse(Graph&, const Options&);
// NCHW convolutions and windows -> channels-last ones; transposes sink until they cancel.
void assign_layout(Graph&, const Options&);
// Matrix products and what follows them -> DotEpilogue nodes, as far as the numerics allow.
void plan_epilogues(Graph&, const Options&);
// Products take over the addition of a bias and its rounding, where the backend does both while it stores.
void join_bias(Graph&, const Options&);
// Primitives -> Kernel nodes with bodies (codegen/README.md says which bodies are legal).
void fuse(Graph&, const Options&);
// A linear order with small peak memory; sets Graph::scheduled.
void schedule(Graph&, const Options&);
// Offsets of every value in one arena; states and graph inputs live outside it.
void plan_memory(Graph&, const Options&);

}  // namespace mezzo::passes
