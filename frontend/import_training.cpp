// import_training.cpp: what differs between training and inference: BatchNormalization with its running
// statistics, Dropout with its random key, and Identity aliases of weights.
#include <algorithm>

#include "frontend/importer.h"
#include "frontend/metadata.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/philox.h"

namespace mezzo::frontend {

using ir::Value;
using ir::Values;

namespace {

// The state behind a value: directly, or widened or narrowed by the Cast of a 16-bit file.
ir::Node* state_behind(Value v) {
  if (v && ir::is_cast(*v.node)) v = v.node->in(0);
  return v && ir::is_state(*v.node) ? v.node : nullptr;
}

}  // namespace

void Importer::set_training(Call& call) {
  statistic_state_.clear();
  if (call.op == "BatchNormalization") set_batch_norm_mode(call);
  if (call.op == "Dropout") set_dropout_mode(call);
}

// The flag is overridden only where the running statistics are weights of the model: an exporter also writes
// instance normalisation as a BatchNormalization on computed statistics, which normalises by its input in
// inference too.
void Importer::set_batch_norm_mode(Call& call) {
  ir::Node* mean = state_behind(call.in(3));
  ir::Node* var = state_behind(call.in(4));
  bool training = call.integer("training_mode", 0) != 0;
  if (mean && var && options_.mode != Mode::as_exported) {
    bool wanted = options_.mode == Mode::train;
    overridden_ += wanted != training;
    training = wanted;
  }
  call.attrs["training_mode"] = int64_t{training};
  for (ir::Node* state : {mean, var})
    if (state) state->set_attr("kind", std::string(ir::name(ir::StateKind::statistic)));
  if (!training || !mean || !var) return;
  // A layer applied twice continues from its own newest statistics.
  size_t input = 3;
  for (ir::Node* state : {mean, var}) {
    if (auto it = statistic_update_.find(state); it != statistic_update_.end())
      call.inputs[input] = ir::cast(graph_.updates[it->second].value, call.inputs[input].dtype());
    statistic_state_.push_back(state->out());
    input++;
  }
}

void Importer::keep_statistics(const Call& call, Values& results) {
  // A node exported in training mode and run as in inference: its statistics stay what they are.
  if (call.op == "BatchNormalization" && results.size() == 1)
    results.insert(results.end(), {call.in(3), call.in(4)});
  for (size_t i = 0; i < statistic_state_.size(); i++) {
    ir::Node* state = statistic_state_[i].node;
    Value newest = ir::cast(results[i + 1], state->type().dtype);
    auto [it, fresh] = statistic_update_.emplace(state, graph_.updates.size());
    if (fresh)
      graph_.updates.push_back({state, newest});
    else
      graph_.updates[it->second].value = newest;
  }
  statistic_state_.clear();
}

Value Importer::random_key() {
  if (ir::Node* key = graph_.find_state(ir::kRandomKey)) return key->out();
  ir::Scope scope(graph_, ir::Phase::forward, {});
  return graph_.state(ir::kRandomKey, {ir::DType::u32, {2}}, ir::StateKind::key);
}

void Importer::set_dropout_mode(Call& call) {
  bool training = call.integer("training_mode", 0) != 0;
  if (options_.mode != Mode::as_exported) {
    bool wanted = options_.mode == Mode::train;
    overridden_ += wanted != training;
    training = wanted;
  }
  call.attrs["training_mode"] = int64_t{training};
  call.attrs["stream"] = streams_++;
  call.inputs.resize(1);
  if (training) call.inputs.push_back(random_key());
}

void Importer::pass_identity(const FlatNode& flat, Call& call) {
  if (!call.in(0) && flat.node->input_size() == 1 && is_sequence(flat.node->input(0))) {
    call.results = Values{};
    return give_sequence(flat, call, 0, flat.node->input(0));
  }
  if (!call.in(0)) malformed(call, "input 0 is required");
  Value value = call.in(0);
  if (ir::is_float(value.dtype()) && comes_from_detach(*flat.node)) {
    call.results = Values{graph_.add(ir::get_op("StopGradient"), {value})->out()};
    return;
  }
  ir::Node* state = state_behind(value);
  const std::string alias = flat.node->output_size() > 0 ? flat.node->output(0) : "";
  if (!state || !aliases_.count(alias)) {
    call.results = Values{value};
    return;
  }
  result_.report.aliases.push_back({alias, state->s("name"), options_.tie_aliases});
  if (options_.tie_aliases) {
    call.results = Values{value};
    return;
  }
  ir::Scope scope(graph_, ir::Phase::forward, {});
  call.results = Values{add_parameter(alias, graph_.tensors.at(state->s("name")), value.dtype())};
}

}  // namespace mezzo::frontend
