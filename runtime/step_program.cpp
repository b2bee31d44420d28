#include "runtime/step_program.h"

#include <cstring>
#include <deque>
#include <new>
#include <utility>

#include "ir/eval.h"
#include "ir/op.h"
#include "passes/step_names.h"

namespace mezzo::runtime {
namespace {

class ReferenceProgram : public StepProgram {
 public:
  explicit ReferenceProgram(ir::Graph graph) : StepProgram(graph), graph_(std::move(graph)) {}

  void start(const Arrays& feeds, States& states, Arena&, bool) override {
    Arrays all = feeds;
    for (const Port& s : states_) all.insert_or_assign(s.name, states.at(s.name));
    ir::EvalResult result = ir::evaluate(graph_, all, ir::EvalMode::rounded);
    for (auto& [name, value] : result.updates) states.at(name) = std::move(value);
    states.renew_copies(updated_);
    outputs_of_run_ = std::move(result.outputs);
  }
  Arrays finish(States&) override { return std::move(outputs_of_run_); }
  Arrays run_timed(const Arrays& feeds, States& states, Arena& arena, std::vector<int64_t>&) override {
    return run(feeds, states, arena);
  }
  const std::vector<codegen::LaunchInfo>& launches() const override { return none_; }
  int64_t arena_bytes() const override { return 0; }

 private:
  ir::Graph graph_;
  Arrays outputs_of_run_;
  std::vector<codegen::LaunchInfo> none_;
};

class BackendProgram : public StepProgram {
 public:
  BackendProgram(ir::Graph planned,
                 const std::function<std::unique_ptr<codegen::Program>(const ir::Graph&)>& compile)
      : StepProgram(planned), program_(compile(planned)) {}

  void start(const Arrays& feeds, States& states, Arena& arena, bool staged) override {
    UnderWay run = bind(feeds, states, arena);
    run.bindings.staged = staged;
    program_->start(run.bindings);
    under_way_.push_back(std::move(run));
  }
  Arrays finish(States& states) override {
    check(!under_way_.empty(), "a run is finished that was not started");
    UnderWay run = std::move(under_way_.front());
    under_way_.pop_front();
    bind_copies(run, states);
    program_->finish(run.bindings);
    return hand_out(std::move(run), states);
  }
  size_t most_under_way() const override { return program_->most_under_way(); }
  bool stage(const Arrays& feeds) override { return program_->stage(addresses(feeds)); }
  Arrays run_timed(const Arrays& feeds, States& states, Arena& arena, std::vector<int64_t>& ns) override {
    ns.resize(program_->launches().size());
    UnderWay run = bind(feeds, states, arena);
    bind_copies(run, states);
    program_->run_timed(run.bindings, ns);
    return hand_out(std::move(run), states);
  }
  const std::vector<codegen::LaunchInfo>& launches() const override { return program_->launches(); }
  size_t graph_nodes() const override { return program_->graph_nodes(); }
  int64_t arena_bytes() const override { return program_->arena_bytes(); }

 private:
  struct UnderWay {
    codegen::Bindings bindings;
    Arrays outputs;
  };
  UnderWay bind(const Arrays& feeds, States& states, Arena& arena) {
    UnderWay run;
    run.bindings.arena = arena.reserve(program_->arena_bytes());
    run.bindings.inputs = addresses(feeds);
    for (const Port& p : states_) run.bindings.states.push_back(states.storage(p.name));
    // Two outputs may have one name only if the graph is wrong; the verifier forbids it.
    for (const Port& p : outputs_)
      run.bindings.outputs.push_back(
          run.outputs.insert_or_assign(p.name, ir::Tensor(p.type)).first->second.data());
    return run;
  }
  void bind_copies(UnderWay& run, States& states) const {
    for (const Port& p : states_)
      run.bindings.state_copies.push_back(p.updated ? states.host_copy(p.name) : nullptr);
  }
  Arrays hand_out(UnderWay run, States& states) const {
    for (const std::string& name : updated_) states.written(name);
    states.renew_copies(updated_);
    return std::move(run.outputs);
  }

  std::vector<const std::byte*> addresses(const Arrays& feeds) const {
    std::vector<const std::byte*> out;
    for (const Port& p : inputs_) out.push_back(feed(feeds, p).data());
    return out;
  }

  static const ir::Tensor& feed(const Arrays& feeds, const Port& port) {
    auto found = feeds.find(port.name);
    check(found != feeds.end(), "input '", port.name, "' was not bound");
    check(found->second.type() == port.type, "input '", port.name, "' is ",
          ir::to_string(found->second.type()), ", the program takes ", ir::to_string(port.type));
    return found->second;
  }

