#include "runtime/step_program.h"

#include <cstring>
#include <new>

#include "ir/eval.h"
#include "ir/op.h"

namespace mezzo::runtime {
namespace {

class ReferenceProgram : public StepProgram {
 public:
  explicit ReferenceProgram(ir::Graph graph) : StepProgram(graph), graph_(std::move(graph)) {}

  Arrays run(const Arrays& feeds, States& states, Arena&) override {
    Arrays all = feeds;
    for (const Port& s : states_) all.insert_or_assign(s.name, states.at(s.name));
    ir::EvalResult result = ir::evaluate(graph_, all, ir::EvalMode::rounded);
    for (auto& [name, value] : result.updates) states.at(name) = std::move(value);
    return std::move(result.outputs);
  }
  Arrays run_timed(const Arrays& feeds, States& states, Arena& arena, std::vector<int64_t>&) override {
    return run(feeds, states, arena);
  }
  const std::vector<codegen::LaunchInfo>& launches() const override { return none_; }
  int64_t arena_bytes() const override { return 0; }

 private:
  ir::Graph graph_;
  std::vector<codegen::LaunchInfo> none_;
};

class CpuProgram : public StepProgram {
 public:
  CpuProgram(ir::Graph planned, const codegen::CpuOptions& options)
      : StepProgram(planned), graph_(std::move(planned)), program_(codegen::compile_cpu(graph_, options)) {}

  Arrays run(const Arrays& feeds, States& states, Arena& arena) override {
    return run_bound(feeds, states, arena, nullptr);
  }
  Arrays run_timed(const Arrays& feeds, States& states, Arena& arena, std::vector<int64_t>& ns) override {
    ns.resize(program_->launches().size());
    return run_bound(feeds, states, arena, &ns);
  }
  const std::vector<codegen::LaunchInfo>& launches() const override { return program_->launches(); }
  int64_t arena_bytes() const override { return program_->arena_bytes(); }

 private:
  Arrays run_bound(const Arrays& feeds, States& states, Arena& arena, std::vector<int64_t>* nanoseconds) {
    codegen::Bindings bindings;
    bindings.arena = arena.reserve(program_->arena_bytes());
    for (const Port& p : inputs_) bindings.inputs.push_back(feed(feeds, p).data());
    for (const Port& p : states_) bindings.states.push_back(states.at(p.name).data());
    // Two outputs may have one name only if the graph is wrong; the verifier forbids it.
    Arrays outputs;
    for (const Port& p : outputs_)
      bindings.outputs.push_back(outputs.insert_or_assign(p.name, ir::Tensor(p.type)).first->second.data());
    if (nanoseconds)
      program_->run_timed(bindings, *nanoseconds);
    else
      program_->run(bindings);
    return outputs;
  }

  static const ir::Tensor& feed(const Arrays& feeds, const Port& port) {
    auto found = feeds.find(port.name);
    check(found != feeds.end(), "input '", port.name, "' was not bound");
    check(found->second.type() == port.type, "input '", port.name, "' is ",
          ir::to_string(found->second.type()), ", the program takes ", ir::to_string(port.type));
    return found->second;
  }

  ir::Graph graph_;  // launches refer to its nodes and constants
  std::unique_ptr<codegen::Program> program_;
};

}  // namespace

void States::adopt(const ir::Graph& graph) {
  for (auto& node : graph.nodes()) {
    if (!ir::is_state(*node)) continue;
    auto [entry, fresh] = values_.try_emplace(node->s("name"));
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
}

void States::restore(Arrays values) {
  for (auto& [name, value] : values_) {
    auto found = values.find(name);
    if (found == values.end() || found->second.type() != value.type())
      throw Error(ErrorCode::bad_input,
                  concat("the checkpoint has no state '", name, "' of type ", ir::to_string(value.type())),
                  name);
  }
  values_ = std::move(values);
  restored_ = true;
}

ir::Tensor& States::at(const std::string& name) {
  auto found = values_.find(name);
  check(found != values_.end(), "no state '", name, "'");
  return found->second;
}
const ir::Tensor& States::at(const std::string& name) const { return const_cast<States*>(this)->at(name); }

std::byte* Arena::reserve(int64_t bytes) {
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
  }
  for (const ir::Output& o : graph.outputs) outputs_.push_back({o.name, o.value.type()});
}

std::unique_ptr<StepProgram> reference_program(ir::Graph graph) {
  return std::make_unique<ReferenceProgram>(std::move(graph));
}

std::unique_ptr<StepProgram> cpu_program(ir::Graph planned, const codegen::CpuOptions& options) {
  return std::make_unique<CpuProgram>(std::move(planned), options);
}

}  // namespace mezzo::runtime
