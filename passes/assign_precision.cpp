// assign_precision.cpp: gives every f32 value its dtype by the class of its op, and inserts the Casts.
//
// One walk in topological order: a node's dtype follows from its class and the dtypes its inputs have got by
// then.
//   low        runs in 16 bits, unless an input is a position (an integer made float), which must not be
//              narrowed
//   bounded    runs in its input's dtype, f32 inside
//   pass       runs in its input's dtype
//   widest     16 bits only if every activation among its inputs has 16 bits; constants and parameters do not
//              count, and are never narrowed for it: the op then computes in f32 and its result is rounded
//              once
//   bounded, widest and elementwise   f32 where only f32 ops read the result, which costs nothing: it spares
//              log(1 - sigmoid) an argument of 0, and coordinates their last bits. (Not a product with its
//              bias: the logits of a classifier have 16 bits.)
//   unbounded, full   f32
// A sum of a matrix product and a bias is one accumulation: the product hands its f32 accumulator to the Add,
// and the Add's result is rounded. Values of other types than f32 keep theirs; the file's own Casts stay what
// they are.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "ir/build.h"
#include "ir/glob.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::DType;
using ir::Node;
using ir::Precision;
using ir::Value;
using ir::Values;

bool contains(const std::vector<int>& list, size_t i) {
  return std::find(list.begin(), list.end(), static_cast<int>(i)) != list.end();
}

std::string node_name(const Node& n) {
  if (ir::is_state(n) || ir::is_input(n)) return n.s("name");
  return n.origin.empty() ? std::string(n.op().name) : n.origin.front();
}

std::string value_name(const Node& n, int output) {
  return n.output_count() == 1 ? node_name(n) : concat(node_name(n), ":", output);
}

// What the rules know about a value of the graph being read.
struct Facts {
  bool weight = false;    // made of parameters and constants only: never decides a dtype
  bool constant = false;  // made of constants only: computed once, in f32
  bool position = false;  // made of integers (and weights) only: must not lose bits
  bool f32_only =
      false;  // read by f32 ops only, or by elementwise and moving ones whose results only these read
};

std::unordered_map<const Node*, Facts> collect_facts(const Graph& graph) {
  std::unordered_map<const Node*, Facts> facts;
  for (auto& node : graph.nodes()) {
    Facts f;
    const bool reads_values = node->input_count() > 0;
    if (!reads_values) {
      f.constant = ir::is_constant(*node);
      f.weight = f.constant || ir::is_state(*node);
    } else {
      bool all_weights = true, all_constant = true, all_positions = true, any_position = false;
      for (const Value& v : node->inputs()) {
        if (!v) continue;
        const Facts& in = facts[v.node];
        all_weights &= in.weight;
        all_constant &= in.constant;
        // Integers and conditions only choose.
        all_positions &= in.weight || in.position || !ir::is_float(v.dtype());
        any_position |= in.position;
      }
      f.weight = all_weights;
      f.constant = all_constant;
      const bool made_float = ir::is_cast(*node) && ir::is_float(node->type().dtype) &&
                              ir::is_integer(node->in_type(0).dtype) &&
                              ir::byte_size(node->in_type(0).dtype) > 1;
      // A function that bounds its result (sin, softmax ...) ends being a position; arithmetic does not.
      const bool keeps =
          node->op().precision != Precision::bounded && node->op().precision != Precision::full;
      f.position = !all_weights && (made_float || (all_positions && any_position && keeps));
    }
    facts[node.get()] = f;
  }
  return facts;
}

// The model's outputs are what they are: they neither ask for f32 nor object to it.
void collect_f32_only(const Graph& graph, const ir::UseMap& uses,
                      std::unordered_map<const Node*, Facts>& facts) {
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node& node = **it;
    size_t readers = 0;
    bool all_f32 = true;
    for (int k = 0; k < node.output_count(); k++) {
      const auto& list = uses.of(node.out(k));
      readers += list.size();
      for (const ir::Use& use : list) {
        const Precision p = use.node->op().precision;
        const bool follows =
            p == Precision::pass || (use.node->op().meaning == ir::Meaning::scalar && p != Precision::fixed);
        all_f32 &= p == Precision::full || p == Precision::unbounded || (follows && facts[use.node].f32_only);
      }
    }
    facts[&node].f32_only = all_f32 && readers > 0;
  }
}

