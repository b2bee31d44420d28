// own_kernels.h: kernels of ops that have an algorithm of their own.
#pragma once
#include "codegen/cuda/source.h"

namespace mezzo::codegen::cuda {

KernelSource emit_scatter(const ir::Node& node, int number);
KernelSource emit_recurrence(const ir::Node& node, int number);
KernelSource emit_top_k(const ir::Node& node, int number);
KernelSource emit_attention(const ir::Node& node, int number);  // and its gradient

// Threads that fill a large GPU once.
inline constexpr int64_t kManyThreads = 132 * 1024;

inline int64_t quotient_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace mezzo::codegen::cuda
