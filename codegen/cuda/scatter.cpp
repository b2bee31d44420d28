// scatter.cpp: ScatterAlongAxis (ir/ops/scatter_along_axis.cpp) as a kernel.
#include "codegen/cuda/own_kernels.h"

#include <algorithm>

#include "codegen/cuda/text_emitter.h"
#include "ir/indexing.h"

namespace mezzo::codegen::cuda {
namespace {

std::string_view fold_of(const std::string& how) {
  if (how == "add") return "Sum";
  if (how == "mul") return "Product";
  if (how == "min") return "Least";
  if (how == "max") return "Greatest";
  return "Replaced";
}

}  // namespace

KernelSource emit_scatter(const ir::Node& node, int number) {
  const ir::ScatterSizes s = ir::scatter_sizes(node);
  KernelSource out;
  if (node.type().count() == 0) return out;
  constexpr int kThreads = 256;
  bool lines = s.index_inner == 0 && s.inner >= 32;
  bool data = node.has(2);
  // Ranges of the extent, each looking through all indices.
  int64_t owners = lines ? s.outer * kThreads : s.outer * s.inner;
  int64_t ranges =
      std::clamp<int64_t>(quotient_up(kManyThreads, owners), 1, std::max<int64_t>(s.extent / 4, 1));
  int64_t range = quotient_up(s.extent, ranges);
  ranges = quotient_up(s.extent, range);

  std::string_view t = memory_type(node.type().dtype), index = memory_type(node.in_type(1).dtype);
  std::string name = concat("k", number, "_0"), result = concat("a", node.input_count());
  out.text = concat("KERNEL(", kThreads, ")\n", name, "(const ", t, "* __restrict__ a0, const ", index,
                    "* __restrict__ a1, ", data ? concat("const ", t, "* __restrict__ a2, ") : std::string(),
                    t, "* ", result, ") {\n");
  int64_t threads = s.outer * ranges * (lines ? 1 : s.inner);
  if (lines) {
    out.text += "  const i64 n = block_number();\n";
  } else {
    out.text +=
        concat("  const i64 number = (i64)block_number() * ", kThreads, " + thread_number(), n = number / ",
               s.inner, ", i = number % ", s.inner, ";\n  if (number >= ", threads, ") return;\n");
  }
  out.text +=
      concat("  const i64 o = n / ", ranges, ", first = n % ", ranges, " * ", range, ", last = first + ",
             range, " < ", s.extent, " ? first + ", range, " : ", s.extent, ";\n");
  std::string line = lines ? "" : " + i", updates = concat("a0 + o * ", s.count * s.inner, line),
              indices = concat("a1 + o * ", s.index_outer, lines || s.index_inner == 0 ? "" : " + i"),
              to = concat(" + o * ", s.extent * s.inner, line);
  std::string head = lines ? concat("scatter_lines<", fold_of(node.s("reduction")), ", ", kThreads, ", ")
                           : concat("scatter_line<", fold_of(node.s("reduction")), ", ");
  out.text +=
      concat("  ", head, s.count, ", ", s.extent, ", ", s.inner,
             lines ? std::string() : concat(", ", s.index_count), ", ", t, ", ", index, ">(", updates, ", ",
             indices, ", ", data ? "a2" + to : "nullptr", ", ", result, to, ", first, last);\n}\n");
  std::vector<int> arguments{0, 1};
  if (data) arguments.push_back(2);
  arguments.push_back(static_cast<int>(node.input_count()));
  int64_t blocks = lines ? threads : quotient_up(threads, kThreads);
  out.launches.push_back({name, {static_cast<unsigned>(blocks)}, {kThreads}, 0, std::move(arguments)});
  out.detail = concat("scatter, ", ranges, " ranges");
  return out;
}

}  // namespace mezzo::codegen::cuda
