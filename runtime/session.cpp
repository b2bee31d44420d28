#include "runtime/session.h"

#include <chrono>
#include <cmath>
#include <limits>

#include "frontend/export.h"
#include "ir/philox.h"
#include "passes/step_names.h"
#include "runtime/data.h"
#include "runtime/schedule.h"

namespace mezzo::runtime {
namespace {

constexpr int64_t kMaxSkipsInARow = 10;
constexpr std::string_view kOutputPrefix = "output:";

std::string without(std::string_view prefix, const std::string& name) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

std::string join(const ir::Origin& origin) {
  std::string out;
  for (auto& name : origin) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::string describe(const Overflow& o) {
  if (o.op.empty()) return "no single value of it is known";
  return concat("the first is ", o.op, o.node.empty() ? "" : concat(" '", o.node, "'"), " in the ", o.phase,
                " pass");
}

// The outputs of a run without its counts of bad indices; throws where one is not 0 (the run then changed no
// state).
Arrays checked(Arrays outputs) {
  const std::string prefix = passes::kFaultPrefix;
  for (auto at = outputs.lower_bound(prefix); at != outputs.end() && at->first.starts_with(prefix);) {
    const int64_t faults = at->second.get_int(0);
    const std::string node = without(prefix, at->first);
    if (faults > 0)
      throw Error(
          ErrorCode::bad_input,
          concat(faults, faults == 1 ? " label or index of '" : " labels or indices of '", node,
                 faults == 1 ? "' is out of range" : "' are out of range"),
          node,
          "labels must lie between 0 and the number of classes - 1 or equal ignore_index, indices within "
          "the extent they select from");
    at = outputs.erase(at);
  }
  return outputs;
}

// Refuses a step whose plan does not fit into what is free on the device, before anything is allocated.
void require_memory(codegen::Device* device, const Compiled& c, int64_t missing_states, int64_t arena_bytes) {
  if (!device) return;
  const passes::MemoryReport& m = c.memory;
  const int64_t arena = m.arena + m.scratch;
  int64_t need = missing_states + std::max<int64_t>(0, arena - arena_bytes) + m.inputs + m.constants;
  int64_t free = device->free_bytes();
  if (need <= free) return;
  std::string parts;
  for (auto& [what, bytes] : m.categories()) parts += concat(parts.empty() ? "" : ", ", what, " ", bytes);
  throw Error(ErrorCode::out_of_memory,
              concat("the step needs ", need, " bytes of the device's memory, ", free, " are free: ", parts,
                     " (at the arena's peak: activations ", m.activations, ", gradients ", m.gradients,
                     ", results ", m.results, ", temporaries ", m.temporaries, ")"),
              "cuda", "use a smaller batch, or several with --accumulate, or a 16-bit precision");
}

// What f32 consumers expect: floats of any width as f32, the rest as it is.
ir::Tensor as_f32(ir::Tensor t) { return ir::is_float(t.dtype()) ? t.cast(ir::DType::f32) : t; }

}  // namespace

double initial_lr(const Optimizer& optimizer) {
  return std::visit([](const auto& o) { return o.lr; }, optimizer);
}

Session::Session(std::shared_ptr<const LoadedModel> model, CompileOptions options)
    : model_(std::move(model)),
      options_(std::move(options)),
      device_(options_.device == Device::cuda ? codegen::open_cuda_device() : nullptr),
      states_(device_),
      arena_(device_),
      lr_factor_((check_schedule(options_.schedule), options_.schedule)),
      lr_(initial_lr(options_.optimizer)) {}

double Session::lr() const { return lr_ * lr_factor_.at(counter(passes::kStep)); }

void Session::prepare_from_options() {
  std::optional<Signature> signature = signature_from_options(*model_, options_.inputs);
  if (signature) prepare(*signature, Purpose::train);
}

const Compiled& Session::prepare(const Signature& signature, Purpose purpose, const Arrays& values) {
  auto found = programs_.find({purpose, signature});
  if (found != programs_.end()) return found->second;
  Compiled compiled = compile_step(*model_, signature, options_, purpose, values, device_);
  if (tell_plan_ && purpose <= Purpose::window && compiled.memory.total() > told_bytes_) {
    told_bytes_ = compiled.memory.total();
    tell_plan_(compiled.memory);
  }
  require_memory(device_.get(), compiled, states_.missing_bytes(compiled.states), arena_.bytes());
  states_.adopt(compiled.states);
  compiling_ms_ += compiled.milliseconds;
  if (is_dumped(purpose)) options_.dump_dir.clear();  // the files are those of the first signature
  for (auto& row : compiled.parameters)
    if (row.trainable) trained_.insert(row.name);
  for (auto& node : compiled.states.nodes())
    if (node->s("kind") == ir::name(ir::StateKind::statistic)) statistics_.insert(node->s("name"));
  // Labels that were not known are those the objective asked for, so that the first batch finds this program.
  Signature complete = signature;
  for (const Port& port : compiled.program->inputs())
    if (port.name == options_.loss.labels && options_.loss.kind != Loss::Kind::output)
      complete.labels = port.type.dims;
  return programs_.insert_or_assign(std::pair(purpose, complete), std::move(compiled)).first->second;
}

SessionNames Session::names() const { return {parameters(), {statistics_.begin(), statistics_.end()}}; }

void Session::restore(Arrays states, const SessionNames& names, int64_t draws) {
  states_.restore(std::move(states));
  trained_ = {names.trained.begin(), names.trained.end()};
  statistics_ = {names.statistics.begin(), names.statistics.end()};
  draws_ = draws;
  key_draw_.reset();
}

std::vector<std::string> Session::parameters() const { return {trained_.begin(), trained_.end()}; }

const ir::Tensor& Session::parameter(const std::string& name) const {
  if (!trained_.count(name) && !statistics_.count(name))
    throw Error(ErrorCode::usage, concat("'", name, "' is no parameter or statistic of the compiled step"),
                name,
                concat("see `mezzo inspect` for the names",
                       trained_.empty() ? "; nothing has been compiled yet" : ""));
  return states_.at(name);
}

void Session::save_onnx(const std::string& path) const {
  std::map<std::string, ir::TensorPtr> values;
  for (auto* names : {&trained_, &statistics_})
    for (const std::string& name : *names)
      values[name] = ir::TensorPtr(ir::TensorPtr(), &states_.at(name));  // points, owns nothing
  frontend::export_model(model_->file, values, path, options_.tie_aliases);
}

Session::Bound Session::bind(const Arrays& feeds, Purpose purpose, const std::string& batch) {
  bool need_labels = purpose != Purpose::infer;
  Signature signature = signature_of(*model_, feeds, options_.loss, need_labels);
  if (purpose == Purpose::infer) signature.labels.reset();
  for (auto& [name, tensor] : feeds)
    if (is_training(purpose)) refuse_nan(name, tensor);
  for (auto& [name, dims] : options_.inputs)
    if (signature.shapes.count(name) && signature.shapes[name].size() != dims.size())
      throw Error(ErrorCode::bad_input,
                  concat("input '", name, "' has shape ", ir::to_string(signature.shapes[name]),
                         ", the step was asked for with ", ir::to_string(dims)),
                  name);
  const Compiled& compiled = prepare(signature, purpose, feeds);
  if (need_labels && options_.loss.kind == Loss::Kind::cross_entropy && compiled.classes > 0)
    check_class_ids(options_.loss.labels, feeds.at(options_.loss.labels), compiled.classes, batch);
  return {&compiled, signature, bind_feeds(*compiled.program, feeds)};
}

double Session::number(const Arrays& outputs, const std::string& name) const {
  auto found = outputs.find(name);
  return found == outputs.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.get(0);
}

int64_t Session::counter(const char* name) const {
  return states_.has(name) ? states_.at(name).get_int(0) : 0;
}

// What a step reads and the host knows; on a device that runs ahead it has it already.
void Session::set_step_states(int64_t draw) {
  auto set = [&](const char* name, double v) {
    if (states_.has(name) && std::as_const(states_).at(name).get(0) != v) states_.at(name).set(0, v);
  };
  set(passes::kLr, lr_);
  set(passes::kHold, 0);
  if (!states_.has(ir::kRandomKey) || key_draw_ == draw) return;
  ir::Tensor& key = states_.at(ir::kRandomKey);
  key.set_int(0, static_cast<int64_t>(options_.seed ^ (options_.seed >> 32)));
  key.set_int(1, draw);
  key_draw_ = draw;
}

void Session::reset_window() {
  for (const std::string& name : states_.names())
    if (name.ends_with(passes::kGradSumSuffix) || name == passes::kLossSum || name == passes::kSampleCount)
      states_.set(name, ir::Tensor(states_.type(name)));
}

StepResult Session::step(std::vector<Arrays> window) {
  check(under_way_.empty(), "a step behind one that was not finished");
  stage(std::move(window));
  start();
  return finish();
}

double Session::ms_since(const Moment& moment) const {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - moment.time).count() -
         (compiling_ms_ - moment.compiling_ms);
}

void Session::stage(std::vector<Arrays> window) {
  check(under_way_.size() <= 1, "a window is staged behind two steps under way");
  const Moment begun = now();
  staged_.reset();
  Window w{std::move(window), {}};
  w.bound = bind_window(w.batches);
  if (under_way_.empty())
    w.ms = ms_since(begun);
  else if (w.bound.size() == 1)
    w.sent = w.bound[0].compiled->program->stage(w.bound[0].feeds);
  staged_ = std::move(w);
}

std::vector<Session::Bound> Session::bind_window(const std::vector<Arrays>& batches) {
  if (batches.empty()) throw Error(ErrorCode::usage, "a step needs at least one batch");
  const bool single = batches.size() == 1;
  std::vector<Bound> bound;
  for (size_t i = 0; i < batches.size(); i++) {
    std::string batch =
        concat("step ", counter(passes::kAttempted) + 1 + static_cast<int64_t>(under_way_.size()));
    if (!single) batch += concat(", micro-batch ", i + 1);
    bound.push_back(bind(batches[i], single ? Purpose::train : Purpose::window, batch + ": "));
  }
  return bound;
}

bool Session::may_start_ahead() const {
  return staged_ && under_way_.size() == 1 && states_.has(passes::kHold) && staged_->bound.size() == 1 &&
         &staged_->last_program() == &under_way_[0].last_program() &&
         staged_->last_program().most_under_way() > 1;
}

void Session::start() {
  check(staged_.has_value(), "a step on a window that nobody staged");
  check(under_way_.empty() || may_start_ahead(), "a step is started ahead that must not be");
  Window w = std::move(*staged_);
  staged_.reset();
  w.base_lr = lr_;
  w.started = now();
  try {
    const bool single = w.bound.size() == 1;
    for (const Bound& b : w.bound) {
      w.draws.push_back(draws_++);
      set_step_states(w.draws.back());
      b.compiled->program->start(b.feeds, states_, arena_, single && w.sent);
      if (b.compiled->program->counts_draws()) key_draw_ = draws_;
      if (!single) checked(b.compiled->program->finish(states_));
    }
    if (!single) w.bound.back().compiled->window_end->start({}, states_, arena_);
  } catch (...) {
    reset_window();
    throw;
  }
  under_way_.push_back(std::move(w));
}

Arrays Session::outputs_of(const Window& w) try { return w.last_program().finish(states_); } catch (...) {
  reset_window();
  throw;
}

bool Session::take_back() {
  key_draw_.reset();
  if (under_way_.empty()) return false;
  Window w = std::move(under_way_.front());
  under_way_.pop_front();
  outputs_of(w);  // it changed nothing
  draws_ -= static_cast<int64_t>(std::exchange(w.draws, {}).size());
  w.sent = false;
  staged_ = std::move(w);
  return true;
}

StepResult Session::finish() {
  check(!under_way_.empty(), "a step is finished that was not started");
  Window w = std::move(under_way_.front());
  under_way_.pop_front();
  Arrays outputs = outputs_of(w);
  const bool held = number(outputs, passes::kFinite) == 0 && take_back();
  outputs = checked(std::move(outputs));
  StepResult result;
  const bool ahead = finished_.time > w.started.time;
  result.ms = w.ms + ms_since(ahead ? finished_ : w.started);
  finished_ = now();
  result.step = counter(passes::kAttempted);
  result.loss = number(outputs, passes::kLoss);
  result.grad_norm = number(outputs, passes::kGradNorm);
  result.scale = number(outputs, passes::kScaleUsed);
  result.skipped = number(outputs, passes::kFinite) == 0;
  result.lr = w.base_lr * lr_factor_.at(counter(passes::kStep) - !result.skipped);
  if (!result.skipped) return result;
  result.overflow = find_overflow(w.batches, w.draws, static_cast<float>(result.scale));
  if (counter(passes::kSkippedInARow) >= kMaxSkipsInARow)
    throw Error(
        ErrorCode::check_failed,
        concat(kMaxSkipsInARow, " steps in a row were skipped because gradients were not finite (scale ",
               result.scale, "); ", describe(*result.overflow)),
        result.overflow->node,
        options_.precision == Precision::fp32
            ? "lower the learning rate, or look for divisions and logarithms of zero"
            : "keep that node in f32 with --plan, use --precision bf16, or lower the learning rate");
  if (held) start();
  return result;
}

Overflow Session::find_overflow(const std::vector<Arrays>& window, const std::vector<int64_t>& draws,
                                float scale) {
  for (size_t i = 0; i < window.size(); i++) {
    Bound b = bind(window[i], Purpose::trace, "");
    set_step_states(draws[i]);
    ir::Tensor next_scale;
    bool scaled = states_.has(passes::kScale);
    if (scaled) {
      next_scale = states_.at(passes::kScale);
      states_.at(passes::kScale).set(0, scale);
    }
    Arrays outputs = checked(b.compiled->program->run(b.feeds, states_, arena_));
    if (scaled) states_.at(passes::kScale) = std::move(next_scale);
    auto at = outputs.at(passes::kBadNode).get_int(0);
    if (at < 0) continue;
    check(at < static_cast<int64_t>(b.compiled->points.size()), "trace_overflow: position ", at);
    const passes::TracePoint& point = b.compiled->points[static_cast<size_t>(at)];
    std::string phase(ir::name(point.phase));
    for (const char* leaf : {"input", "state"})
      if (point.what.starts_with(concat(leaf, " ")))
        return {without(concat(leaf, " "), point.what), leaf, phase};
    return {join(point.origin), point.what, phase};
  }
  // Finite in every micro-batch, so it is their sum that is not.
  return {{}, {}, "backward"};
}

void Session::step_timed(const Arrays& feeds, std::vector<int64_t>& nanoseconds) {
  check(under_way_.empty(), "a step is timed behind one that was not finished");
  Bound b = bind(feeds, Purpose::train, "");
  set_step_states(draws_++);
  Arrays outputs = b.compiled->program->run_timed(b.feeds, states_, arena_, nanoseconds);
  key_draw_.reset();
  checked(std::move(outputs));
}

EvalOutcome Session::evaluate(const Arrays& feeds) {
  check(under_way_.empty(), "an evaluation behind a step that was not finished");
  bool labels = options_.loss.kind == Loss::Kind::output || feeds.count(options_.loss.labels) > 0;
  Bound b = bind(feeds, labels ? Purpose::evaluate : Purpose::infer, "");
  EvalOutcome out;
  Arrays outputs = checked(b.compiled->program->run(b.feeds, states_, arena_));
  out.loss = number(outputs, passes::kLoss);
  outputs.erase(passes::kLoss);
  for (auto& [name, tensor] : outputs) out.outputs.emplace(without(kOutputPrefix, name), std::move(tensor));
  if (labels && options_.loss.kind == Loss::Kind::cross_entropy && !b.compiled->first_output.empty())
    out.hits = count_hits(out.outputs.at(without(kOutputPrefix, b.compiled->first_output)),
                          feeds.at(options_.loss.labels));
  return out;
}

GradientOutcome Session::gradients(const Arrays& feeds) {
  check(under_way_.empty(), "gradients behind a step that was not finished");
  Bound b = bind(feeds, Purpose::gradients, "");
  set_step_states(draws_);
  Arrays saved;  // the program counts steps and moves statistics; a question must not
  for (const Port& p : b.compiled->program->states())
    if (p.updated) saved.emplace(p.name, std::as_const(states_).at(p.name));
  GradientOutcome out;
  Arrays outputs;
  do {  // a dynamic scale comes down here as it would over the first steps of a training
    outputs = checked(b.compiled->program->run(b.feeds, states_, arena_));
    out.finite = number(outputs, passes::kFinite) != 0;
    out.scale = number(outputs, passes::kScaleUsed);
  } while (!out.finite && states_.has(passes::kScale) && states_.at(passes::kScale).get(0) < out.scale);
  for (auto& [name, value] : saved) states_.set(name, std::move(value));
  out.loss = number(outputs, passes::kLoss);
  for (auto& [name, tensor] : outputs) {
    if (name.starts_with(kOutputPrefix))
      out.outputs.emplace(without(kOutputPrefix, name), as_f32(std::move(tensor)));
    else if (name.starts_with(passes::kGradPrefix))
      out.gradients.emplace(without(passes::kGradPrefix, name), as_f32(std::move(tensor)));
  }
  return out;
}

int64_t Session::bytes() const { return arena_.bytes() + states_.bytes(); }

Arrays infer(const LoadedModel& model, const Arrays& feeds, const CompileOptions& options) {
  Loss none{Loss::Kind::output};
  Signature signature = signature_of(model, feeds, none, false);
  auto device = options.device == Device::cuda ? codegen::open_cuda_device() : nullptr;
  Compiled compiled = compile_step(model, signature, options, Purpose::infer, feeds, device);
  States states(device);
  require_memory(device.get(), compiled, states.missing_bytes(compiled.states), 0);
  states.adopt(compiled.states);
  Arena arena(device);
  Arrays outputs;
  const Arrays found = checked(compiled.program->run(bind_feeds(*compiled.program, feeds), states, arena));
  for (auto& [name, tensor] : found) outputs.emplace(without(kOutputPrefix, name), tensor);
  return outputs;
}

}  // namespace mezzo::runtime
