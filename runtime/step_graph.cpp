#include "runtime/step_graph.h"

#include "frontend/objective.h"
#include "passes/differentiable.h"
#include "passes/step_names.h"
#include "runtime/feeds.h"
#include "runtime/schedule.h"

namespace mezzo::runtime {
namespace {

frontend::Objective objective_of(Loss::Kind kind) {
  switch (kind) {
    case Loss::Kind::cross_entropy: return frontend::Objective::cross_entropy;
    case Loss::Kind::mse: return frontend::Objective::mse;
    case Loss::Kind::l1: return frontend::Objective::l1;
    case Loss::Kind::bce_with_logits: return frontend::Objective::bce_with_logits;
    case Loss::Kind::output: return frontend::Objective::output;
  }
  throw InternalError("unknown loss");
}

passes::OptimizerOptions optimizer_options(const Optimizer& optimizer) {
  passes::OptimizerOptions out;
  if (auto* sgd = std::get_if<SGD>(&optimizer)) {
    out.kind = passes::OptimizerKind::sgd;
    out.lr = sgd->lr;
    out.momentum = sgd->momentum;
    out.dampening = sgd->dampening;
    out.weight_decay = sgd->weight_decay;
    out.nesterov = sgd->nesterov;
    return out;
  }
  auto take = [&](const auto& adam) {
    out.lr = adam.lr;
    out.beta1 = adam.beta1;
    out.beta2 = adam.beta2;
    out.eps = adam.eps;
    out.weight_decay = adam.weight_decay;
  };
  if (auto* adam = std::get_if<Adam>(&optimizer)) {
    out.kind = passes::OptimizerKind::adam;
    take(*adam);
  } else {
    out.kind = passes::OptimizerKind::adamw;
    take(std::get<AdamW>(optimizer));
  }
  return out;
}

passes::LossScaleOptions loss_scale_options(const LossScale& scale, Precision precision) {
  using Kind = LossScale::Kind;
  passes::LossScaleOptions out;
  Kind kind = scale.kind;
  if (kind == Kind::automatic) kind = precision == Precision::fp16 ? Kind::dynamic : Kind::none;
  out.kind = kind == Kind::dynamic ? passes::LossScaleKind::dynamic
             : kind == Kind::fixed ? passes::LossScaleKind::fixed
                                   : passes::LossScaleKind::none;
  out.init = scale.init;
  out.interval = scale.interval;
  return out;
}

}  // namespace

LoadedModel::LoadedModel(const std::string& file_path)
    : path(file_path), file(frontend::ModelFile::read(path)), inputs(frontend::model_inputs(file)) {}

std::vector<std::string> LoadedModel::input_names() const {
  std::vector<std::string> names;
  for (auto& input : inputs) names.push_back(input.name);
  return names;
}

int64_t Signature::samples() const {
  for (auto& [name, dims] : shapes)
    if (!dims.empty()) return dims[0];
  return 1;
}

StepGraph build_step_graph(const LoadedModel& model, const Signature& signature,
                           const CompileOptions& options, Purpose purpose, const Arrays& values) {
  frontend::ImportOptions import;
  import.shapes = signature.shapes;
  import.tie_aliases = options.tie_aliases;
  import.mode = is_training(purpose) && options.training ? frontend::Mode::train : frontend::Mode::eval;
  for (auto& [name, tensor] : values) import.values[name] = std::make_shared<ir::Tensor>(tensor);
  frontend::Imported imported = frontend::import_model(model.file, import);
  StepGraph out{std::move(imported.graph), std::move(imported.report), {}, {}, 0};
  if (!out.graph.outputs.empty()) out.first_output = out.graph.outputs.front().name;
  if (purpose == Purpose::infer) return out;

  std::optional<ir::Type> labels;
  if (signature.labels) {
    bool ids = options.loss.kind == Loss::Kind::cross_entropy;
    labels = ir::Type{ids ? ir::DType::i64 : ir::DType::f32, *signature.labels};
  }
  frontend::attach_objective(out.graph, {objective_of(options.loss.kind), options.loss.labels, labels,
                                         options.loss.label_smoothing});
  if (options.loss.kind == Loss::Kind::cross_entropy) {
    const ir::Dims& scores = out.graph.outputs.front().value.dims();
    int64_t axis = class_axis(scores, out.graph.find_input(options.loss.labels)->type().dims);
    if (axis >= 0) out.classes = scores[static_cast<size_t>(axis)];
  }
  if (!is_training(purpose)) return out;

  {  // the analysis points into the graph, which freezing rewrites
    passes::Differentiable ways(out.graph, out.graph.find_output(passes::kLoss));
    out.parameters = frontend::select_trainable(
        out.graph, {options.train, options.freeze, std::move(imported.roles)},
        [&](const ir::Node& state) { return ways.tie(state) != passes::Differentiable::Tie::none; });
  }
  frontend::freeze_parameters(out.graph, out.parameters);
  // A step returns numbers; the model's outputs would only be copied.
  if (purpose != Purpose::gradients)
    std::erase_if(out.graph.outputs, [](const ir::Output& o) { return o.name != passes::kLoss; });
  return out;
}

passes::Options pass_options(const CompileOptions& options, Purpose purpose, int64_t samples) {
  passes::Options out;
  out.samples = samples;
  out.bias_in_products = options.device == Device::cpu;
  if (!is_training(purpose)) return out;
  if (options.precision == Precision::bf16) out.low = ir::DType::bf16;
  if (options.precision == Precision::fp16) out.low = ir::DType::f16;
  if (options.numerics == Numerics::excess) out.numerics = passes::Numerics::excess;
  out.loss_scale = loss_scale_options(options.loss_scale, options.precision);
  out.clip_norm = options.clip_norm;
  out.accumulate =
      purpose == Purpose::window ? 2 : 1;  // how many micro-batches there are is decided at run time
  out.run_ahead = purpose == Purpose::train && options.device == Device::cuda;
  if (purpose == Purpose::train || purpose == Purpose::window)
    out.optimizer = optimizer_options(options.optimizer);
  if (out.optimizer) {
    out.optimizer->schedule = schedule_options(options.schedule);
    for (const ParameterGroup& group : options.groups)
      out.optimizer->groups.push_back({group.match, group.max_rank, group.weight_decay, group.lr_scale});
  }
  return out;
}

}  // namespace mezzo::runtime
