// schedule: puts launches into an order with small peak memory. Several orders are made and measured: the
// order of the nodes by phase, and two greedy ones; the best wins, so that a greedy choice never makes things
// worse.
#include <algorithm>
#include <limits>
#include <queue>
#include <set>

#include "ir/op.h"
#include "passes/passes.h"
#include "passes/storage_classes.h"

namespace mezzo::passes {

using namespace ir;

namespace {

// Launches and the storage they make and read, by number.
class Launches {
 public:
  explicit Launches(const Graph& graph) {
    std::vector<int> at = positions(graph);
    number_.assign(at.size(), -1);
    std::set<std::pair<const Node*, int>> in_place;
    auto candidates = in_place_candidates(graph);
    for (auto& [update, v] : candidates) in_place.insert({v.node, v.index});
    for (auto& node : graph.nodes()) {
      if (!is_launch(*node)) continue;
      number_[id(node.get())] = count();
      nodes_.push_back(node.get());
      first_.push_back(static_cast<int>(bytes_.size()));
      for (int k = 0; k < node->output_count(); k++) {
        bytes_.push_back(in_place.count({node.get(), k}) ? 0 : node->type(k).bytes());
        readers_.emplace_back();
      }
    }
    reads_.resize(nodes_.size());
    next_.resize(nodes_.size());
    before_.assign(nodes_.size(), 0);
    for (int n = 0; n < count(); n++)
      for (const Value& v : nodes_[index(n)]->inputs()) {
        int s = v ? storage(root_of(v)) : -1;
        if (s < 0 || !readers_[index(s)].insert(n).second) continue;
        reads_[index(n)].push_back(s);
        add_edge(number_[id(root_of(v).node)], n);
      }
    for (const Output& o : graph.outputs) keep(o.value);
    for (const Update& u : graph.updates) keep(u.value);
    for (auto& [update, v] : candidates) write_last(*update->state, number_[id(v.node)]);
  }

  int count() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int n) const { return *nodes_[index(n)]; }
  const std::vector<int>& next(int n) const { return next_[index(n)]; }
  const std::vector<int>& before() const { return before_; }  // number of launches each one waits for

  // Walks an order: what running `n` allocates, and what it frees.
  class Memory {
   public:
    explicit Memory(const Launches& l) : l_(l) {
      for (auto& readers : l.readers_) left_.push_back(static_cast<int>(readers.size()));
    }
    int64_t allocated(int n) const {
      int64_t sum = 0;
      for (int k = 0; k < l_.node(n).output_count(); k++) sum += l_.bytes_[index(l_.first_[index(n)] + k)];
      return sum;
    }
    int64_t freed(int n) const {
      int64_t sum = 0;
      for (int s : l_.reads_[index(n)])
        if (left_[index(s)] == 1) sum += l_.bytes_[index(s)];
      return sum;
    }
    void run(int n) {
      live_ += allocated(n);
      peak_ = std::max(peak_, live_);
      live_ -= freed(n);
      for (int s : l_.reads_[index(n)]) left_[index(s)]--;
    }
    int64_t peak() const { return peak_; }

   private:
    const Launches& l_;
    std::vector<int> left_;  // readers to come, per storage; one more for what must live to the end
    int64_t live_ = 0, peak_ = 0;
  };

 private:
  static size_t index(int i) { return static_cast<size_t>(i); }
  static size_t id(const Node* n) { return static_cast<size_t>(n->id()); }
  int storage(Value root) const {
    int n = number_[id(root.node)];
    return n < 0 ? -1 : first_[index(n)] + root.index;
  }
  void keep(Value v) {
    if (int s = storage(root_of(v)); s >= 0) readers_[index(s)].insert(-1);
  }
  void add_edge(int from, int to) {
    if (std::find(next_[index(from)].begin(), next_[index(from)].end(), to) != next_[index(from)].end())
      return;
    next_[index(from)].push_back(to);
    before_[index(to)]++;
  }
  // Other readers of a state go first, where data allows, so that its update can happen in place.
  void write_last(const Node& state, int writer) {
    std::set<int> behind{writer};
    std::vector<int> work{writer};
    while (!work.empty()) {
      int n = work.back();
      work.pop_back();
      for (int user : next_[index(n)])
        if (behind.insert(user).second) work.push_back(user);
    }
    for (int n = 0; n < count(); n++)
      for (const Value& v : nodes_[index(n)]->inputs())
        if (v && root_of(v).node == &state && !behind.count(n)) add_edge(n, writer);
  }

