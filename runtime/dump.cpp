#include "runtime/dump.h"

#include <algorithm>
#include <vector>

#include "ir/op.h"
#include "passes/plan_memory.h"
#include "passes/storage_classes.h"

namespace mezzo::runtime {
namespace {

struct Place {
  int64_t offset, bytes;
  const ir::Node* node;
  int output;
  size_t first, last;  // positions in execution order between which the value must stay
};

std::string origin_text(const ir::Node& n) {
  std::string out;
  for (size_t i = 0; i < n.origin.size() && i < 3; i++) out += (i ? ", " : "") + n.origin[i];
  return n.origin.size() > 3 ? out + ", ..." : out;
}

std::vector<Place> places(const ir::Graph& graph) {
  std::vector<size_t> launches;  // position of each
  for (size_t i = 0; i < graph.size(); i++)
    if (passes::is_launch(*graph.nodes()[i])) launches.push_back(i);
  launches.push_back(graph.size());  // what lives to the end
  std::vector<Place> out;
  for (const passes::Lifetime& l : passes::lifetimes(graph, 1))
    if (l.offset >= 0)
      out.push_back({l.offset, l.bytes, l.value.node, l.value.index, launches[static_cast<size_t>(l.from)],
                     launches[static_cast<size_t>(l.until)]});
  return out;
}

struct Peak {
  size_t position = 0;
  int64_t bytes = 0;
};

Peak find_peak(const std::vector<Place>& all, size_t positions) {
  std::vector<int64_t> change(positions + 2, 0);
  for (const Place& p : all) {
    change[p.first] += p.bytes;
    change[p.last + 1] -= p.bytes;
  }
  Peak peak;
  int64_t live = 0;
  for (size_t i = 0; i < change.size(); i++) {
    live += change[i];
    if (live > peak.bytes) peak = {i, live};
  }
  return peak;
}

}  // namespace

MemorySummary summarize_memory(const ir::Graph& planned) {
  MemorySummary m;
  for (auto& node : planned.nodes()) {
    if (ir::is_state(*node))
      (node->s("kind") == "parameter" ? m.parameters : m.other_state) += node->type().bytes();
    if (ir::is_input(*node)) m.inputs += node->type().bytes();
    if (ir::is_constant(*node)) m.constants += node->type().bytes();
  }
  m.arena = planned.arena_bytes;
  m.max_live = find_peak(places(planned), planned.size()).bytes;
  return m;
}

std::string memory_text(const ir::Graph& planned) {
  MemorySummary m = summarize_memory(planned);
  std::vector<Place> all = places(planned);
  Peak peak = find_peak(all, planned.size());
  std::string out = concat("arena       ", m.arena, "\nmax live    ", m.max_live,
                           "  (bytes at the peak, position ", peak.position, " of ", planned.size(),
                           ")\nparameters  ", m.parameters, "\nother state ", m.other_state, "\ninputs      ",
                           m.inputs, "\nconstants   ", m.constants, "\n\nlive at the peak, largest first\n");
  std::erase_if(all, [&](const Place& p) { return p.first > peak.position || p.last < peak.position; });
  std::stable_sort(all.begin(), all.end(), [](const Place& a, const Place& b) { return a.bytes > b.bytes; });
  for (const Place& p : all)
    out += concat(p.bytes, "  at ", p.offset, "  ", ir::to_string(p.node->type(p.output)), "  ",
                  p.node->op().name, "  ", ir::name(p.node->phase), "  ", origin_text(*p.node), "\n");
  return out;
}

}  // namespace mezzo::runtime
