// launch.h: one step of a CPU program, and the launches that need no generated code.
#pragma once
#include <memory>

#include "codegen/program.h"

namespace mezzo::codegen::cpu {

// Runs one node. Made once, run every step.
class Launch {
 public:
  virtual ~Launch() = default;
  // `arguments`: the addresses of the node's inputs (absent ones null), then of its outputs. `scratch`:
  // scratch_bytes that belong to this launch while it runs, 64-byte aligned.
  virtual void run(std::byte* const* arguments, std::byte* scratch) = 0;

  LaunchInfo info;
  int64_t scratch_bytes = 0;
};

// Sizes of all inputs and outputs, name and origin of a node; `detail` says how it runs.
LaunchInfo describe(const ir::Node& node, std::string name, std::string detail);

// Any node, through the evaluator. The node must outlive the launch.
std::unique_ptr<Launch> interpret(const ir::Node& node, std::string name);
// The same bytes at another place: `arguments` are source and target.
std::unique_ptr<Launch> copy(const ir::Type& type, std::string name);

// Threads a launch may use, and whether `work` (elements times operations, roughly) is worth waking them.
struct Threads {
  int count = 1;
  bool worth(int64_t work) const { return count > 1 && work >= kParallelWork; }
  // Waking a thread costs 2 us at best and a slice of the scheduler on a busy one: worth it from 20 us of
  // work on.
  static constexpr int64_t kParallelWork = 150000;
};

}  // namespace mezzo::codegen::cpu
