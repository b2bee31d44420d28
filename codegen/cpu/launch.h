// launch.h: launches of the CPU that need no generated code.
#pragma once
#include "codegen/launch.h"

namespace mezzo::codegen::cpu {

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
