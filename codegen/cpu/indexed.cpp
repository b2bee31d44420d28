#include "codegen/cpu/indexed.h"

#include "ir/indexing.h"

namespace mezzo::codegen::cpu {

std::unique_ptr<Launch> lower_indexed(const ir::Node& node, std::string name, Threads threads) {
  std::unique_ptr<Launch> launch;
  if (ir::is_scatter(node)) launch = lower_scatter(node, threads);
  if (ir::is_recurrence(node)) launch = lower_recurrence(node, threads);
  if (ir::is_top_k(node)) launch = lower_top_k(node, threads);
  if (launch) launch->info = describe(node, std::move(name), launch->info.detail);
  return launch;
}

}  // namespace mezzo::codegen::cpu
