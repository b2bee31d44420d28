#include "codegen/launch_list.h"

#include <algorithm>

#include "ir/op.h"

namespace mezzo::codegen {

LaunchInfo describe(const ir::Node& node, std::string name, std::string detail) {
  LaunchInfo info{std::move(name), std::move(detail), node.origin, node.phase};
  for (const ir::Value& v : node.inputs())
    if (v) info.bytes += v.type().bytes();
  for (const ir::Type& t : node.types()) info.bytes += t.bytes();
  return info;
}

LaunchList::LaunchList(const ir::Graph& planned, Lowering& lowering)
    : lowering_(lowering), storage_(planned) {
  for (const auto& n : planned.nodes()) {
    if (ir::is_input(*n) || ir::is_state(*n) || ir::is_constant(*n) || ir::is_reshape(*n)) continue;
    std::vector<int> slots;
    for (const ir::Value& v : n->inputs()) slots.push_back(storage_.slot(v));
    for (int k = 0; k < n->output_count(); k++) slots.push_back(storage_.slot(n->out(k)));
    steps_.push_back({lowering.lower(*n), std::move(slots)});
  }
  lowering.finish();
  add_copies(planned);
  int64_t scratch = 0;
  for (const Step& s : steps_) {
    scratch = std::max(scratch, s.launch->scratch_bytes);
    infos_.push_back(s.launch->info);
  }
  scratch_ = storage_.reserve(scratch);
  for (const ir::TensorPtr& c : storage_.constants()) host_constants_.push_back(c->data());
}

// The old value of a state as a source: it may be overwritten in place during the step, so it is saved at
// the start.
int LaunchList::saved(const ir::Type& type, int slot) {
  if (storage_.place(slot).kind != Place::Kind::state) return slot;
  int room = storage_.arena_slot(storage_.reserve(type.bytes()));
  early_.push_back({lowering_.copy(type, "save"), {slot, room}});
  return room;
}

// A value computed in place is read after the step; a state itself means its value before the step.
int LaunchList::from_state(ir::Value v, int slot) {
  const ir::Value root = ir::root_of(v);
  return ir::is_state(*root.node) ? saved(root.type(), slot) : slot;
}

// An output in place has a slot of its own, with the state's address.
bool LaunchList::in_place(int from, int to) const {
  const Place &a = storage_.place(from), &b = storage_.place(to);
  return a.kind == Place::Kind::state && b.kind == a.kind && a.at == b.at;
}

// Updates that are not in place, then outputs.
void LaunchList::add_copies(const ir::Graph& g) {
  for (const ir::Update& u : g.updates) {
    int from = storage_.slot(u.value), to = storage_.slot(u.state->out());
    if (from == to || in_place(from, to)) continue;
    int source = from_state(u.value, from);
    steps_.push_back({lowering_.copy(u.state->type(), "update"), {source, to}});
  }
  for (const ir::Output& o : g.outputs)
    outputs_.push_back({o.value.type(), from_state(o.value, storage_.slot(o.value))});
}

bool LaunchList::bind(const Bindings& bindings, std::span<const std::byte* const> constants) {
  before_.swap(addresses_);
  storage_.resolve(bindings, constants.empty() ? host_constants_ : constants, addresses_);
  std::byte* scratch = bindings.arena + scratch_;
  bool changed = before_ != addresses_ || scratch != scratch_address_;
  scratch_address_ = scratch;
  return changed;
}

void LaunchList::start() {
  for (Step& s : early_) execute(s);
}

void LaunchList::execute(Step& s) {
  arguments_.clear();
  for (int slot : s.slots) arguments_.push_back(slot < 0 ? nullptr : addresses_[static_cast<size_t>(slot)]);
  s.launch->run(arguments_.data(), scratch_address_);
}

}  // namespace mezzo::codegen
