// plan_memory: offsets of all values in one arena. States are updated in place where nothing else reads them
// any more.
#include "passes/plan_memory.h"

#include <algorithm>
#include <map>
#include <set>

#include "ir/op.h"
#include "ir/round_up.h"
#include "passes/memory_check.h"
#include "passes/passes.h"
#include "passes/storage_classes.h"

namespace mezzo::passes {

using namespace ir;

namespace {

constexpr int64_t kAlignment = 64;  // a cache line; also the widest vector

// Number of every launch in the order of execution, by node id; -1 for leaves and aliases.
std::vector<int> launch_numbers(const Graph& graph, int* count) {
  std::vector<int> number;
  *count = 0;
  for (auto& node : graph.nodes()) {
    number.resize(std::max(number.size(), static_cast<size_t>(node->id()) + 1), -1);
    if (is_launch(*node)) number[static_cast<size_t>(node->id())] = (*count)++;
  }
  return number;
}

// Marks the outputs that are computed in the storage of their state.
void choose_in_place(Graph& graph) {
  int count = 0;
  std::vector<int> number = launch_numbers(graph, &count);
  std::map<int, int> last;
  for (auto& node : graph.nodes()) {
    if (!is_launch(*node)) continue;
    node->offsets.assign(static_cast<size_t>(node->output_count()), -1);
    for (const Value& v : node->inputs())
      if (v) last[root_of(v).node->id()] = number[static_cast<size_t>(node->id())];
  }
  for (auto& [update, v] : in_place_candidates(graph)) {
    auto it = last.find(update->state->id());
    if (it == last.end() || it->second <= number[static_cast<size_t>(v.node->id())])
      v.node->offsets[static_cast<size_t>(v.index)] = kInPlace;
  }
}

}  // namespace

std::vector<Lifetime> lifetimes(const Graph& graph, int64_t alignment) {
  int count = 0;
  std::vector<int> number = launch_numbers(graph, &count);
  std::vector<Lifetime> out;
  std::map<std::pair<int, int>, size_t> at;
  auto extend = [&](Value v, int until) {
    Value root = root_of(v);
    auto it = at.find({root.node->id(), root.index});
    if (it != at.end()) out[it->second].until = std::max(out[it->second].until, until);
  };
  for (auto& node : graph.nodes()) {
    if (!is_launch(*node)) continue;
    int now = number[static_cast<size_t>(node->id())];
    for (const Value& v : node->inputs())
      if (v) extend(v, now);
    for (int k = 0; k < node->output_count(); k++) {
      auto i = static_cast<size_t>(k);
      if (i < node->offsets.size() && node->offsets[i] == kInPlace) continue;
      at[{node->id(), k}] = out.size();
      int64_t offset = i < node->offsets.size() ? node->offsets[i] : -1;
      out.push_back({node->out(k), ir::round_up(node->type(k).bytes(), alignment), now, now, offset});
    }
  }
  for (const Output& o : graph.outputs) extend(o.value, count);
  for (const Update& u : graph.updates) extend(u.value, count);
  return out;
}

void plan_memory(Graph& graph, const Options&) {
  check(graph.scheduled, "plan_memory needs a scheduled graph");
  choose_in_place(graph);
  std::vector<Lifetime> values = lifetimes(graph, kAlignment);
  graph.arena_bytes = place(values);
  for (const Lifetime& l : values) l.value.node->offsets[static_cast<size_t>(l.value.index)] = l.offset;
  check_memory(graph);
}

}  // namespace mezzo::passes
