// launch_list.h: a planned graph as a flat list of launches and the addresses they work on.
#pragma once
#include "codegen/launch.h"
#include "codegen/storage.h"

namespace mezzo::codegen {

// A step is: start(), launch(i) for all i in order, then the outputs are where output(k) says.
class LaunchList {
 public:
  // `lowering` must outlive the list, as must the graph where launches refer to its nodes.
  LaunchList(const ir::Graph& planned, Lowering& lowering);

  // The addresses of the next step. `constants`: where constants() are; empty: where they are on the host.
  // Returns whether any differs from those of the step before.
  bool bind(const Bindings& bindings, std::span<const std::byte* const> constants = {});
  void start();
  void launch(size_t i) { execute(steps_[i]); }
  size_t size() const { return steps_.size(); }
  const std::byte* output(size_t k) const { return addresses_[static_cast<size_t>(outputs_[k].slot)]; }
  const ir::Type& output_type(size_t k) const { return outputs_[k].type; }
  size_t output_count() const { return outputs_.size(); }

  const std::vector<LaunchInfo>& infos() const { return infos_; }
  const std::vector<ir::TensorPtr>& constants() const { return storage_.constants(); }
  int64_t arena_bytes() const { return storage_.arena_bytes(); }

 private:
  struct Step {
    std::unique_ptr<Launch> launch;
    std::vector<int> slots;  // of the arguments; -1 = null
  };
  struct Result {
    ir::Type type;
    int slot;
  };
  void add_copies(const ir::Graph& planned);
  int saved(const ir::Type& type, int slot);
  int from_state(ir::Value v, int slot);
  bool in_place(int from, int to) const;
  void execute(Step& step);

  Lowering& lowering_;
  Storage storage_;
  std::vector<Step> early_, steps_;
  std::vector<Result> outputs_;
  std::vector<LaunchInfo> infos_;
  std::vector<const std::byte*> host_constants_;
  std::vector<std::byte*> addresses_, before_, arguments_;
  int64_t scratch_ = 0;  // arena offset of the launches' common scratch
  std::byte* scratch_address_ = nullptr;
};

}  // namespace mezzo::codegen
