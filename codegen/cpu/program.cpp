// program.cpp: a planned graph on the CPU.
#include "codegen/cpu/lower_node.h"
#include "codegen/host_program.h"

namespace mezzo::codegen {

std::unique_ptr<Program> compile_cpu(const ir::Graph& planned, const CpuOptions& options) {
  return host_program(ir::clone(planned), std::make_unique<cpu::NodeLowering>(options));
}

}  // namespace mezzo::codegen
