#include "codegen/cuda/lower_node.h"

#include "codegen/emit.h"
#include "codegen/product_sizes.h"
#include "codegen/time_loop.h"
#include "ir/attention.h"
#include "ir/dot_epilogue.h"
#include "ir/op.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr size_t kNamedRefusals = 8;  // in the message

class Copy : public Launch {
 public:
  Copy(const CudaDevice& device, int64_t bytes) : device_(device), bytes_(static_cast<size_t>(bytes)) {}
  void run(std::byte* const* arguments, std::byte*) override {
    if (bytes_ == 0) return;
    device_.check(device_.api().cuMemcpyDtoDAsync_v2(address(arguments[1]), address(arguments[0]), bytes_,
                                                     device_.stream()),
                  "copying on the device");
  }

 private:
  const CudaDevice& device_;
  size_t bytes_;
};

// Stands for a node that nothing runs, until finish() says so.
class Refused : public Launch {
 public:
  void run(std::byte* const*, std::byte*) override {
    throw InternalError("a node without a kernel was launched");
  }
};

// The launches of a loop's step are the program's own, and compiled with them.
class StepLowering : public Lowering {
 public:
  explicit StepLowering(Lowering& program) : program_(program) {}
  std::unique_ptr<Launch> lower(const ir::Node& node) override { return program_.lower(node); }
  std::unique_ptr<Launch> copy(const ir::Type& type, std::string name) override {
    return program_.copy(type, std::move(name));
  }
  const std::byte* constant(const ir::TensorPtr& c) override { return program_.constant(c); }
  void finish() override {}

 private:
  Lowering& program_;
};

}  // namespace

std::unique_ptr<Launch> NodeLowering::generated(const ir::Node& node) {
  return kernels_.add([&](int number) { return emit_node(node, number); });
}

std::unique_ptr<Launch> NodeLowering::lower(const ir::Node& node) {
  if (ir::is_time_loop(node))
    return lower_time_loop(node, std::make_unique<StepLowering>(*this), concat("loop", loop_count_++));
  std::string name = ir::is_kernel(node) ? concat("k", kernel_count_++) : std::string(node.op().name);
  try {
    if (ir::is_dot_epilogue(node)) {
      auto launch = products_.add_epilogue(node);
      if (!launch) return lower_dot_epilogue(node, *this);
      launch->info = describe(node, std::move(name), launch->info.detail);
      launch->info.flops = product_flops(node, ProductKind::dot);
      return launch;
    }
    auto kind = product_kind(node);
    auto launch = kind ? products_.add(node, *kind) : nullptr;
    if (ir::is_attention(node) || ir::is_attention_gradient(node)) launch = products_.attention(node);
    if (!launch) launch = generated(node);
    launch->info = describe(node, std::move(name), launch->info.detail);
    if (kind) launch->info.flops = product_flops(node, *kind);
    return launch;
  } catch (const Unsupported& e) {
    refused_.push_back(concat(node.op().name, node.origin.empty() ? "" : " of '" + node.origin.front() + "'",
                              ": ", e.what()));
    return std::make_unique<Refused>();
  }
}

std::unique_ptr<Launch> NodeLowering::copy(const ir::Type& type, std::string name) {
  auto launch = std::make_unique<Copy>(kernels_.device(), type.bytes());
  launch->info = {std::move(name), "copy", {}, ir::Phase::update, 2 * type.bytes(), 0};
  return launch;
}

const std::byte* NodeLowering::constant(const ir::TensorPtr& c) {
  DeviceMemory& memory = constants_[c.get()];
  if (memory.bytes() == 0 && c->bytes() > 0) {
    memory = DeviceMemory(kernels_.shared_device(), c->bytes());
    kernels_.shared_device()->upload(memory.data(), c->data(), c->bytes());
  }
  return memory.data();
}

void NodeLowering::finish() {
  if (!refused_.empty()) {
    std::string list;
    for (size_t i = 0; i < refused_.size() && i < kNamedRefusals; i++) list += "\n  " + refused_[i];
    if (refused_.size() > kNamedRefusals)
      list += concat("\n  and ", refused_.size() - kNamedRefusals, " more");
    throw Error(ErrorCode::unsupported, "the cuda device cannot run this step:" + list, "cuda",
                "use --device cpu");
  }
  kernels_.compile();
}

}  // namespace mezzo::codegen::cuda
