#include "codegen/storage.h"

#include "codegen/alignment.h"
#include "ir/op.h"

namespace mezzo::codegen {

Storage::Storage(const ir::Graph& planned) : arena_bytes_(host_aligned(planned.arena_bytes)) {
  int64_t inputs = 0, states = 0;
  for (const auto& n : planned.nodes()) {
    if (ir::is_input(*n)) number_[n.get()] = inputs++;
    if (ir::is_state(*n)) number_[n.get()] = states++;
  }
  for (const ir::Update& u : planned.updates) in_place_.emplace(root_of(u.value), u.state);
}

int Storage::add(Place place) {
  places_.push_back(std::move(place));
  return static_cast<int>(places_.size()) - 1;
}

int64_t Storage::reserve(int64_t bytes) {
  int64_t at = arena_bytes_;
  arena_bytes_ += host_aligned(bytes);
  return at;
}

int Storage::arena_slot(int64_t offset) { return add({Place::Kind::arena, offset}); }

int Storage::slot(ir::Value v) {
  if (!v) return -1;
  v = root_of(v);
  auto [it, fresh] = slots_.try_emplace(v, 0);
  if (!fresh) return it->second;
  const ir::Node& n = *v.node;
  auto output = static_cast<size_t>(v.index);
  int64_t offset = output < n.offsets.size() ? n.offsets[output] : -1;
  if (ir::is_input(n)) {
    it->second = add({Place::Kind::input, number_.at(&n)});
  } else if (ir::is_state(n)) {
    it->second = add({Place::Kind::state, number_.at(&n)});
  } else if (ir::is_constant(n)) {
    it->second = add({Place::Kind::constant, static_cast<int64_t>(constants_.size())});
    constants_.push_back(n.tensor("value"));
  } else if (offset == -2) {
    auto state = in_place_.find(v);
    check(state != in_place_.end(), "an output is in place, but no update takes it");
    it->second = add({Place::Kind::state, number_.at(state->second)});
  } else {
    it->second = add({Place::Kind::arena, offset >= 0 ? offset : reserve(v.type().bytes())});
  }
  return it->second;
}

void Storage::resolve(const Bindings& bindings, std::span<const std::byte* const> constants,
                      std::vector<std::byte*>& addresses) const {
  addresses.resize(places_.size());
  for (size_t i = 0; i < places_.size(); i++) {
    const Place& p = places_[i];
    auto at = static_cast<size_t>(p.at);
    // Inputs and constants are only read; the table has one type for all.
    switch (p.kind) {
      case Place::Kind::arena: addresses[i] = bindings.arena + p.at; break;
      case Place::Kind::input: addresses[i] = const_cast<std::byte*>(bindings.inputs[at]); break;
      case Place::Kind::state: addresses[i] = bindings.states[at]; break;
      case Place::Kind::constant: addresses[i] = const_cast<std::byte*>(constants[at]); break;
    }
  }
}

}  // namespace mezzo::codegen
