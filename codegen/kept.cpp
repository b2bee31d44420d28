// kept.cpp: which values of a row are worth keeping from one pass to the next.
#include <algorithm>

#include "codegen/loops.h"

namespace mezzo::codegen {
namespace {

bool is_reduction(const ir::Node& n) { return n.op().meaning == ir::Meaning::reduce; }

int64_t weight(const ir::Node& n) {
  if (n.op().meaning != ir::Meaning::scalar) return 0;
  switch (n.op().scalar.code) {
    case ir::Code::program: return static_cast<int64_t>(n.op().scalar.program().body.size());
    case ir::Code::div:
    case ir::Code::sqrt:
    case ir::Code::mod:
    case ir::Code::fmod: return 5;
    case ir::Code::cast: return ir::is_low(n.type().dtype) ? 5 : 0;
    default: return 1;
  }
}

// The nodes needed to compute `roots`, not looking behind reductions.
std::unordered_map<const ir::Node*, bool> needed(const ir::Values& roots) {
  std::unordered_map<const ir::Node*, bool> seen;
  std::vector<const ir::Node*> stack;
  for (const ir::Value& v : roots) stack.push_back(v.node);
  while (!stack.empty()) {
    const ir::Node* n = stack.back();
    stack.pop_back();
    if (!seen.emplace(n, true).second || is_reduction(*n)) continue;
    for (const ir::Value& v : n->inputs()) stack.push_back(v.node);
  }
  return seen;
}

}  // namespace

std::vector<KeptValue> choose_kept(const Segment& segment, int64_t worth, int64_t room) {
  std::vector<KeptValue> kept;
  if (segment.passes < 2) return kept;
  std::vector<ir::Values> roots(static_cast<size_t>(segment.passes));
  auto at = [&](int pass) -> ir::Values& { return roots[static_cast<size_t>(pass)]; };
  for (const FoldedValue& f : segment.row) at(f.pass).push_back(f.operand);
  for (const FoldedValue& f : segment.free)
    if (!f.per_row) at(f.pass).push_back(f.operand);
  for (const Result& r : segment.results)
    if (r.when == When::pass) at(r.pass).push_back(r.value);
  std::unordered_map<const ir::Node*, int> first;  // pass that computes a node first
  for (int p = 0; p < segment.passes; p++) {
    auto here = needed(at(p));
    auto wanted_by_new = [&](const ir::Node* n) {
      for (const ir::Value& v : at(p))
        if (v.node == n) return true;
      for (const ir::Node* user : segment.nodes)
        if (here.count(user) && !first.count(user) && !is_reduction(*user))
          for (const ir::Value& v : user->inputs())
            if (v.node == n) return true;
      return false;
    };
    for (const ir::Node* n : segment.nodes) {
      auto it = first.find(n);
      if (!here.count(n) || it == first.end() || is_reduction(*n) || n->type().dims != segment.domain)
        continue;
      int64_t cost = 0;
      for (const auto& [below, yes] : needed({n->out()})) cost += yes ? weight(*below) : 0;
      bool known =
          std::any_of(kept.begin(), kept.end(), [&](const KeptValue& k) { return k.value.node == n; });
      if (cost >= worth && !known && room > 0 && wanted_by_new(n)) {
        kept.push_back({n->out(), it->second});
        room--;
      }
    }
    for (const auto& [n, yes] : here) first.emplace(n, p);
  }
  return kept;
}

}  // namespace mezzo::codegen
