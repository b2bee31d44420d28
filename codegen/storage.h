// storage.h: where every value of a planned graph lives, as numbers of slots in one table of addresses.
#pragma once
#include <span>
#include <unordered_map>

#include "codegen/program.h"

namespace mezzo::codegen {

struct Place {
  enum class Kind : uint8_t { arena, input, state, constant };
  Kind kind;
  int64_t at = 0;  // byte offset in the arena, or the number of the input, state or constant
};

// Reshapes share the place of what they reshape. Values without an offset (unplanned graphs, outputs nobody
// reads) get room of their own behind the plan's arena.
class Storage {
 public:
  explicit Storage(const ir::Graph& planned);

  int slot(ir::Value v);                  // -1 for an absent value
  int slot(const ir::Node& state) const;  // of the state itself
  const Place& place(int slot) const { return places_[static_cast<size_t>(slot)]; }
  int64_t reserve(int64_t bytes);  // more room in the arena; its offset, a multiple of 64
  int arena_slot(int64_t offset);  // a slot for that offset
  int64_t arena_bytes() const { return arena_bytes_; }
  const std::vector<ir::TensorPtr>& constants() const { return constants_; }

  // Fills `addresses`, one per slot. `constants`: where they are, in order.
  void resolve(const Bindings& bindings, std::span<const std::byte* const> constants,
               std::vector<std::byte*>& addresses) const;

 private:
  int add(Place place);

  std::vector<Place> places_;
  std::unordered_map<ir::Value, int, ir::ValueHash> slots_;  // by root value; looked up only
  std::unordered_map<const ir::Node*, int64_t> number_;      // of inputs and states
  std::unordered_map<ir::Value, const ir::Node*, ir::ValueHash> in_place_;
  std::vector<ir::TensorPtr> constants_;
  int64_t arena_bytes_ = 0;
};

}  // namespace mezzo::codegen