class Assigner {
 public:
  Assigner(const Graph& graph, const Options& options)
      : options_(options), facts_(collect_facts(graph)), uses_(graph) {
    collect_f32_only(graph, uses_, facts_);
    // Without one matrix product or convolution, rounding buys nothing: all stays f32.
    for (auto& node : graph.nodes()) any_low_ |= node->op().precision == Precision::low && is_f32(*node);
  }

  std::optional<Values> operator()(Graph& to, const Node& node, const Values& inputs) {
    const Decision d = decide(node, inputs);
    Values out = build(to, node, inputs, d);
    for (int k = 0; k < node.output_count(); k++) record(node, k, out[static_cast<size_t>(k)].dtype(), d);
    return out;
  }

  // Every override must have matched, and every value it matched must have its dtype.
  void check_overrides() const {
    for (size_t i = 0; i < options_.overrides.size(); i++)
      if (!used_overrides_.count(i))
        throw Error(ErrorCode::bad_input, concat("no node matches '", options_.overrides[i].match, "'"),
                    options_.overrides[i].match,
                    "overrides name an ONNX node, an op type or a glob over node names");
  }

 private:
  struct Decision {
    std::optional<DType> dtype;  // of the node's f32 results; none: the rules do not concern it
    bool accumulator = false;    // a product that hands its f32 accumulator to the bias Add behind it
    std::string rule;
    bool overridden = false;
  };

  static bool is_f32(const Node& n) { return n.output_count() > 0 && n.type().dtype == DType::f32; }

  const PrecisionOverride* find_override(const Node& node) {
    const PrecisionOverride* found = nullptr;
    for (size_t i = 0; i < options_.overrides.size(); i++) {
      const PrecisionOverride& o = options_.overrides[i];
      bool hit = o.match == node.op().name;
      for (const std::string& name : node.origin) hit |= name == o.match || ir::matches_glob(name, o.match);
      if (!hit) continue;
      used_overrides_.insert(i);
      found = &o;  // the last one wins
    }
    return found;
  }

  // A product whose only consumer adds a bias (a parameter or constant along the last axis).
  bool feeds_bias(const Node& node) const {
    if (node.op().precision != Precision::low || uses_.count(node.out()) != 1 ||
        uses_.of(node.out()).size() != 1)
      return false;
    const ir::Use& use = uses_.of(node.out())[0];
    if (!ir::is_operation(*use.node, ir::Code::add)) return false;
    const Value other = use.node->in(1 - use.input);
    return facts_.at(other.node).weight && other.rank() <= 1 && use.node->type() == node.type() &&
           std::any_of(node.op().attrs.begin(), node.op().attrs.end(),
                       [](auto& a) { return a.name == "out"; });
  }

  Decision decide(const Node& node, const Values& inputs) {
    Decision d;
    const PrecisionOverride* pin = find_override(node);
    if (ir::is_input(node) || ir::is_state(node) || ir::is_constant(node)) return {{}, false, "leaf", false};
    if (ir::is_cast(node)) return {{}, false, "the model's own cast", false};
    bool any_f32 = false;
    for (int k = 0; k < node.output_count(); k++) any_f32 |= node.type(k).dtype == DType::f32;
    if (!any_f32) return {{}, false, "not f32", false};
    if (pin) return {pin->dtype, false, concat("override ", pin->match), true};
    if (!options_.low) return {DType::f32, false, "fp32", false};
    if (!any_low_) return {DType::f32, false, "no matrix product in the model", false};

    if (facts_.at(&node).constant) return {DType::f32, false, "constant", false};

    const DType low = *options_.low;
    bool all_low = true, any_activation = false, position = false, accumulates = false;
    for (size_t i = 0; i < inputs.size(); i++) {
      if (!inputs[i] || !ir::is_float(node.in_type(i).dtype) || contains(node.op().f32_inputs, i)) continue;
      const Facts& f = facts_.at(node.in(i).node);
      position |= f.position;
      if (accumulators_.count(inputs[i].node))
        accumulates = true;
      else if (!f.weight)
        all_low &= inputs[i].dtype() == low;
      if (!f.weight) any_activation = true;
    }
    const bool computes_in_f32 =
        node.op().precision == Precision::bounded ||
        (node.op().precision == Precision::widest && node.op().meaning == ir::Meaning::scalar);
    if (computes_in_f32 && !accumulates && facts_.at(&node).f32_only)
      return {DType::f32, false, concat(ir::name(node.op().precision), ": read in f32 only"), false};
    switch (node.op().precision) {
      case Precision::low:
        if (position) return {DType::f32, false, "low, but computes with positions", false};
        return {low, feeds_bias(node), "low: f32 accumulation, one rounding", false};
      case Precision::bounded:
      case Precision::pass:
      case Precision::widest: {
        const std::string rule(ir::name(node.op().precision));
        if (accumulates && all_low) return {low, false, "bias on the accumulator, one rounding", false};
        if (any_activation && all_low) return {low, false, rule + ": 16-bit inputs", false};
        return {DType::f32, false, rule + ": an input is f32", false};
      }
      case Precision::unbounded:
        return {DType::f32, false, "unbounded: the result may outgrow 16 bits", false};
      case Precision::full: return {DType::f32, false, "full: loses accuracy or range in 16 bits", false};
      case Precision::fixed: return {{}, false, "fixed by definition", false};
      case Precision::unset: break;
    }
    return {DType::f32, false, "unknown op", false};
  }

