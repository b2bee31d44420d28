#include "frontend/objective.h"

#include <array>

#include "frontend/names.h"
#include "ir/build.h"

namespace mezzo::frontend {
namespace {

using ir::Dims;
using ir::Type;
using ir::Value;

constexpr std::array<std::string_view, 5> kNames{"cross_entropy", "mse", "l1", "bce_with_logits", "output"};

[[noreturn]] void fail(const ir::Output& output, const std::string& why, std::string hint = {}) {
  std::string name = printable(std::string_view(output.name).substr(7));  // behind "output:"
  throw Error(ErrorCode::bad_input,
              concat("output '", name, "' is ", ir::to_string(output.value.type()), ": ", why), name,
              std::move(hint));
}

// Labels that go with scores whose classes lie on axis 1, or on the last axis.
Dims labels_with_class_axis(const Dims& scores, size_t axis) {
  Dims out = scores;
  out.erase(out.begin() + static_cast<int64_t>(axis));
  return out;
}

constexpr int64_t kIgnoredLabel = -100;  // torch.nn.CrossEntropyLoss's default; ONNX has none

// (1 - part) * loss + part * mean over the labels that count of the mean over the classes of -log_prob: what
// torch.nn.CrossEntropyLoss computes from `label_smoothing`. 0 where no label counts.
Value smoothed(Value loss, Value log_prob, Value ids, double part) {
  Value counts = ir::logical_not(ir::equal(ids, ir::constant_like(ids, kIgnoredLabel)));
  Value each = ir::reduce_mean(log_prob, {1}, false), zero = ir::constant_like(each, 0);
  Value number = ir::reduce_sum(ir::cast(counts, loss.dtype()), {}, false);
  Value even = ir::reduce_sum(ir::where(counts, each, zero), {}, false) /
               ir::maximum(number, ir::constant_like(number, 1));
  return loss * (1 - part) - even * part;
}

Value cross_entropy(ir::Graph& graph, const ir::Output& output, const ObjectiveOptions& options) {
  Value scores = output.value;
  const Dims dims = scores.dims();
  if (dims.size() < 2)
    fail(output, "cross_entropy needs scores (N, C, ...)", "choose another loss with --loss");
  Dims second = labels_with_class_axis(dims, 1), last = labels_with_class_axis(dims, dims.size() - 1);
  Type labels{ir::DType::i64, second};
  if (options.labels) {
    labels = *options.labels;
    if (labels.dtype != ir::DType::i64 && labels.dtype != ir::DType::i32)
      fail(output, concat("the labels are ", ir::name(labels.dtype), ", class ids must be i64 or i32"));
    if (labels.dims != second && labels.dims != last)
      fail(output, concat("labels ", ir::to_string(labels.dims), " do not fit; expected ",
                          ir::to_string(second), second == last ? "" : concat(" or ", ir::to_string(last))));
  }
  Value ids = graph.input(options.labels_key, labels);
  if (labels.dims != second) {  // only (..., C) fits: each label has a row of scores, which stays where it is
    const int64_t classes = dims.back(), rows = ir::element_count(last);
    scores = ir::reshape(scores, {rows, classes});
    ids = ir::reshape(ids, {rows});
  }
  const ir::Values out =
      ir::apply_all("SoftmaxCrossEntropyLoss", {scores, ids}, {{"ignore_index", kIgnoredLabel}});
  return options.label_smoothing == 0 ? out[0] : smoothed(out[0], out[1], ids, options.label_smoothing);
}

}  // namespace

std::string_view name(Objective o) { return kNames[static_cast<size_t>(o)]; }

std::optional<Objective> parse_objective(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); i++)
    if (kNames[i] == text) return static_cast<Objective>(i);
  return std::nullopt;
}

void attach_objective(ir::Graph& graph, const ObjectiveOptions& options) {
  check(!graph.outputs.empty() && !graph.find_output("loss"),
        "attach_objective: no outputs, or a loss already");
  const ir::Output first = graph.outputs.front();
  if (!ir::is_float(first.value.dtype())) fail(first, "training needs a float output");
  ir::Scope scope(graph, ir::Phase::forward, {"loss"});
  if (options.kind == Objective::output) {
    if (first.value.type().count() != 1)
      fail(first, "it cannot be the loss, which is one number",
           "choose a loss with --loss, e.g. cross_entropy");
    graph.outputs.push_back(
        {"loss", ir::cast(ir::reshape(first.value, {}), ir::compute_type(first.value.dtype()))});
    return;
  }
  if (graph.find_input(options.labels_key))
    throw Error(
        ErrorCode::usage, concat("the model has an input '", printable(options.labels_key), "' of its own"),
        printable(options.labels_key), "name the labels differently with --labels, or use --loss output");
  // A 16-bit file's output is widened first: the loss is always computed in f32.
  ir::Output output = first;
  output.value = ir::cast(first.value, ir::compute_type(first.value.dtype()));
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
    throw Error(ErrorCode::usage, "label smoothing is a part, 0 to 1", "--label-smoothing");
  if (options.label_smoothing > 0 && options.kind != Objective::cross_entropy)
    throw Error(ErrorCode::usage, "label smoothing has a meaning for cross_entropy only",
                "--label-smoothing");
  Value loss;
  if (options.kind == Objective::cross_entropy) {
    loss = cross_entropy(graph, output, options);
  } else {
    if (options.labels && options.labels->dims != output.value.dims())
      fail(first, concat("targets ", ir::to_string(options.labels->dims), " must have the output's shape"));
    Value targets = graph.input(options.labels_key, output.value.type());
    std::string_view op = options.kind == Objective::mse  ? "MeanSquaredError"
                          : options.kind == Objective::l1 ? "MeanAbsoluteError"
                                                          : "BCEWithLogits";
    loss = ir::apply(op, {output.value, targets});
  }
  graph.outputs.push_back({"loss", loss});
}

}  // namespace mezzo::frontend
