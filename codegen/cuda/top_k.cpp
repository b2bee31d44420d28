// top_k.cpp: TopK (ir/ops/top_k.cpp) as a kernel: short lines by a thread each, others by a block each.
#include "codegen/cuda/own_kernels.h"

#include <algorithm>
#include <bit>

#include "codegen/cuda/text_emitter.h"
#include "codegen/emit.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr int64_t kShort = 512;           // comparisons that one thread makes for a line
constexpr int64_t kMostBlocks = 8 * 132;  // that work at a time, each with room of its own

}  // namespace

KernelSource emit_top_k(const ir::Node& node, int number) {
  const ir::Type& x = node.in_type(0);
  const auto axis = static_cast<size_t>(ir::normalize_axis(node.i("axis"), x.rank()));
  const ir::RowSizes s = ir::row_sizes(x.dims, axis);
  const int64_t k = node.i("k"), lines = s.outer * s.inner;
  KernelSource out;
  if (node.type().count() == 0) return out;
  if (s.extent >= int64_t{1} << 30) throw Unsupported(concat("TopK of ", s.extent, " elements"));

  const bool by_thread = k * s.extent <= kShort;
  // Sorting some costs less than sorting all, once all are too many to sort them in a few steps.
  const bool select = s.extent > 1024 && k <= s.extent / 4;
  const auto room = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(select ? k : s.extent)));
  const int threads = by_thread ? 128 : s.extent <= 4096 ? 256 : 512;
  const int64_t blocks = by_thread ? quotient_up(lines, threads) : std::min(lines, kMostBlocks);

  const std::string name = concat("k", number, "_0"), t(memory_type(x.dtype));
  const std::string_view largest = node.i("largest") != 0 ? "true" : "false";
  auto line_at = [&](int argument, int64_t extent) {
    return concat("a", argument, " + n / ", s.inner, " * ", extent * s.inner, " + n % ", s.inner);
  };
  const std::string operands = concat(line_at(0, s.extent), ", ", line_at(1, k), ", ", line_at(2, k));
  out.text = concat("KERNEL(", threads, ")\n", name, "(const ", t, "* __restrict__ a0, ", t, "* a1, i64* a2",
                    by_thread ? "" : ", u64* t0, i32* t1", ") {\n");
  std::vector<int> arguments{0, 1, 2};
  if (by_thread) {
    out.text += concat("  const i64 n = (i64)block_number() * ", threads,
                       " + thread_number();\n  if (n >= ", lines, ") return;\n  top_k_of_line<", largest,
                       ", ", s.extent, ", ", k, ", ", s.inner, ">(", operands, ");\n}\n");
    out.detail = "top-k, a thread per line";
  } else {
    arguments.insert(arguments.end(), {-1, -2});
    out.scratch_bytes = {blocks * room * 8, blocks * room * 4};
    out.text +=
        concat("  for (i64 n = block_number(); n < ", lines, "; n += ", blocks, ")\n    top_k_of_block<",
               threads, ", ", largest, ", ", select ? "true" : "false", ", ", s.extent, ", ", k, ", ",
               s.inner, ", ", room, ">(", operands, ", t0 + (i64)block_number() * ", room,
               ", t1 + (i64)block_number() * ", room, ");\n}\n");
    out.detail = concat("top-k, a block per line", select ? ", selected" : "");
  }
  out.launches.push_back(
      {name, {static_cast<unsigned>(blocks)}, {static_cast<unsigned>(threads)}, 0, arguments});
  return out;
}

}  // namespace mezzo::codegen::cuda
