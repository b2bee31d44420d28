// step_names.h: the names by which passes, trainer and checkpoints know the step's own outputs and states.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

// Outputs of a training step.
inline constexpr const char* kLoss = "loss";           // of the batch (apply graph: mean over the window)
inline constexpr const char* kGradPrefix = "grad:";    // + parameter: its gradient, unscaled
inline constexpr const char* kFinite = "finite";       // bool: all gradients are finite, so the step commits
inline constexpr const char* kFirstBad = "first_bad";  // i64: see below; -1: none
inline constexpr const char* kScaleUsed = "scale";     // f32: the loss scale of this step
inline constexpr const char* kUnscale = "unscale";     // f32: 1 / scale, absent without loss scaling
inline constexpr const char* kGradNorm =
    "grad_norm";  // f32: global L2 norm of the unscaled gradients, before the clip
inline constexpr const char* kFaultPrefix = "faults:";  // + node, i64: bad indices it met, see catch_faults
inline constexpr const char* kBadNode = "bad_node";     // i64: see trace_overflow

// first_bad is the position of the first gradient that is not finite, among the trained parameters in order
// of names.

// States. docs/loss-scaling.md says which are updated on skipped steps.
inline constexpr const char* kScale = "mezzo.scale";                 // f32
inline constexpr const char* kScaleTracker = "mezzo.scale_tracker";  // i32: clean steps since the last change
inline constexpr const char* kAttempted = "mezzo.attempted";         // i64: steps, skipped ones too
inline constexpr const char* kSkippedInARow = "mezzo.skipped_in_a_row";  // i64
inline constexpr const char* kSkippedTotal = "mezzo.skipped_total";      // i64
inline constexpr const char* kStep = "mezzo.step";                       // i64: committed steps
inline constexpr const char* kLr = "mezzo.lr";                   // f64: learning rate before the schedule
inline constexpr const char* kBeta1Power = "mezzo.beta1_power";  // f64: beta1 to the power of committed steps
inline constexpr const char* kBeta2Power = "mezzo.beta2_power";  // f64
inline constexpr const char* kHold = "mezzo.hold";  // bool: the step before did not commit, see run_ahead
// Accumulation over micro-batches.
inline constexpr const char* kLossSum = "mezzo.loss_sum";     // f32: sum over samples of the window
inline constexpr const char* kSampleCount = "mezzo.samples";  // i64: samples of the window so far
inline constexpr const char* kGradSumSuffix =
    ".grad_sum";  // parameter +: sum over samples of its scaled gradient
inline constexpr const char* kPendingSuffix = ".pending";  // state +: its value if the window commits

// The state that holds a parameter in 16 bits, and the other way round.
std::string copy_name(const std::string& parameter, ir::DType low);
std::string copied_parameter(const std::string& copy);
// The copies of a parameter that the graph has.
std::vector<ir::Node*> copies_of(const ir::Graph& graph, const std::string& parameter);

// Positions in graph.outputs of the gradients, in order of the parameters' names.
std::vector<size_t> gradient_outputs(const ir::Graph& graph);
// The parameter state that output `grad:<name>` belongs to.
ir::Node* parameter_of(const ir::Graph& graph, const ir::Output& gradient);
// The state of this name, made if the graph has none.
ir::Value find_or_make_state(ir::Graph& graph, const char* name, ir::Type type, ir::StateKind kind,
                             double init);

}  // namespace mezzo::passes
