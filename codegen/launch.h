// launch.h: one step of a program.
#pragma once
#include <memory>

#include "codegen/program.h"

namespace mezzo::codegen {

// Runs one node, or asks a device to. Made once, run every step.
class Launch {
 public:
  virtual ~Launch() = default;
  // `arguments`: the addresses of the node's inputs (absent ones null), then of its outputs. `scratch`:
  // scratch_bytes that belong to this launch while it runs, 64-byte aligned.
  virtual void run(std::byte* const* arguments, std::byte* scratch) = 0;

  LaunchInfo info;
  int64_t scratch_bytes = 0;
};

// Sizes of all inputs and outputs, name and origin of a node; `detail` says how it runs.
LaunchInfo describe(const ir::Node& node, std::string name, std::string detail);

// Says what runs a node.
class Lowering {
 public:
  virtual ~Lowering() = default;
  virtual std::unique_ptr<Launch> lower(const ir::Node& node) = 0;
  // The same bytes at another place: the arguments are source and target.
  virtual std::unique_ptr<Launch> copy(const ir::Type& type, std::string name) = 0;
  // Where launches find a constant that a step of a time loop reads from memory: the host's, or a device's
  // copy that lives as long as the lowering does.
  virtual const std::byte* constant(const ir::TensorPtr& c) { return c->data(); }
  // Called when all nodes have been lowered, before anything runs.
  virtual void finish() = 0;
};

}  // namespace mezzo::codegen
