// jit.h: kernels -> machine code of this host, with a cache on disk. The LLVM side is in jit.cpp.
#pragma once
#include <functional>

#include "codegen/cpu/loop_emitter.h"

namespace mezzo::codegen::cpu {

// A function to be made: `text` says everything its code depends on; `emit` writes it as a function called
// `name`.
struct KernelSource {
  std::string name;
  std::string text;
  std::function<void(LoopEmitter&, const std::string& name)> emit;
};

struct JitOptions {
  std::string cache_dir;  // empty: no cache
  std::string dump_dir;   // empty: no dump; otherwise kernels.N.ll is written there and the cache is not read
  int threads = 1;        // compiling at the same time
};

// Machine code, kept while this lives. Throws InternalError where LLVM fails.
class CompiledKernels {
 public:
  virtual ~CompiledKernels() = default;
  virtual KernelFunction find(const std::string& name) const = 0;
  virtual int cache_hits() const = 0;  // modules that were not compiled again
};
std::unique_ptr<CompiledKernels> compile_kernels(std::vector<KernelSource> sources,
                                                 const JitOptions& options);

// Whether this build generates code (MEZZO_CPU_JIT).
bool jit_available();
// Neighbours that generated code handles together on this host.
int jit_lanes();

}  // namespace mezzo::codegen::cpu
