// product.cpp: matrix products and convolutions as own kernels.
#include "codegen/cuda/source.h"
#include "codegen/emit.h"
#include "ir/op.h"

namespace mezzo::codegen::cuda {

KernelSource emit_product(const ir::Node& node, int) { throw Unsupported(concat("operator '", node.op().name, "'")); }

}  // namespace mezzo::codegen::cuda
