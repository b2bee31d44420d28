// The public Trainer and Model: thin faces of Session.
#include "mezzo/trainer.h"

#include "mezzo/mezzo.h"
#include "runtime/checkpoint.h"
#include "runtime/session.h"
#include "runtime/tensor_conversion.h"

namespace mezzo {

const char* version() { return "0.1.0"; }

struct Trainer::State {
  runtime::Session session;
};

Trainer::Trainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

StepResult Trainer::step(const Tensors& feeds) {
  std::vector<runtime::Arrays> window;
  window.push_back(runtime::from_public(feeds));
  return state_->session.step(std::move(window));
}

StepResult Trainer::step(const std::vector<Tensors>& window) {
  std::vector<runtime::Arrays> batches;
  for (const Tensors& feeds : window) batches.push_back(runtime::from_public(feeds));
  return state_->session.step(std::move(batches));
}

EvalResult Trainer::evaluate(const Tensors& feeds) {
  runtime::EvalOutcome outcome = state_->session.evaluate(runtime::from_public(feeds));
  return {outcome.loss, runtime::to_public(outcome.outputs)};
}

Gradients Trainer::gradients(const Tensors& feeds) {
  runtime::GradientOutcome outcome = state_->session.gradients(runtime::from_public(feeds));
  return {outcome.loss, runtime::to_public(outcome.outputs), runtime::to_public(outcome.gradients)};
}

std::vector<std::string> Trainer::parameters() const { return state_->session.parameters(); }
Tensor Trainer::parameter(const std::string& name) const {
  return runtime::to_public(state_->session.parameter(name));
}
double Trainer::lr() const { return state_->session.lr(); }
void Trainer::set_lr(double lr) { state_->session.set_lr(lr); }
void Trainer::save_checkpoint(const std::string& path) const {
  runtime::write_checkpoint(path, state_->session, {});
}
void Trainer::load_checkpoint(const std::string& path) { runtime::read_checkpoint(path, state_->session); }
void Trainer::save_onnx(const std::string& path) const { state_->session.save_onnx(path); }

struct Model::State {
  explicit State(const std::string& path) : model(std::make_shared<runtime::LoadedModel>(path)) {}
  std::shared_ptr<const runtime::LoadedModel> model;
};

Model::Model(std::shared_ptr<const State> state) : state_(std::move(state)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

Model Model::load(const std::string& path) { return Model(std::make_shared<const State>(path)); }

Trainer Model::compile(const CompileOptions& options) const {
  auto state = std::make_unique<Trainer::State>(Trainer::State{runtime::Session(state_->model, options)});
  state->session.prepare_from_options();
  return Trainer(std::move(state));
}

Tensors Model::run(const Tensors& feeds, Device device) const {
  CompileOptions options;
  options.device = device;
  return runtime::to_public(runtime::infer(*state_->model, runtime::from_public(feeds), options));
}

}  // namespace mezzo
