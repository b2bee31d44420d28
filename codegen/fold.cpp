// fold.cpp: facts about reductions and about kernels whose outputs overwrite inputs, the same on every
// target.
#include <limits>

#include "codegen/loops.h"

namespace mezzo::codegen {

Overlaps overlaps(const ir::Node& n) {
  Overlaps o{std::vector<bool>(n.input_count()), std::vector<bool>(static_cast<size_t>(n.output_count()))};
  for (size_t k = 0; k < o.outputs.size(); k++) {
    if (k >= n.offsets.size()) continue;
    int64_t at = n.offsets[k], end = at + n.type(static_cast<int>(k)).bytes();
    if (at == ir::kInPlace) o.outputs[k] = true;
    for (size_t i = 0; i < n.input_count(); i++) {
      if (!n.has(i)) continue;
      const ir::Value root = ir::root_of(n.in(i));
      if (at == ir::kInPlace && ir::is_state(*root.node)) o.inputs[i] = true;
      auto output = static_cast<size_t>(root.index);
      if (output >= root.node->offsets.size() || root.node->offsets[output] < 0 || at < 0) continue;
      int64_t from = root.node->offsets[output];
      if (from < end && at < from + root.type().bytes()) o.outputs[k] = o.inputs[i] = true;
    }
  }
  return o;
}

ir::Code combining(ir::Reduction how, ir::DType type) {
  bool logic = type == ir::DType::boolean;
  switch (how) {
    case ir::Reduction::sum: return logic ? ir::Code::logical_or : ir::Code::add;
    case ir::Reduction::prod: return logic ? ir::Code::logical_and : ir::Code::mul;
    case ir::Reduction::max: return logic ? ir::Code::logical_or : ir::Code::max;
    case ir::Reduction::min: return logic ? ir::Code::logical_and : ir::Code::min;
  }
  return ir::Code::add;
}

ir::Number identity(ir::Reduction how, ir::DType type) {
  bool greatest = how == ir::Reduction::min;
  switch (how) {
    case ir::Reduction::sum: return {0, 0};
    case ir::Reduction::prod: return {1, 1};
    default: break;
  }
  double infinity = std::numeric_limits<double>::infinity();
  if (ir::is_float(type)) return {greatest ? infinity : -infinity, 0};
  if (type == ir::DType::boolean) return {0, greatest};
  int bits = ir::byte_size(type) * 8;
  if (!ir::is_signed(type)) return {0, greatest ? -1 : 0};
  auto least = static_cast<int64_t>(~uint64_t{0} << (bits - 1));
  return {0, greatest ? ~least : least};
}

}  // namespace mezzo::codegen
