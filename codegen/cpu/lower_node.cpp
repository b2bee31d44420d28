#include "codegen/cpu/lower_node.h"

#include <omp.h>

#include "ir/op.h"

namespace mezzo::codegen::cpu {

NodeLowering::NodeLowering(const CpuOptions& options) : options_(options) {
  threads_.count = options.threads > 0 ? options.threads : omp_get_max_threads();
}

NodeLowering::~NodeLowering() = default;

std::unique_ptr<Launch> NodeLowering::lower(const ir::Node& node) {
  std::string name = ir::is_kernel(node) ? concat("k", kernels_++) : std::string(node.op().name);
  return interpret(node, std::move(name));
}

void NodeLowering::finish() {}

}  // namespace mezzo::codegen::cpu
