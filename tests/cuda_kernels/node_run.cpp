#include "node_run.h"

#include <cmath>
#include <cstring>

#include "codegen/emit.h"
#include "ir/op.h"

namespace mezzo::cuda_sim {
namespace {

using codegen::cuda::KernelSource;
using ir::Tensor;

// Operands up to this size stay in the nearest caches while a kernel reads them over and over.
constexpr uint64_t kCachedBytes = 32 << 10;

// The input whose memory output k shares by the plan, or -1.
int input_under(const ir::Node& n, size_t k) {
  if (k >= n.offsets.size()) return -1;
  for (size_t i = 0; i < n.input_count(); i++) {
    if (!n.has(i)) continue;
    const ir::Value root = ir::root_of(n.in(i));
    auto output = static_cast<size_t>(root.index);
    if (output < root.node->offsets.size() && root.node->offsets[output] >= 0 &&
        root.node->offsets[output] == n.offsets[k] &&
        root.type().bytes() == n.type(static_cast<int>(k)).bytes())
      return static_cast<int>(i);
  }
  return -1;
}

void copy_in(std::byte* to, const Tensor& from) {
  if (from.bytes() > 0) std::memcpy(to, from.data(), static_cast<size_t>(from.bytes()));
}

}  // namespace

std::vector<Tensor> run_node(const Module& module, const KernelSource& source, const ir::Node& node,
                             const std::vector<const Tensor*>& inputs, NodeTraffic* traffic) {
  Simulator gpu;
  std::vector<std::byte*> arguments, scratch;
  for (size_t i = 0; i < inputs.size(); i++)
    arguments.push_back(inputs[i] ? gpu.allocate(static_cast<size_t>(inputs[i]->bytes()), concat("input ", i))
                                  : nullptr);
  std::vector<bool> own;
  for (int k = 0; k < node.output_count(); k++) {
    int under = input_under(node, static_cast<size_t>(k));
    own.push_back(under < 0);
    arguments.push_back(under >= 0
                            ? arguments[static_cast<size_t>(under)]
                            : gpu.allocate(static_cast<size_t>(node.type(k).bytes()), concat("output ", k)));
  }
  for (size_t i = 0; i < source.scratch_bytes.size(); i++)
    scratch.push_back(gpu.allocate(static_cast<size_t>(source.scratch_bytes[i]), concat("scratch ", i)));

  std::vector<Tensor> first;
  for (Order order : {Order::ascending, Order::descending, Order::shuffled}) {
    for (size_t k = 0; k < own.size(); k++)
      if (own[k]) gpu.poison(arguments[inputs.size() + k]);
    for (std::byte* s : scratch) gpu.poison(s);
    for (size_t i = 0; i < inputs.size(); i++)
      if (inputs[i]) copy_in(arguments[i], *inputs[i]);
    gpu.reset_traffic();
    for (const auto& l : source.launches) {
      std::vector<void*> pointers;
      for (int a : l.arguments)
        pointers.push_back(a < 0 ? scratch[static_cast<size_t>(-1 - a)] : arguments[static_cast<size_t>(a)]);
      gpu.launch(module, l.function, {l.grid.x, l.grid.y, l.grid.z}, {l.block.x, l.block.y, l.block.z},
                 l.shared_bytes, pointers, order);
    }
    for (int k = 0; k < node.output_count(); k++) {
      Tensor t(node.type(k));
      const std::byte* from = arguments[inputs.size() + static_cast<size_t>(k)];
      if (t.bytes() > 0) std::memcpy(t.data(), from, static_cast<size_t>(t.bytes()));
      if (order == Order::ascending)
        first.push_back(std::move(t));
      else if (t.bytes() > 0 && std::memcmp(t.data(), first[static_cast<size_t>(k)].data(),
                                            static_cast<size_t>(t.bytes())) != 0)
        throw Fault(concat(source.launches.back().function, ": orders disagree in output ", k));
    }
  }
  if (traffic) {
    auto count = [&](const std::byte* memory, uint64_t bytes, uint64_t least) {
      Traffic t = gpu.traffic(memory);
      bool cached = bytes <= kCachedBytes && t.written == 0;
      traffic->moved += cached ? std::min<uint64_t>(t.read, bytes) : t.read + t.written;
      traffic->least += least;
    };
    for (size_t i = 0; i < arguments.size(); i++) {
      if (!arguments[i]) continue;
      bool input = i < inputs.size();
      uint64_t bytes = static_cast<uint64_t>(input ? inputs[i]->bytes()
                                                   : node.type(static_cast<int>(i - inputs.size())).bytes());
      if (input || own[i - inputs.size()])
        count(arguments[i], bytes, bytes);
      else
        traffic->least += bytes;  // its memory is an input's, counted there
    }
    for (size_t i = 0; i < scratch.size(); i++) count(scratch[i], UINT64_MAX, 0);
  }
  return first;
}

void NodeRuns::add(std::string what, const ir::Graph& graph, std::map<std::string, Tensor> feeds) {
  Item item{std::move(what), &graph, std::move(feeds), {}};
  for (const auto& n : graph.nodes()) {
    if (ir::is_input(*n) || ir::is_state(*n) || ir::is_constant(*n) || ir::is_reshape(*n)) continue;
    try {
      item.sources.emplace(n.get(), kernels_.add(*n));
      nodes_++;
    } catch (const codegen::Unsupported& e) {
      unsupported_[concat(n->op().name, ": ", e.what())]++;
    }
  }
  items_.push_back(std::move(item));
}

int NodeRuns::launches() const {
  size_t count = 0;
  for (const Item& item : items_)
    for (const auto& [node, source] : item.sources) count += source.launches.size();
  return static_cast<int>(count);
}

void NodeRuns::run(const std::function<void(const std::string& what, const Outcome&)>& tell) {
  const Module& module = kernels_.module();
  for (const Item& item : items_) {
    std::map<ir::Value, Tensor, bool (*)(const ir::Value&, const ir::Value&)> values(
        [](const ir::Value& a, const ir::Value& b) {
          return a.node->id() != b.node->id() ? a.node->id() < b.node->id() : a.index < b.index;
        });
    for (const auto& n : item.graph->nodes()) {
      if (ir::is_input(*n) || ir::is_state(*n)) {
        auto it = item.feeds.find(n->s("name"));
        values.emplace(n->out(), it != item.feeds.end() ? it->second : ir::initial_value(*item.graph, *n));
        continue;
      }
      std::vector<const Tensor*> inputs;
      for (const ir::Value& v : n->inputs()) inputs.push_back(v ? &values.at(v) : nullptr);
      Outcome o{n.get(), nullptr, {}, ir::evaluate_node(*n, inputs, ir::EvalMode::rounded), {}, 0, {}};
      if (auto it = item.sources.find(n.get()); it != item.sources.end()) {
        o.source = &it->second;
        for (const Tensor* t : inputs)
          if (t && ir::is_float(t->dtype()))
            for (int64_t i = 0; i < t->count(); i++)
              if (double v = std::fabs(t->get(i)); std::isfinite(v))
                o.greatest_input = std::max(o.greatest_input, v);
        try {
          o.got = run_node(module, it->second, *n, inputs, &o.traffic);
        } catch (const Fault& e) {
          o.fault = e.what();
        }
        tell(item.what, o);
      }
      for (int k = 0; k < n->output_count(); k++)
        values.insert_or_assign(n->out(k), o.want[static_cast<size_t>(k)]);
    }
  }
}

}  // namespace mezzo::cuda_sim