  std::vector<const Node*> nodes_;
  std::vector<int> number_;              // node id -> launch
  std::vector<int> first_;               // launch -> storage of its output 0
  std::vector<int64_t> bytes_;           // per storage
  std::vector<std::set<int>> readers_;   // per storage
  std::vector<std::vector<int>> reads_;  // launch -> storages
  std::vector<std::vector<int>> next_;
  std::vector<int> before_;
};

// What makes one ready launch better than another; smaller is better.
using Rank = std::tuple<int64_t, int, int>;
using Choice = Rank (*)(const Launches&, const Launches::Memory&, int launch);

Rank by_phase(const Launches& l, const Launches::Memory&, int n) {
  return {0, static_cast<int>(l.node(n).phase), n};
}
Rank by_growth(const Launches& l, const Launches::Memory& m, int n) {
  return {m.allocated(n) - m.freed(n), static_cast<int>(l.node(n).phase), n};
}
// Whatever shrinks memory at once; otherwise in order.
Rank shrinking_first(const Launches& l, const Launches::Memory& m, int n) {
  return {std::min<int64_t>(m.allocated(n) - m.freed(n), 0), static_cast<int>(l.node(n).phase), n};
}

std::vector<int> order_by(const Launches& l, Choice choice, int64_t& peak) {
  Launches::Memory memory(l);
  std::vector<int> missing = l.before(), order;
  std::set<int> ready;
  for (int n = 0; n < l.count(); n++)
    if (missing[static_cast<size_t>(n)] == 0) ready.insert(n);
  while (!ready.empty()) {
    int best = *std::min_element(ready.begin(), ready.end(),
                                 [&](int a, int b) { return choice(l, memory, a) < choice(l, memory, b); });
    ready.erase(best);
    order.push_back(best);
    memory.run(best);
    for (int n : l.next(best))
      if (--missing[static_cast<size_t>(n)] == 0) ready.insert(n);
  }
  check(order.size() == static_cast<size_t>(l.count()),
        "schedule: the launches depend on each other in a cycle");
  peak = memory.peak();
  return order;
}

}  // namespace

void schedule(Graph& graph, const Options&) {
  graph.remove_dead_nodes();
  Launches launches(graph);
  std::vector<int> best;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (Choice choice : {by_phase, by_growth, shrinking_first}) {
    int64_t peak = 0;
    std::vector<int> order = order_by(launches, choice, peak);
    if (peak < least) {
      least = peak;
      best = std::move(order);
    }
  }
  // Leaves first; an alias stands behind what it is an alias of.
  std::vector<Node*> order;
  std::vector<std::vector<Node*>> aliases(positions(graph).size());
  for (auto& node : graph.nodes()) {
    if (is_reshape(*node))
      aliases[static_cast<size_t>(root_of(node->out()).node->id())].push_back(node.get());
    else if (!is_launch(*node))
      order.push_back(node.get());
  }
  auto add_aliases = [&](const Node* n) {
    auto& list = aliases[static_cast<size_t>(n->id())];
    order.insert(order.end(), list.begin(), list.end());
  };
  for (size_t i = 0, leaves = order.size(); i < leaves; i++) add_aliases(order[i]);
  for (int n : best) {
    order.push_back(const_cast<Node*>(&launches.node(n)));
    add_aliases(&launches.node(n));
  }
  graph.reorder(order);
  graph.scheduled = true;
}

}  // namespace mezzo::passes
