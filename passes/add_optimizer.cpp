// add_optimizer: gradient outputs -> updates of parameters and slots, with the formulas of torch.optim in
// their order, in f32 on the master weights (f64 for f64). See docs/loss-scaling.md for the order of a step.
#include <map>
#include <tuple>

#include "ir/build.h"
#include "ir/glob.h"
#include "ir/op.h"
#include "passes/lr_factor.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using namespace ir;

namespace {

void must(bool ok, const char* message, const char* flag) {
  if (!ok) throw Error(ErrorCode::usage, message, flag);
}

void check_options(const Options& options) {
  const OptimizerOptions& o = *options.optimizer;
  must(o.lr >= 0, "the learning rate must not be negative", "--lr");
  must(o.weight_decay >= 0, "the weight decay must not be negative", "--weight-decay");
  must(!options.clip_norm || *options.clip_norm > 0, "the clip norm must be positive", "--clip-norm");
  if (o.kind == OptimizerKind::sgd) {
    must(o.momentum >= 0, "the momentum must not be negative", "--momentum");
    must(!o.nesterov || (o.momentum > 0 && o.dampening == 0), "Nesterov needs a momentum and no dampening",
         "--momentum");
  } else {
    must(0 <= o.beta1 && o.beta1 < 1 && 0 <= o.beta2 && o.beta2 < 1, "betas must be in [0, 1)", "--betas");
    must(o.eps >= 0, "eps must not be negative", "--eps");
  }
  for (const ParameterGroup& g : o.groups) {
    must(g.weight_decay.value_or(0) >= 0, "the weight decay of a group must not be negative", "--group");
    must(g.lr_scale.value_or(0) >= 0, "the factor of a group's learning rate must not be negative",
         "--group");
  }
}

bool belongs(const Node& parameter, const ParameterGroup& group) {
  return matches_glob(parameter.s("name"), group.match) &&
         (!group.max_rank || static_cast<int64_t>(parameter.type().dims.size()) <= *group.max_rank);
}

// A group of nothing is a slip of the pen.
void check_groups(const Graph& graph, const std::vector<size_t>& positions, const OptimizerOptions& o) {
  for (const ParameterGroup& group : o.groups) {
    bool any = false;
    for (size_t at : positions) any |= belongs(*parameter_of(graph, graph.outputs[at]), group);
    if (!any)
      throw Error(ErrorCode::usage, concat("group '", group.match, "' has no trained parameter"), group.match,
                  "`mezzo check` lists the names");
  }
}

// A gradient as the backward pass left it, when `g` is that times `unscale`; else `g`.
Value before_unscaling(Value g, Value unscale) {
  const Node& node = *g.node;
  if (!unscale || node.op().scalar.code != Code::mul) return g;
  Value factor = node.in(1);
  if (is_cast(*factor.node)) factor = factor.node->in(0);
  return factor == unscale ? node.in(0) : g;
}

// sqrt of the sum over all gradients of their squares, in f32. The gradients are unscaled inside the
// reductions: a scaled one may have a square beyond f32.
Value global_norm(Graph& graph, const Values& gradients, Value unscale) {
  Values sums;
  for (Value g : gradients) {
    Value v = unscale ? g * cast(unscale, g.dtype()) : g;
    sums.push_back(cast(reduce_sum(v * v, {}, false), DType::f32));
  }
  while (sums.size() > 1) {
    Values half;
    for (size_t i = 0; i + 1 < sums.size(); i += 2) half.push_back(sums[i] + sums[i + 1]);
    if (sums.size() % 2) half.push_back(sums.back());
    sums = std::move(half);
  }
  return sums.empty() ? graph.constant(0) : sqrt(sums[0]);
}

// Builds the update of one parameter after another. Numbers that depend on the step only are computed once,
// in f64 as PyTorch does in Python, and enter the arithmetic on parameters rounded to its type.
class Optimizer {
 public:
  Optimizer(Graph& graph, const OptimizerOptions& o) : graph_(graph), o_(o) {
    Value step = graph.state(kStep, {DType::i64, {}}, StateKind::counter);
    set(step, step + 1);
    first_ = equal(step, constant_like(step, 0));
    lr_ = graph.state(kLr, {DType::f64, {}}, StateKind::counter, o.lr);
    if (Value factor = lr_factor(step, o.schedule)) lr_ = lr_ * factor;
    if (o.kind == OptimizerKind::sgd) return;
    first_correction_ = 1.0 - power(kBeta1Power, o.beta1);
    second_correction_ = sqrt(1.0 - power(kBeta2Power, o.beta2));
  }

  // Moves `parameter` along its unscaled, clipped gradient `g`.
  void update(Node* parameter, Value g) {
    DType type = compute_type(parameter->type().dtype);
    Value p = cast(parameter->out(), type);
    g = cast(g, type);
    const std::string& name = parameter->s("name");
    const Numbers& step = numbers(type, *parameter);
    Value next = o_.kind == OptimizerKind::sgd ? sgd(name, p, g, step) : adam(name, p, g, step);
    next = cast(next, parameter->type().dtype);
    set(parameter->out(), next);
    for (Node* copy : copies_of(graph_, name)) set(copy->out(), cast(next, copy->type().dtype));
  }

