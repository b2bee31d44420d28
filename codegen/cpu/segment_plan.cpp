#include "codegen/cpu/segment_plan.h"

#include <algorithm>

namespace mezzo::codegen::cpu {
namespace {

// Rows longer than this are computed again rather than kept: they would not stay in the second-level cache.
constexpr int64_t kKeptBytes = 256 * 1024;
// Operations below which computing a value again beats storing and loading it.
constexpr int64_t kWorthKeeping = 12;
constexpr int64_t kLongRow = 64, kFewestItems = 4;
// Elements a task with partial results should handle at least, and the most such tasks.
constexpr int64_t kPartialElements = 32768, kPartialTasks = 32;

}  // namespace

SegmentPlan::SegmentPlan(const ir::Graph& graph, Segment s, std::vector<bool> shares_memory, int wanted_lanes)
    : body(&graph), segment(std::move(s)), aliased(std::move(shares_memory)), lanes(wanted_lanes) {
  // An output that overwrites an input must wait until no pass reads it any more.
  for (Result& r : segment.results)
    if (r.when == When::pass && aliased[static_cast<size_t>(r.output)]) r.pass = segment.passes - 1;
  ir::Values roots, known;
  std::vector<ir::Dims> written;
  for (const FoldedValue& f : segment.row) {
    if (ir::is_low(f.result.dtype()) && (f.how == ir::Reduction::sum || f.how == ir::Reduction::prod))
      throw Unsupported("a sum in 16 bits");
    roots.push_back(f.operand);
    known.push_back(f.result);
  }
  for (const FoldedValue& f : segment.free) {
    if (ir::is_low(f.result.dtype()) && (f.how == ir::Reduction::sum || f.how == ir::Reduction::prod))
      throw Unsupported("a sum in 16 bits");
    roots.push_back(f.operand);
    written.push_back(f.result.dims());
  }
  for (const Result& r : segment.results)
    if (r.when != When::combine) {
      roots.push_back(r.value);
      written.push_back(r.value.dims());
    }
  nest = plan_nest(*body, segment.domain, segment.folded, roots, written, known, lanes);
  share_out();
  const int64_t row_size = std::max<int64_t>(row_elements * lanes / wanted_lanes, 1);
  if (row_size * 4 <= kKeptBytes) kept = choose_kept(segment, kWorthKeeping, kKeptBytes / 4 / row_size);
}

void SegmentPlan::share_out() {
  int64_t rows = 1;
  for (size_t i = 0; i < nest.axes.size(); i++) {
    const Axis& a = nest.axes[i];
    elements *= a.extent;
    if (a.folded) {
      row_elements *= a.extent;
    } else if (static_cast<int>(i) != nest.vector) {
      outer.push_back(a);
      rows *= a.extent;
    }
  }
  work = elements * std::max<int64_t>(1, nest.operations / 4);
  if (nest.vector >= 0 && !vector().folded) {
    int64_t extent = vector().extent, whole = (extent + lanes - 1) / lanes * lanes;
    if (row_elements > 1) {
      // Long rows side by side: several registers of neighbours, so that every step down the rows uses whole
      // lines of the cache, while there are some rows left to share out.
      for (int wide : {4, 2})
        if (row_elements >= kLongRow && extent % (lanes * wide) == 0 &&
            rows * extent >= kFewestItems * lanes * wide) {
          lanes *= wide;
          break;
        }
      block = lanes;
    } else if (work <= 2 * kPartialElements || rows >= 64) {
      block = whole;
    } else {
      int64_t parts = 64 / std::max<int64_t>(rows, 1);
      block = std::max<int64_t>(1024, (extent + parts - 1) / parts);
      block = std::min(whole, (block + lanes - 1) / lanes * lanes);
    }
    blocks = block > 0 ? (extent + block - 1) / block : 0;
  }
  items = rows * blocks;
  tasks = items;
  if (segment.free.empty() || items == 0) return;
  int64_t most = std::clamp<int64_t>(work / kPartialElements, 1, kPartialTasks), largest = 1;
  for (const FoldedValue& f : segment.free) largest = std::max(largest, f.result.type().count());
  most = std::max<int64_t>(1, std::min(most, elements / (4 * largest)));
  items_per_task = (items + most - 1) / most;
  tasks = (items + items_per_task - 1) / items_per_task;
}

std::vector<const ir::Node*> SegmentPlan::inputs() const {
  std::vector<const ir::Node*> out;
  for (const ir::Node* n : segment.nodes)
    if (ir::is_input(*n)) out.push_back(n);
  return out;
}

int64_t SegmentPlan::partial_count(size_t k) const { return tasks * segment.free[k].result.type().count(); }

int64_t SegmentPlan::kept_bytes() const { return kept.empty() ? 0 : kept_at(kept.size()); }

int64_t SegmentPlan::kept_at(size_t k) const {
  int64_t at = 0, across = vector_in_row() || nest.vector < 0 ? 1 : lanes;
  for (size_t j = 0; j < k; j++)
    at += (row_elements * across * ir::byte_size(ir::compute_type(kept[j].value.dtype())) + 63) / 64 * 64;
  return at;
}

ir::DType accumulator_type(const FoldedValue& f) {
  const ir::DType computed = ir::compute_type(f.result.dtype());
  return f.how == ir::Reduction::sum && computed == ir::DType::f32 ? ir::DType::f64 : computed;
}

std::string SegmentPlan::text() const {
  std::string t = concat(segment_text(*body, segment), "lanes ", lanes);
  for (const Result& r : segment.results) t += concat(" ", r.pass);
  return t + "\n";
}

}  // namespace mezzo::codegen::cpu
