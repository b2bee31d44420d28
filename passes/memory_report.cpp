// memory_report: what a plan's bytes are for.
#include <algorithm>
#include <cstdio>

#include "ir/op.h"
#include "passes/plan_memory.h"
#include "passes/storage_classes.h"

namespace mezzo::passes {

using namespace ir;

namespace {

std::string describe(const Node& n) {
  std::string names;
  for (size_t i = 0; i < n.origin.size() && i < 3; i++) names += (i ? ", " : " ") + n.origin[i];
  if (n.origin.size() > 3) names += " and " + std::to_string(n.origin.size() - 3) + " more";
  return concat(n.op().name, names, " (", name(n.phase), ")");
}

void add_leaf(MemoryReport& r, const Node& n) {
  int64_t bytes = n.type().bytes();
  if (is_input(n)) r.inputs += bytes;
  if (is_constant(n)) r.constants += bytes;
  if (is_time_loop(n))
    for (auto& inner : n.body->nodes())  // of one element: part of the kernels
      if (is_constant(*inner) && inner->type().count() > 1) r.constants += inner->type().bytes();
  if (!is_state(n)) return;
  switch (*parse_state_kind(n.s("kind"))) {
    case StateKind::parameter: r.parameters += bytes; break;
    case StateKind::slot: r.slots += bytes; break;
    case StateKind::copy: r.copies += bytes; break;
    case StateKind::accumulator: r.accumulators += bytes; break;
    default: r.statistics += bytes;
  }
}

}  // namespace

std::vector<std::pair<std::string_view, int64_t>> MemoryReport::categories() const {
  return {{"parameters", parameters},
          {"copies", copies},
          {"slots", slots},
          {"statistics", statistics},
          {"accumulators", accumulators},
          {"inputs", inputs},
          {"constants", constants},
          {"arena", arena},
          {"scratch", scratch}};
}

int64_t MemoryReport::total() const {
  int64_t sum = 0;
  for (auto& [what, bytes] : categories()) sum += bytes;
  return sum;
}

MemoryReport memory_report(const Graph& planned, const Graph* window_end, size_t entries) {
  MemoryReport r;
  r.arena = planned.arena_bytes;
  if (window_end) {
    r.arena = std::max(r.arena, window_end->arena_bytes);
    for (auto& node : window_end->nodes())
      if (!is_state(*node) || !planned.find_state(node->s("name"))) add_leaf(r, *node);
  }
  std::vector<const Node*> launches;
  for (auto& node : planned.nodes()) {
    add_leaf(r, *node);
    if (is_launch(*node)) launches.push_back(node.get());
  }
  std::vector<Lifetime> values = lifetimes(planned, 1);
  int end = static_cast<int>(launches.size()), at = 0;
  std::vector<int64_t> live(static_cast<size_t>(end) + 1, 0);
  for (const Lifetime& v : values)
    for (int t = v.from; t <= v.until; t++) live[static_cast<size_t>(t)] += v.bytes;
  for (int t = 0; t <= end; t++)
    if (live[static_cast<size_t>(t)] > live[static_cast<size_t>(at)]) at = t;
  r.peak = live[static_cast<size_t>(at)];
  if (at < end) r.peak_launch = describe(*launches[static_cast<size_t>(at)]);

  std::erase_if(values, [&](const Lifetime& v) { return v.from > at || v.until < at; });
  auto phase_at = [&](int t) { return launches[static_cast<size_t>(std::min(t, end - 1))]->phase; };
  for (const Lifetime& v : values) {
    Phase made = v.value.node->phase, read = phase_at(v.until);
    int64_t& part = v.until == end                                     ? r.results
                    : made == Phase::forward && read != Phase::forward ? r.activations
                    : made == Phase::backward && read == Phase::update ? r.gradients
                                                                       : r.temporaries;
    part += v.bytes;
  }
  auto weight = [](const Lifetime& v) { return static_cast<double>(v.bytes) * (v.until - v.from + 1); };
  std::stable_sort(values.begin(), values.end(), [&](auto& a, auto& b) { return weight(a) > weight(b); });
  for (size_t i = 0; i < values.size() && i < entries; i++)
    r.largest.push_back({describe(*values[i].value.node), values[i].bytes, values[i].from, values[i].until});
  return r;
}

std::string to_string(const MemoryReport& r) {
  std::string out;
  auto row = [&](std::string_view what, int64_t bytes) {
    char line[96];
    std::snprintf(line, sizeof line, "%-14s %14lld bytes\n", std::string(what).c_str(),
                  static_cast<long long>(bytes));
    out += line;
  };
  row("parameters", r.parameters);
  if (r.copies) row("copies", r.copies);
  row("slots", r.slots);
  row("statistics", r.statistics);
  if (r.accumulators) row("accumulators", r.accumulators);
  row("inputs", r.inputs);
  row("constants", r.constants);
  row("arena", r.arena);
  row("  most alive", r.peak);
  row("  activations", r.activations);
  row("  gradients", r.gradients);
  row("  results", r.results);
  row("  temporaries", r.temporaries);
  row("scratch", r.scratch);
  row("total", r.total());
  if (!r.peak_launch.empty()) out += "most is alive at " + r.peak_launch + "\n";
  for (const MemoryReport::Entry& e : r.largest)
    out += concat("  ", e.bytes, " bytes from launch ", e.from, " to ", e.until, ": ", e.what, "\n");
  return out;
}

}  // namespace mezzo::passes
