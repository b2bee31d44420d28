// program.cpp: the planned graph as a flat list of launches.
#include <chrono>

#include "codegen/cpu/lower_node.h"
#include "codegen/cpu/storage.h"
#include "ir/op.h"

namespace mezzo::codegen {
namespace {

using cpu::Launch;

struct Step {
  std::unique_ptr<Launch> launch;
  std::vector<int> slots;  // of the arguments; -1 = null
};

class CpuProgram : public Program {
 public:
  CpuProgram(const ir::Graph& planned, const CpuOptions& options) : storage_(planned), lowering_(options) {
    for (const auto& n : planned.nodes()) {
      if (ir::is_input(*n) || ir::is_state(*n) || ir::is_constant(*n) || ir::is_reshape(*n)) continue;
      std::vector<int> slots;
      for (const ir::Value& v : n->inputs()) slots.push_back(storage_.slot(v));
      for (int k = 0; k < n->output_count(); k++) slots.push_back(storage_.slot(n->out(k)));
      add(lowering_.lower(*n), std::move(slots));
    }
    lowering_.finish();
    add_copies(planned);
    int64_t scratch = 0;
    for (const Step& s : steps_) {
      scratch = std::max(scratch, s.launch->scratch_bytes);
      infos_.push_back(s.launch->info);
    }
    scratch_ = storage_.reserve(scratch);
  }

  void run(const Bindings& bindings) override {
    bind(bindings);
    for (Step& s : early_) execute(s, bindings);
    for (Step& s : steps_) execute(s, bindings);
    copy_outputs(bindings);
  }

  void run_timed(const Bindings& bindings, std::vector<int64_t>& nanoseconds) override {
    nanoseconds.resize(steps_.size());
    bind(bindings);
    for (Step& s : early_) execute(s, bindings);
    for (size_t i = 0; i < steps_.size(); i++) {
      auto start = std::chrono::steady_clock::now();
      execute(steps_[i], bindings);
      nanoseconds[i] += (std::chrono::steady_clock::now() - start).count();
    }
    copy_outputs(bindings);
  }

  int64_t arena_bytes() const override { return storage_.arena_bytes(); }
  const std::vector<LaunchInfo>& launches() const override { return infos_; }

 private:
  void add(std::unique_ptr<Launch> launch, std::vector<int> slots) {
    steps_.push_back({std::move(launch), std::move(slots)});
  }

  // The old value of a state as a source: it may be overwritten in place during the step, so it is saved at
  // the start.
  int saved(const ir::Type& type, int slot) {
    if (storage_.place(slot).kind != cpu::Place::Kind::state) return slot;
    int room = storage_.arena_slot(storage_.reserve(type.bytes()));
    early_.push_back({cpu::copy(type, "save"), {slot, room}});
    return room;
  }

  // Updates that are not in place, then outputs.
  void add_copies(const ir::Graph& g) {
    for (const ir::Update& u : g.updates) {
      int from = storage_.slot(u.value), to = storage_.slot(u.state->out());
      if (from == to || in_place(from, to)) continue;
      int source = from_state(u.value, from);
      add(cpu::copy(u.state->type(), "update"), {source, to});
    }
    for (const ir::Output& o : g.outputs)
      outputs_.push_back(
          {cpu::copy(o.value.type(), "output"), {from_state(o.value, storage_.slot(o.value))}});
  }

  // An output in place has a slot of its own, with the state's address.
  bool in_place(int from, int to) const {
    const cpu::Place &a = storage_.place(from), &b = storage_.place(to);
    return a.kind == cpu::Place::Kind::state && b.kind == a.kind && a.at == b.at;
  }

  // A value computed in place is read after the step; a state itself means its value before the step.
  int from_state(ir::Value v, int slot) {
    while (ir::is_reshape(*v.node)) v = v.node->in(0);
    return ir::is_state(*v.node) ? saved(v.type(), slot) : slot;
  }

  void bind(const Bindings& bindings) { storage_.resolve(bindings, addresses_); }

  void execute(Step& s, const Bindings& bindings) {
    arguments_.clear();
    for (int slot : s.slots) arguments_.push_back(slot < 0 ? nullptr : addresses_[static_cast<size_t>(slot)]);
    s.launch->run(arguments_.data(), bindings.arena + scratch_);
  }

  void copy_outputs(const Bindings& bindings) {
    for (size_t i = 0; i < outputs_.size(); i++) {
      if (i >= bindings.outputs.size() || !bindings.outputs[i]) continue;
      std::byte* arguments[] = {addresses_[static_cast<size_t>(outputs_[i].slots[0])], bindings.outputs[i]};
      outputs_[i].launch->run(arguments, nullptr);
    }
  }

  cpu::Storage storage_;
  cpu::NodeLowering lowering_;
  std::vector<Step> early_, steps_, outputs_;
  std::vector<LaunchInfo> infos_;
  std::vector<std::byte*> addresses_, arguments_;
  int64_t scratch_ = 0;  // arena offset of the launches' common scratch
};

// Interpreted launches refer to their nodes as long as they run, so the program owns the graph it was made
// of.
struct OwnedGraph {
  ir::Graph graph;
};
class OwningProgram : private OwnedGraph, public CpuProgram {
 public:
  OwningProgram(ir::Graph planned, const CpuOptions& options)
      : OwnedGraph{std::move(planned)}, CpuProgram(graph, options) {}
};

}  // namespace

std::unique_ptr<Program> compile_cpu(const ir::Graph& planned, const CpuOptions& options) {
  return std::make_unique<OwningProgram>(ir::clone(planned), options);
}

}  // namespace mezzo::codegen
