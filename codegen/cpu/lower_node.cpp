#include "codegen/cpu/lower_node.h"

#include <omp.h>

#include <filesystem>

#include "codegen/chain.h"
#include "codegen/cpu/attention.h"
#include "codegen/cpu/indexed.h"
#include "codegen/cpu/products.h"
#include "codegen/loops.h"
#include "codegen/time_loop.h"
#include "ir/dot_epilogue.h"

namespace mezzo::codegen::cpu {
namespace {

Threads threads_of(const CpuOptions& options) {
  return {options.threads > 0 ? options.threads : omp_get_max_threads()};
}

}  // namespace

NodeLowering::NodeLowering(const CpuOptions& options)
    : options_(options),
      threads_(threads_of(options)),
      kernel_set_({options.cache_dir, options.dump_dir, threads_.count}, threads_) {}

std::unique_ptr<Launch> NodeLowering::lower(const ir::Node& node) {
  if (ir::is_time_loop(node)) {
    const std::string name = concat("loop", loops_++);
    CpuOptions inner = options_;
    if (!inner.dump_dir.empty()) inner.dump_dir = (std::filesystem::path(inner.dump_dir) / name).string();
    return lower_time_loop(node, std::make_unique<NodeLowering>(inner), name);
  }
  if (ir::is_dot_epilogue(node) && !options_.interpret) return lower_dot_epilogue(node, *this);
  if (!ir::is_kernel(node)) {
    std::string op(node.op().name);
    if (auto kind = product_kind(node); kind && !options_.interpret)
      if (auto launch = lower_product(node, *kind, op, threads_)) return launch;
    if (!options_.interpret) {
      if (auto launch = lower_indexed(node, op, threads_)) return launch;
      if (auto launch = lower_attention(node, op, threads_)) return launch;
    }
    return interpret(node, std::move(op));
  }
  std::string name = concat("k", kernels_++);
  if (options_.interpret || !jit_available()) return interpret(node, std::move(name));
  try {
    return kernel_set_.add(node, name);
  } catch (const Unsupported& e) {
    auto launch = interpret(node, std::move(name));
    launch->info.detail += concat(": ", e.what());
    return launch;
  }
}

std::unique_ptr<Launch> NodeLowering::copy(const ir::Type& type, std::string name) {
  return cpu::copy(type, std::move(name));
}

void NodeLowering::finish() { kernel_set_.compile(); }

}  // namespace mezzo::codegen::cpu