 private:
  void set(Value state, Value v) { graph_.updates.push_back({state.node, v, false}); }

  // beta to the power of the step being taken. The state holds that of the committed steps, starting from 1.
  Value power(const char* name, double beta) {
    Value committed = graph_.state(name, {DType::f64, {}}, StateKind::slot, 1);
    Value now = committed * beta;
    set(committed, now);
    return now;
  }

  // What depends on the step and the group only, in the type of a parameter; made once.
  struct Numbers {
    Value step_size, keep, second_correction;
    double weight_decay;
  };
  const Numbers& numbers(DType type, const Node& parameter) {
    std::optional<double> decay, scale;
    for (const ParameterGroup& group : o_.groups) {
      if (!belongs(parameter, group)) continue;
      if (!decay) decay = group.weight_decay;
      if (!scale) scale = group.lr_scale;
    }
    const double weight_decay = decay.value_or(o_.weight_decay);
    auto [at, fresh] = numbers_.try_emplace({type, weight_decay, scale.value_or(1)});
    if (!fresh) return at->second;
    auto round = [&](Value v) { return v ? cast(v, type) : v; };
    const Value lr = scale.value_or(1) == 1 ? lr_ : lr_ * *scale;
    at->second = {round(first_correction_ ? lr / first_correction_ : lr), round(1.0 - lr * weight_decay),
                  round(second_correction_), weight_decay};
    return at->second;
  }

  Value slot(const std::string& parameter, const char* suffix, Value like) {
    return graph_.state(parameter + suffix, like.type(), StateKind::slot);
  }

  Value sgd(const std::string& name, Value p, Value g, const Numbers& step) {
    if (step.weight_decay != 0) g = g + p * step.weight_decay;
    if (o_.momentum != 0) {
      Value old = slot(name, ".momentum", p);
      Value fresh = o_.dampening == 0 ? g : g * (1 - o_.dampening);
      Value buffer = old * o_.momentum + fresh;
      // The first committed step takes the gradient undampened. Without dampening the zero start does the
      // same.
      if (o_.dampening != 0) buffer = where(first_, g, buffer);
      set(old, buffer);
      g = o_.nesterov ? g + buffer * o_.momentum : buffer;
    }
    return p - g * step.step_size;
  }

  Value adam(const std::string& name, Value p, Value g, const Numbers& step) {
    if (step.weight_decay != 0) {
      if (o_.kind == OptimizerKind::adamw)
        p = p * step.keep;
      else
        g = g + p * step.weight_decay;
    }
    Value old_mean = slot(name, ".exp_avg", p), old_square = slot(name, ".exp_avg_sq", p);
    Value mean = lerp(old_mean, g, 1 - o_.beta1);
    Value square = old_square * o_.beta2 + g * g * (1 - o_.beta2);
    set(old_mean, mean);
    set(old_square, square);
    Value denominator = sqrt(square) / step.second_correction + o_.eps;
    return p - mean / denominator * step.step_size;
  }

  // torch.lerp: measured from the nearer end.
  static Value lerp(Value a, Value b, double weight) {
    return weight < 0.5 ? a + (b - a) * weight : b - (b - a) * (1 - weight);
  }

  Graph& graph_;
  const OptimizerOptions& o_;
  Value first_, lr_, first_correction_, second_correction_;
  std::map<std::tuple<DType, double, double>, Numbers> numbers_;
};

}  // namespace

void add_optimizer(Graph& graph, const Options& options) {
  std::vector<size_t> positions = gradient_outputs(graph);
  if (!options.optimizer || positions.empty()) return;
  check_options(options);
  check_groups(graph, positions, *options.optimizer);
  Scope scope(graph, Phase::update, {});
  Value unscale = graph.find_output(kUnscale);
  Values gradients;
  for (size_t at : positions) gradients.push_back(before_unscaling(graph.outputs[at].value, unscale));
  Value norm = global_norm(graph, gradients, unscale);
  // One multiplier for unscaling and clipping, so that a gradient is read once and written never.
  Value multiplier = unscale;
  if (options.clip_norm) {
    Value clip = minimum(constant_like(norm, *options.clip_norm) / (norm + 1e-6), constant_like(norm, 1));
    multiplier = unscale ? unscale * clip : clip;
  }
  std::erase_if(graph.updates, [](const Update& u) { return u.value == u.state->out(); });
  Optimizer optimizer(graph, *options.optimizer);
  for (size_t k = 0; k < positions.size(); k++) {
    Value g = gradients[k];
    if (multiplier) g = g * cast(multiplier, g.dtype());
    optimizer.update(parameter_of(graph, graph.outputs[positions[k]]), g);
  }
  if (!options.gradient_outputs)
    std::erase_if(graph.outputs, [](const Output& o) { return o.name.starts_with(kGradPrefix); });
  std::erase_if(graph.outputs, [](const Output& o) { return o.name == kUnscale; });
  graph.outputs.push_back({kGradNorm, norm});
  graph.remove_dead_nodes();
}

}  // namespace mezzo::passes
