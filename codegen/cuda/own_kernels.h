// own_kernels.h: kernels of ops that have an algorithm of their own.
#pragma once
#include "codegen/cuda/source.h"

namespace mezzo::codegen::cuda {

KernelSource emit_scatter(const ir::Node& node, int number);
KernelSource emit_attention(const ir::Node& node, int number);  // and its gradient

}  // namespace mezzo::codegen::cuda
