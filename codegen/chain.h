// chain.h: one node as several launches.
#pragma once
#include "codegen/launch.h"

namespace mezzo::codegen {

// Launches one after the other, with buffers between them.
class Chain : public Launch {
 public:
  static constexpr int kAbsent = 1 << 20;
  // Arguments: from 0 those of the chain; -1 - i: buffer i; kAbsent: null.
  void add(std::unique_ptr<Launch> launch, std::vector<int> arguments);
  int buffer(int64_t bytes);  // its name among the arguments
  void run(std::byte* const* arguments, std::byte* scratch) override;

 private:
  struct Stage {
    std::unique_ptr<Launch> launch;
    std::vector<int> arguments;
  };
  std::vector<Stage> stages_;
  std::vector<int64_t> offsets_;
  int64_t buffers_ = 0, largest_ = 0;
  std::vector<std::byte*> values_;
};

// A DotEpilogue as the product and the kernel it stands for, through memory in the accumulator's type.
std::unique_ptr<Launch> lower_dot_epilogue(const ir::Node& node, Lowering& lowering);

}  // namespace mezzo::codegen
