#include "codegen/chain.h"

#include "codegen/alignment.h"
#include "ir/dot_epilogue.h"

namespace mezzo::codegen {
namespace {

// Launches refer to the nodes they were made of.
class SplitEpilogue : public Chain {
 public:
  SplitEpilogue(const ir::Node& node, Lowering& lowering) : parts_(ir::split_dot_epilogue(node)) {
    const ir::Node& kernel = *parts_.outputs[0].value.node;
    const ir::Node& dot = *kernel.in(0).node;
    const int sums = buffer(dot.type().bytes());
    const int results = static_cast<int>(node.input_count());
    auto product = lowering.lower(dot);
    const int64_t flops = product->info.flops;
    add(std::move(product), {0, 1, sums});
    std::vector<int> arguments{sums};
    for (int i = 2; i < results; i++)
      if (node.has(static_cast<size_t>(i))) arguments.push_back(i);
    for (int k = 0; k < kernel.output_count(); k++) arguments.push_back(results + k);
    add(lowering.lower(kernel), std::move(arguments));
    info = describe(node, std::string(node.op().name), info.detail);
    info.flops = flops;
  }

 private:
  ir::Graph parts_;
};

}  // namespace

int Chain::buffer(int64_t bytes) {
  offsets_.push_back(buffers_);
  buffers_ += device_aligned(bytes);
  scratch_bytes = buffers_ + largest_;
  return -static_cast<int>(offsets_.size());
}

void Chain::add(std::unique_ptr<Launch> launch, std::vector<int> arguments) {
  largest_ = std::max(largest_, launch->scratch_bytes);
  scratch_bytes = buffers_ + largest_;
  info.detail += (info.detail.empty() ? "" : "; ") + launch->info.detail;
  stages_.push_back({std::move(launch), std::move(arguments)});
}

void Chain::run(std::byte* const* arguments, std::byte* scratch) {
  for (Stage& s : stages_) {
    values_.clear();
    for (int a : s.arguments)
      values_.push_back(a == kAbsent ? nullptr
                        : a >= 0     ? arguments[a]
                                     : scratch + offsets_[static_cast<size_t>(-1 - a)]);
    s.launch->run(values_.data(), scratch + buffers_);
  }
}

std::unique_ptr<Launch> lower_dot_epilogue(const ir::Node& node, Lowering& lowering) {
  return std::make_unique<SplitEpilogue>(node, lowering);
}

}  // namespace mezzo::codegen
