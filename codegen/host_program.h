// host_program.h: a program whose launches run on the host, one after the other.
#pragma once
#include "codegen/launch.h"

namespace mezzo::codegen {

std::unique_ptr<Program> host_program(ir::Graph planned, std::unique_ptr<Lowering> lowering);

}  // namespace mezzo::codegen
