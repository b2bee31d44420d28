// section.h: a stage as text, to be called by the blocks that a function has for it.
#pragma once
#include "codegen/cuda/stage.h"

namespace mezzo::codegen::cuda {

// A pointer that a section gets: what it points to, and which argument of the node it is, numbered as in
// FunctionLaunch.
struct Parameter {
  std::string name;
  std::string_view type;
  bool fetched;  // nobody writes there during the launch
  int argument;
};
std::string declaration(const Parameter& p, std::string_view name);

// The body of a device function of `block` (the number among the stage's blocks), `room` (shared memory) and
// one pointer per parameter. Sections of equal text can share it.
struct Section {
  std::string text;
  std::vector<Parameter> parameters;
  int threads = 256;  // of a block
  int64_t blocks = 1;
  int64_t room_bytes = 0;  // of shared memory
};

// What a section has to know of the kernel around it.
struct KernelContext {
  const ir::Graph* body;
  std::vector<bool> overwritten;  // by input: an output shares its memory
};

Section write_section(const KernelContext& kernel, const Stage& stage);

}  // namespace mezzo::codegen::cuda
