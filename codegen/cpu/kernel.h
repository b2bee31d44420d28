// kernel.h: Kernel nodes as generated code.
#pragma once
#include <map>
#include <optional>

#include "codegen/cpu/jit.h"
#include "codegen/cpu/launch.h"

namespace mezzo::codegen::cpu {

// Collects the functions of a program's kernels, equal ones once, and compiles them together. Must outlive
// the launches.
class KernelSet {
 public:
  KernelSet(JitOptions options, Threads threads) : options_(std::move(options)), threads_(threads) {}
  // Throws Unsupported for bodies that cannot be generated.
  std::unique_ptr<Launch> add(const ir::Node& kernel, std::string name);
  void compile();

 private:
  friend class KernelLaunch;
  JitOptions options_;
  Threads threads_;
  std::map<std::string, KernelSource> sources_;  // by name, which is a hash of the text
  std::vector<class KernelLaunch*> launches_;
  std::shared_ptr<const CompiledKernels> code_;
};

}  // namespace mezzo::codegen::cpu
