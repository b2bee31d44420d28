// recurrence.cpp: LinearRecurrence (ir/ops/recurrence.cpp) as a kernel, a thread per line.
#include "codegen/cuda/own_kernels.h"

#include "codegen/cuda/text_emitter.h"
#include "ir/indexing.h"

namespace mezzo::codegen::cuda {

KernelSource emit_recurrence(const ir::Node& node, int number) {
  const ir::RecurrenceSizes s = ir::recurrence_sizes(node);
  KernelSource out;
  const int64_t lines = s.rows.outer * s.rows.inner;
  if (node.type().count() == 0) return out;
  // Few lines are spread over as many multiprocessors as there are.
  const int threads = lines >= kManyThreads ? 256 : 32;
  const std::string name = concat("k", number, "_0"), t(memory_type(node.type().dtype));
  std::string list, operands;
  std::vector<int> arguments;
  for (size_t i : {0u, 1u}) {
    operands += node.has(i) ? concat("a", i, " + at, ") : "nullptr, ";
    if (!node.has(i)) continue;
    list += concat("const ", t, "* __restrict__ a", i, ", ");
    arguments.push_back(static_cast<int>(i));
  }
  arguments.push_back(static_cast<int>(node.input_count()));
  const auto truth = [](bool b) { return b ? "true" : "false"; };
  out.text =
      concat("KERNEL(", threads, ")\n", name, "(", list, t, "* a", node.input_count(), ") {\n",
             "  const i64 n = (i64)block_number() * ", threads, " + thread_number();\n  if (n >= ", lines,
             ") return;\n  const i64 at = n / ", s.rows.inner, " * ", s.rows.extent * s.rows.inner, " + n % ",
             s.rows.inner, ";\n  run_recurrence<", truth(node.has(0)), ", ", truth(node.has(1)), ", ",
             truth(s.reverse), ", ", s.rows.extent, ", ", s.rows.inner, ", ", t, ">(", operands, "a",
             node.input_count(), " + at);\n}\n");
  const auto blocks = static_cast<unsigned>(quotient_up(lines, threads));
  out.launches.push_back({name, {blocks}, {static_cast<unsigned>(threads)}, 0, std::move(arguments)});
  out.detail = "recurrence, a thread per line";
  return out;
}

}  // namespace mezzo::codegen::cuda
