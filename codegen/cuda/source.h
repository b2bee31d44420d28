// source.h: planned nodes as CUDA C++ text, and how the text is launched. Nothing here needs CUDA.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace mezzo::codegen::cuda {

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

// One launch of one function. Its parameters are pointers, in the order of `arguments`.
struct FunctionLaunch {
  std::string function;  // extern "C", made of numbers only (k12_0)
  Grid grid, block;
  unsigned shared_bytes = 0;   // dynamic shared memory
  std::vector<int> arguments;  // from 0: the node's inputs, then its outputs; -1 - i: scratch buffer i
};

// What one node becomes. Buffers are aligned to 16 bytes at least; scratch buffers keep their contents from
// one launch of the node to the next, but not from step to step, and start undefined.
struct KernelSource {
  std::string text;                      // CUDA C++, to be compiled behind prelude()
  std::vector<FunctionLaunch> launches;  // in order
  std::vector<int64_t> scratch_bytes;    // by scratch buffer
  std::string detail;                    // how it runs, e.g. "row x8, 128 threads"; for tables
};

// A Kernel node with a body (codegen/README.md). Functions are named k<number>_0, k<number>_1 ... Throws
// Unsupported for bodies outside of the contract.
KernelSource emit_kernel(const ir::Node& kernel, int number);

// Ops with an algorithm of their own: Dot, Convolution and its gradients, attention and its gradient (for
// where the libraries are absent), ScatterAlongAxis, LinearRecurrence, TopK. Throws Unsupported for others.
KernelSource emit_product(const ir::Node& node, int number);

// Either of these two.
KernelSource emit_node(const ir::Node& node, int number);

// What stands in front of the texts of a program, once.
std::string_view prelude();

// Options of NVRTC under which the text means what the IR says, beside the architecture: no contraction of a
// * b + c, IEEE division and square root, subnormals kept.
std::span<const char* const> compile_options();

}  // namespace mezzo::codegen::cuda