  std::unique_ptr<codegen::Program> program_;
  std::deque<UnderWay> under_way_;
};

}  // namespace

void States::adopt(const ir::Graph& graph) {
  std::vector<const ir::Node*> copies;
  for (auto& node : graph.nodes()) {
    if (!ir::is_state(*node)) continue;
    const std::string& name = node->s("name");
    if (node->s("kind") == ir::name(ir::StateKind::copy)) {
      copies.push_back(node.get());
      continue;
    }
    auto [entry, fresh] = values_.try_emplace(name);
    if (fresh) entry->second = ir::initial_value(graph, *node);
    if (restored_ && entry->second.type() != node->type())
      throw Error(
          ErrorCode::bad_input,
          concat("state '", entry->first, "' of the checkpoint is ", ir::to_string(entry->second.type()),
                 ", the step needs ", ir::to_string(node->type())),
          entry->first);
    check(entry->second.type() == node->type(), "state '", entry->first, "' is ",
          ir::to_string(entry->second.type()), " and ", ir::to_string(node->type()));
  }
  for (const ir::Node* node : copies) {
    const std::string& name = node->s("name");
    const std::string from = passes::copied_parameter(name);
    if (copies_.emplace(name, from).second)
      values_[name] = std::as_const(*this).at(from).cast(node->type().dtype);
  }
}

void States::restore(Arrays values) {
  for (auto& [name, value] : values_) {
    auto found = values.find(name);
    if (!is_copy(name) && (found == values.end() || found->second.type() != value.type()))
      throw Error(ErrorCode::bad_input,
                  concat("the checkpoint has no state '", name, "' of type ", ir::to_string(value.type())),
                  name);
  }
  for (auto& [copy, from] : copies_) values[copy] = values.at(from).cast(type(copy).dtype);
  values_ = std::move(values);
  for (auto& [name, mirror] : mirrors_) mirror.newer = Newer::host;
  restored_ = true;
}

void States::renew_copies(const std::set<std::string>& updated) {
  for (auto& [copy, from] : copies_)
    if (updated.count(from) && !updated.count(copy))
      set(copy, std::as_const(*this).at(from).cast(type(copy).dtype));
}

void States::fetch(const std::string& name) const {
  check(values_.count(name) > 0, "no state '", name, "'");
  auto mirror = mirrors_.find(name);
  if (mirror == mirrors_.end() || mirror->second.newer != Newer::device) return;
  ir::Tensor& value = values_.at(name);
  device_->download(value.data(), mirror->second.memory.data(), value.bytes());
  mirror->second.newer = Newer::neither;
}

ir::Tensor& States::at(const std::string& name) {
  fetch(name);
  if (auto mirror = mirrors_.find(name); mirror != mirrors_.end()) mirror->second.newer = Newer::host;
  return values_.at(name);
}

const ir::Tensor& States::at(const std::string& name) const {
  fetch(name);
  return values_.at(name);
}

void States::set(const std::string& name, ir::Tensor value) {
  values_.at(name) = std::move(value);
  if (auto mirror = mirrors_.find(name); mirror != mirrors_.end()) mirror->second.newer = Newer::host;
}

const std::map<std::string, ir::Tensor>& States::all() const {
  for (auto& [name, mirror] : mirrors_) fetch(name);
  return values_;
}

std::vector<std::string> States::names() const {
  std::vector<std::string> out;
  for (auto& [name, value] : values_) out.push_back(name);
  return out;
}

int64_t States::bytes() const {
  int64_t total = 0;
  for (auto& [name, value] : values_) total += value.bytes();
  return total;
}

int64_t States::missing_bytes(const ir::Graph& graph) const {
  int64_t total = 0;
  for (auto& node : graph.nodes())
    if (ir::is_state(*node) && !mirrors_.count(node->s("name"))) total += node->type().bytes();
  return total;
}

std::byte* States::storage(const std::string& name) {
  check(values_.count(name) > 0, "no state '", name, "'");
  ir::Tensor& value = values_.at(name);
  if (!device_) return value.data();
  auto [mirror, fresh] = mirrors_.try_emplace(name);
  if (!mirror->second.memory) try {
      mirror->second.memory = codegen::DeviceMemory(device_, value.bytes());
    } catch (...) {
      mirrors_.erase(mirror);
      throw;
    }
  if (mirror->second.newer == Newer::host)
    device_->upload(mirror->second.memory.data(), value.data(), value.bytes());
  if (mirror->second.newer == Newer::host) mirror->second.newer = Newer::neither;
  return mirror->second.memory.data();
}

std::byte* States::host_copy(const std::string& name) {
  ir::Tensor& value = values_.at(name);
  return comes_back(value) ? value.data() : nullptr;
}

void States::written(const std::string& name) {
  if (device_) mirrors_.at(name).newer = comes_back(values_.at(name)) ? Newer::neither : Newer::device;
}

std::byte* Arena::reserve(int64_t bytes) {
  if (device_ && bytes > on_device_.bytes()) {
    on_device_.reset();
    on_device_ = codegen::DeviceMemory(device_, bytes);
  }
  if (device_) return on_device_.data();
  if (bytes > storage_.bytes()) {
    storage_ = {};
    try {
      storage_ = ir::Tensor({ir::DType::u8, {bytes}});
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::out_of_memory, concat("a step needs ", bytes, " bytes of working memory"), {},
                  "use a smaller batch, or several with --accumulate");
    }
  }
  return storage_.data();
}

StepProgram::StepProgram(const ir::Graph& graph) {
  for (auto& node : graph.nodes()) {
    if (ir::is_input(*node)) inputs_.push_back({node->s("name"), node->type()});
    if (ir::is_state(*node)) states_.push_back({node->s("name"), node->type()});
    for (const ir::Update& u : graph.updates)
      if (u.state == node.get()) {
        states_.back().updated = true;
        updated_.insert(states_.back().name);
      }
  }
  for (const ir::Output& o : graph.outputs) outputs_.push_back({o.name, o.value.type()});
}

std::unique_ptr<StepProgram> reference_program(ir::Graph graph) {
  return std::make_unique<ReferenceProgram>(std::move(graph));
}

std::unique_ptr<StepProgram> backend_program(
    ir::Graph planned, const std::function<std::unique_ptr<codegen::Program>(const ir::Graph&)>& compile) {
  return std::make_unique<BackendProgram>(std::move(planned), compile);
}

}  // namespace mezzo::runtime