  Value converted(Value v, DType to) {
    if (v.dtype() == to) return v;
    Value& cached = casts_[{v.node->id(), v.index, to}];
    if (!cached) {
      ir::Scope scope(v.node->graph(), *v.node);
      cached = ir::cast(v, to);
    }
    return cached;
  }

  // The node on inputs of one dtype, its results of the decided one.
  Values build(Graph& to, const Node& node, const Values& inputs, const Decision& d) {
    if (!d.dtype) {
      // Types the rules do not touch: restore what the node was made for.
      Values same = inputs;
      for (size_t i = 0; i < same.size(); i++)
        if (same[i] && !ir::is_cast(node)) same[i] = converted(same[i], node.in_type(i).dtype);
      return ir::copy_node(to, node, same);
    }
    const Precision p = node.op().precision;
    const bool native = p == Precision::low || p == Precision::bounded || p == Precision::pass;
    bool run_low = *d.dtype != DType::f32 && native;
    if (*d.dtype != DType::f32 && !native) {  // elementwise on 16-bit values alone runs as it stands
      run_low = p == Precision::widest;
      for (size_t i = 0; i < inputs.size(); i++)
        run_low &= !inputs[i] || node.in_type(i).dtype != DType::f32 || inputs[i].dtype() == *d.dtype;
    }
    Values args = inputs;
    for (size_t i = 0; i < args.size(); i++) {
      if (!args[i]) continue;
      DType wanted = node.in_type(i).dtype;
      if (wanted == DType::f32 && run_low && !contains(node.op().f32_inputs, i)) wanted = *d.dtype;
      args[i] = converted(args[i], wanted);
    }
    ir::Scope scope(to, node);
    ir::Attrs attrs = node.attrs();
    if (d.accumulator && run_low) attrs["out"] = DType::f32;
    Node* made = to.add(node.op(), args, std::move(attrs));
    Values out;
    for (int k = 0; k < made->output_count(); k++) {
      Value v = made->out(k);
      if (d.accumulator && run_low)
        accumulators_.insert(v.node);
      else if (node.type(k).dtype == DType::f32 && !run_low && *d.dtype != DType::f32)
        v = ir::cast(v, *d.dtype);
      out.push_back(v);
    }
    return out;
  }

  void record(const Node& node, int k, DType dtype, const Decision& d) {
    if (!options_.plan || !ir::is_float(dtype)) return;
    options_.plan->push_back(
        {node_name(node), value_name(node, k), std::string(node.op().name), dtype, d.rule, d.overridden});
  }

  const Options& options_;
  std::unordered_map<const Node*, Facts> facts_;
  ir::UseMap uses_;
  bool any_low_ = false;
  std::map<std::tuple<int, int, DType>, Value> casts_;
  std::set<const Node*> accumulators_;  // looked up only
  std::set<size_t> used_overrides_;
};

}  // namespace

void assign_precision(Graph& graph, const Options& options) {
  Assigner assigner(graph, options);
  Graph out = ir::rewrite(graph, std::ref(assigner));
  assigner.check_overrides();
  graph = std::move(out);
}

}  // namespace mezzo::passes
