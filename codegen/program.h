// program.h: what a backend makes of a planned graph: a flat list of launches over one arena.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace mezzo::codegen {

// Where a run finds its memory. Pointers are 64-byte aligned; sizes are those of the types in the graph.
// Arena and states are in the memory of the program's device, inputs and outputs in the host's.
struct Bindings {
  std::byte* arena = nullptr;            // Program::arena_bytes()
  std::vector<const std::byte*> inputs;  // in order of the graph's Input nodes
  std::vector<std::byte*> states;        // in order of the graph's State nodes
  std::vector<std::byte*> outputs;       // in order of Graph::outputs; null = not wanted
  // On the host, in order of the State nodes: where the new value of a state is written, too. Null, or an
  // empty list: it is not wanted. The CPU's states are on the host already.
  std::vector<std::byte*> state_copies;
  // The inputs are those that were staged last.
  bool staged = false;
};

struct LaunchInfo {
  std::string name;    // "k12" or the op's name
  std::string detail;  // implementation, e.g. "jit row f32 x8" or oneDNN's implementation name
  ir::Origin origin;
  ir::Phase phase;
  int64_t bytes = 0;  // read + written
  int64_t flops = 0;
};

class Program {
 public:
  virtual ~Program() = default;
  // Runs all launches in order. Not re-entrant; different programs may run at the same time.
  void run(const Bindings& bindings) {
    start(bindings);
    finish(bindings);
  }
  // The same in two parts. A run is handed to the device, which takes the runs of all its programs in that
  // order; its inputs may be reused when start() returns. finish() waits for the run that was started first,
  // and writes its outputs and state copies. Where the host itself computes, start() returns when the run is
  // over.
  virtual void start(const Bindings&) = 0;
  virtual void finish(const Bindings&) = 0;
  // How many runs may have been started and not finished.
  virtual size_t most_under_way() const { return 1; }
  // Like run, adding the time of each launch to `nanoseconds` (one entry per launch).
  virtual void run_timed(const Bindings&, std::vector<int64_t>& nanoseconds) = 0;
  // Sends the inputs of a later run ahead, also while a run is under way; false where there is nothing to be
  // won. They may be reused when this returns.
  virtual bool stage(const std::vector<const std::byte*>& /*inputs*/) { return false; }
  virtual int64_t arena_bytes() const = 0;  // the plan's arena plus scratch of libraries and reductions
  virtual const std::vector<LaunchInfo>& launches() const = 0;
  // Kernels, copies and fills of the device graph that runs are replayed from; 0 while there is none. A
  // launch may be several of them.
  virtual size_t graph_nodes() const { return 0; }
};

struct CpuOptions {
  std::string cache_dir;   // empty: no disk cache
  std::string dump_dir;    // empty: kernels are not dumped
  int threads = 0;         // 0: all
  bool interpret = false;  // run every kernel body through the evaluator (rounded mode)
};

// The CPU backend. Without LLVM (MEZZO_CPU_JIT off) it interprets, without oneDNN it uses own kernels.
std::unique_ptr<Program> compile_cpu(const ir::Graph& planned, const CpuOptions& options);

class Device;

struct CudaOptions {
  std::shared_ptr<Device> device;  // of open_cuda_device()
  std::string cache_dir;           // empty: no disk cache
  std::string dump_dir;            // empty: kernels are not dumped
  int threads = 0;                 // that compile; 0: all
};

// The CUDA backend. Needs no CUDA to be built; throws Error(unsupported) where something it needs is missing
// at run time, or for nodes it has no kernels for.
std::unique_ptr<Program> compile_cuda(const ir::Graph& planned, const CudaOptions& options);

}  // namespace mezzo::codegen
