// scale_loss: LossSeed -> the loss scale; gradients -> unscaled gradients, the finite check and the scaler's
// updates. The state machine is described in docs/loss-scaling.md.
#include <algorithm>
#include <cmath>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

namespace {

bool power_of_two(double v) {
  int exponent = 0;
  return v > 0 && std::isfinite(v) && std::frexp(v, &exponent) == 0.5;
}

void must(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorCode::usage, message, "--loss-scale");
}

void check_options(const LossScaleOptions& o) {
  if (o.kind == LossScaleKind::none) return;
  must(o.init > 0 && std::isfinite(static_cast<float>(o.init)), "the loss scale must be positive and finite");
  if (o.kind == LossScaleKind::fixed) return;
  must(power_of_two(o.init), "a dynamic loss scale must start from a power of two");
  must(power_of_two(o.growth) && o.growth > 1, "the growth factor must be a power of two above 1");
  must(power_of_two(o.backoff) && o.backoff < 1, "the backoff factor must be a power of two below 1");
  must(o.interval >= 1 && o.interval <= INT32_MAX, "the growth interval must be between 1 and 2^31 - 1");
  must(0 < o.min && o.min <= o.init && o.init <= o.max,
       "the loss scale must start between its floor and its ceiling");
  must(std::isfinite(static_cast<float>(o.max)), "the ceiling of the loss scale must be finite in f32");
}

Value scale_state(Graph& graph, const LossScaleOptions& o) {
  return find_or_make_state(graph, kScale, {DType::f32, {}}, StateKind::scaler, o.init);
}

void seed_with_scale(Graph& graph, const LossScaleOptions& o) {
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(),
                   [](auto& node) { return is_loss_seed(*node); }))
    return;
  graph = rewrite(graph, [&](Graph& to, const Node& node, const Values&) -> std::optional<Values> {
    if (!is_loss_seed(node)) return std::nullopt;
    if (o.kind == LossScaleKind::none) return Values{to.constant(1, node.type().dtype)};
    return Values{cast(scale_state(to, o), node.type().dtype)};
  });
}

Value counter(Graph& graph, const char* name) {
  return graph.state(name, {DType::i64, {}}, StateKind::counter);
}

void update_always(Graph& graph, Value state, Value v) { graph.updates.push_back({state.node, v, true}); }

// f32: 0 when all gradients are finite, else n - k where k < n is the position of the first that is not. One
// reduction per gradient; a sum would miss or invent infinities.
Value badness(Graph& graph, const Values& gradients) {
  Values marks;
  for (size_t k = 0; k < gradients.size(); k++) {
    Value g = gradients[k];
    if (g.type().count() == 0) continue;
    Value bad = graph.constant(static_cast<double>(gradients.size() - k)), good = graph.constant(0);
    marks.push_back(reduce_max(where(is_finite(g), good, bad), {}, false));
  }
  // Pairwise, so that the depth stays logarithmic in the number of parameters.
  while (marks.size() > 1) {
    Values half;
    for (size_t i = 0; i + 1 < marks.size(); i += 2) half.push_back(maximum(marks[i], marks[i + 1]));
    if (marks.size() % 2) half.push_back(marks.back());
    marks = std::move(half);
  }
  return marks.empty() ? graph.constant(0) : marks[0];
}

// PyTorch's GradScaler.update, with a floor and a ceiling.
void update_scale(Graph& graph, Value scale, Value finite, const LossScaleOptions& o) {
  Value tracker = graph.state(kScaleTracker, {DType::i32, {}}, StateKind::scaler);
  Value clean = tracker + 1, none = constant_like(tracker, 0);
  Value grow = greater_equal(clean, constant_like(clean, static_cast<double>(o.interval)));
  // With max finite, growing never reaches infinity, even when the product does.
  Value grown = minimum(scale * o.growth, constant_like(scale, o.max));
  Value shrunk = maximum(scale * o.backoff, constant_like(scale, o.min));
  update_always(graph, scale, where(finite, where(grow, grown, scale), shrunk));
  update_always(graph, tracker, where(finite, where(grow, none, clean), none));
}

void count_steps(Graph& graph, Value finite) {
  Value attempted = counter(graph, kAttempted), row = counter(graph, kSkippedInARow);
  Value total = counter(graph, kSkippedTotal);
  update_always(graph, attempted, attempted + 1);
  update_always(graph, row, where(finite, constant_like(row, 0), row + 1));
  update_always(graph, total, where(finite, total, total + 1));
}

}  // namespace

void scale_loss(Graph& graph, const Options& options) {
  const LossScaleOptions& o = options.loss_scale;
  check_options(o);
  seed_with_scale(graph, o);
  std::vector<size_t> positions = gradient_outputs(graph);
  if (positions.empty()) return;

  Scope scope(graph, Phase::update, {});
  Values gradients;
  for (size_t at : positions) gradients.push_back(graph.outputs[at].value);
  Value bad = badness(graph, gradients);
  Value finite = equal(bad, constant_like(bad, 0));
  Value count = constant_like(bad, static_cast<double>(gradients.size()));
  Value first_bad = cast(where(finite, constant_like(bad, -1), count - bad), DType::i64);
  Value scale = o.kind == LossScaleKind::none ? graph.constant(1) : scale_state(graph, o);
  graph.outputs.push_back({kFinite, finite});
  graph.outputs.push_back({kFirstBad, first_bad});
  graph.outputs.push_back({kScaleUsed, scale});
  if (o.kind != LossScaleKind::none) {
    Value unscale = 1.0 / scale;
    for (size_t at : positions) {
      Value& g = graph.outputs[at].value;
      g = g * cast(unscale, g.dtype());
    }
    graph.outputs.push_back({kUnscale, unscale});
  }
  count_steps(graph, finite);
  if (o.kind == LossScaleKind::dynamic) update_scale(graph, scale, finite, o);
}

}  // namespace mezzo::passes
