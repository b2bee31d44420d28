// plan_memory.h: the arena plan of a scheduled graph, and what it says about memory.
#pragma once
#include "ir/graph.h"

namespace mezzo::passes {

// A value in the arena: bytes, and the launches (numbered in order) from the one that writes it to the last
// that reads it. `until` of what must live to the end is the number of launches.
struct Lifetime {
  ir::Value value;
  int64_t bytes = 0;  // rounded up to the alignment
  int from = 0, until = 0;
  int64_t offset = -1;
};
// Lifetimes of everything that needs the arena, in order of writing. In-place outputs (offset -2) are not
// among them.
std::vector<Lifetime> lifetimes(const ir::Graph& scheduled, int64_t alignment);

// Gives every lifetime an offset, packing them densely; returns the bytes needed. Several placement orders
// are tried. `bound`, if given, gets the largest sum of bytes alive at once: no placement can need less.
int64_t place(std::vector<Lifetime>& values, int64_t* bound = nullptr);

// Bytes by what they are for. The states and inputs live outside of the arena for the whole run; the arena is
// counted at the launch where most is alive.
struct MemoryReport {
  int64_t parameters = 0;    // master weights
  int64_t copies = 0;        // of parameters in 16 bits
  int64_t slots = 0;         // optimizer state
  int64_t statistics = 0;    // BatchNorm and the like, counters, scaler, keys
  int64_t accumulators = 0;  // gradients of accumulation windows
  int64_t inputs = 0;
  int64_t constants = 0;
  int64_t arena = 0;    // the arena as planned; the parts from activations on are of `peak`
  int64_t scratch = 0;  // of libraries and reductions, behind the plan; known to the program, not to the plan
  int64_t peak = 0;     // most that is alive at once: the arena's lower bound
  int64_t activations = 0;  // made in the forward phase and read after it
  int64_t gradients = 0;    // made in the backward phase and read by the update
  int64_t results = 0;      // graph outputs and updates that are copied at the end
  int64_t temporaries = 0;
  std::string peak_launch;  // origin of the launch at the peak

  struct Entry {
    std::string what;  // op and origin of the launch that makes it
    int64_t bytes;
    int from, until;
  };
  std::vector<Entry> largest;  // of those alive at the peak, by bytes times lifetime

  // The parts of total(), by the names that docs/memory.md explains.
  std::vector<std::pair<std::string_view, int64_t>> categories() const;
  int64_t total() const;
};
// With the graph that ends a window of micro-batches, which has states of its own and takes turns in the arena.
MemoryReport memory_report(const ir::Graph& planned, const ir::Graph* window_end = nullptr, size_t entries = 10);
std::string to_string(const MemoryReport&);

}  // namespace mezzo::passes
