// plan_epilogues: matrix products take over what follows them, as far as the numerics allow: DotEpilogue.
//
// In strict numerics that is one thing only, adding to an f32 accumulator: nothing is rounded between the
// sums and the addition. All else skips a rounding that the precision plan has. With excess numerics:
//
//   y = Cast(Dot + bias)                       bias of the type of y (a Cast of the f32 one)
//   h = Dot + bias; y = Cast(Gelu(Cast(h)))    Gelu sees h before it is rounded; h is stored beside y
//   dh = Cast(Cast(Dot) Gelu'(Cast(h)))        the gradient of y is never rounded or stored
//   db = ReduceSum(Cast(dh))                   sums what is not rounded yet; the sum has the type of dh
//   Dot + Dot                                  the second adds to the first
//   attention of 16-bit operands               its weights may be rounded between its two products
//   weight gradient of a convolution           is rounded to the operands' type, as libraries store it
#include <cmath>
#include <unordered_map>

#include "ir/attention.h"
#include "ir/build.h"
#include "ir/dot_epilogue.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::DotEpilogueSpec;
using ir::Epilogue;
using ir::Node;
using ir::Value;
using ir::Values;

constexpr int64_t kAuxUnit = 8;  // libraries want rows of what Gelu was computed of in multiples of this

bool is_power_of_two(double x) {
  int exponent = 0;
  return x > 0 && std::frexp(x, &exponent) == 0.5;
}

// A matrix product as it is stored: a Dot, or the Cast behind an f32 Dot and the addition of a bias.
struct Product {
  const Node* dot = nullptr;
  const Node* stored = nullptr;
  Value bias = {};
};
// What a node that is replaced becomes: output `output` of the DotEpilogue made for `dot`.
struct Part {
  const Node* dot;
  int output = 0;
};
struct EpiloguePlan {
  DotEpilogueSpec spec;
  Value bias, operand;
  const Node* at;  // the node whose place it takes: its operands stand in front of that
};

bool is_widened_weight_gradient(const Node& node) {
  return ir::is_convolution_weight_grad(node) && node.type().dtype != node.in_type(0).dtype;
}

class Planner {
 public:
  Planner(const Graph& graph, const Options& options)
      : uses_(graph), excess_(options.numerics == Numerics::excess) {
    for (const ir::Update& u : graph.updates) plan_accumulation(u);
    if (!excess_) return;
    for (const auto& node : graph.nodes()) {
      if (ir::is_dot(*node)) plan_sum(*node);
      plan_gelu(*node);
      plan_gelu_gradient(*node);
      narrows_ |= is_widened_weight_gradient(*node);
    }
    for (const auto& node : graph.nodes())
      if (Product p = product_stored_by(*node);
          p.dot && p.bias && ir::is_low(node->type().dtype) && !plans_.count(p.dot)) {
        take(p.dot, spec_of(p, Epilogue::bias), p.bias, {}, p.stored);
        parts_[p.stored] = {p.dot};
      }
  }

  bool empty() const { return plans_.empty() && !narrows_; }

  // The replacement of `node`, or nothing.
  std::optional<Values> replace(Graph& to, const Node& node, const Values& inputs) {
    for (size_t i = 0; i < inputs.size(); i++)
      if (inputs[i]) now_[node.in(i)] = inputs[i];
    if (narrows_ && is_widened_weight_gradient(node)) return Values{narrowed(to, node, inputs)};
    auto part = parts_.find(&node);
    if (part == parts_.end()) return std::nullopt;
    const Node* made = make(to, *part->second.dot, node);
    if (!made) return std::nullopt;
    Value v = made->out(part->second.output);
    return Values{ir::reshape(ir::cast(v, node.type().dtype), node.type().dims)};
  }

 private:
  // The product behind reshapes, and behind the Cast that widens a 16-bit one, where nobody else reads any of
  // it.
  const Node* sole_product(Value v) const {
    for (bool cast = false;; v = v.node->in(0)) {
      if (uses_.count(v) != 1) return nullptr;
      if (ir::is_dot(*v.node)) return v.node->has(2) || plans_.count(v.node) ? nullptr : v.node;
      const bool widens = ir::is_cast(*v.node) && ir::is_low(v.node->in_type(0).dtype);
      if (!ir::is_reshape(*v.node) && (!widens || cast)) return nullptr;
      cast |= widens;
    }
  }

  static DotEpilogueSpec spec_of(const Product& p, Epilogue epilogue) {
    return {.epilogue = epilogue,
            .trans_a = p.dot->i("trans_a") != 0,
            .trans_b = p.dot->i("trans_b") != 0,
            .out = p.stored->type().dtype};
  }

  // One matrix product, whatever the rank, whose rows the library takes.
  static bool may_have_aux(const Node& dot) {
    const ir::Dims& b = dot.in_type(1).dims;
    const bool one = ir::element_count(ir::Dims(b.begin(), b.end() - 2)) == 1;
    return one && (dot.in(0).rank() == 2 || dot.i("trans_a") == 0) && dot.type().dims.back() % kAuxUnit == 0;
  }

  void take(const Node* dot, DotEpilogueSpec spec, Value bias, Value operand, const Node* at) {
    plans_[dot] = {spec, bias, operand, at};
  }

  // update s = s + scale Dot
  void plan_accumulation(const ir::Update& update) {
    Value sum = update.value;
    if (!ir::is_operation(*sum.node, ir::Code::add)) return;
    for (size_t i : {size_t{0}, size_t{1}}) {
      const Node& add = *sum.node;
      if (add.in(i).node != update.state) continue;
      double scale = 1;
      Value v = add.in(1 - i);
      if (ir::is_operation(*v.node, ir::Code::mul))
        for (size_t k : {size_t{0}, size_t{1}})
          if (auto number = ir::uniform_number(v.node->in(k)); number && uses_.count(v) == 1) {
            scale = *number;
            v = v.node->in(1 - k);
            break;
          }
      plan_addition(add, v, add.in(i), scale);
      return;
    }
  }

  // `add` is operand + scale v.
  void plan_addition(const Node& add, Value v, Value operand, double scale) {
    const Node* dot = ir::is_dot(*v.node) ? sole_product(v) : nullptr;
    if (!dot || ir::is_low(dot->type().dtype) || !ir::is_float(dot->type().dtype)) return;
    if (dot->type() != operand.type() || uses_.count(add.out()) != 1) return;
    if (!excess_ && !is_power_of_two(scale)) return;  // the library rounds scale s + operand once
    DotEpilogueSpec spec = spec_of({dot, dot}, Epilogue::add);
    spec.scale = scale;
    take(dot, spec, {}, operand, &add);
    parts_[&add] = {dot};
  }

  // Of two products that are added, the later one adds to the earlier one.
  void plan_sum(const Node& later) {
    if (later.has(2) || plans_.count(&later) || uses_.of(later.out()).size() != 1) return;
    const Node& add = *uses_.of(later.out())[0].node;
    if (!ir::is_operation(add, ir::Code::add)) return;
    Value other = add.in(1 - uses_.of(later.out())[0].input);
    const bool earlier = ir::is_dot(*other.node) && other.node->id() < later.id();
    if (!earlier && !parts_.count(other.node)) return;
    plan_addition(add, later.out(), other, 1);
  }

  // What is stored of `node`: itself, or, where it is widened arithmetic, the Cast behind it.
  const Node* stored(Value v, ir::DType type) const {
    if (v.dtype() == type) return v.node;
    const auto& readers = uses_.of(v);
    if (uses_.count(v) != 1 || !ir::is_cast(*readers[0].node) || readers[0].node->type().dtype != type)
      return nullptr;
    return readers[0].node;
  }

  Value narrow(Value v, ir::DType type) const {
    return v.dtype() == type || !ir::is_cast(*v.node) ? v : v.node->in(0);
  }

  void plan_gelu(const Node& root) {
    if (root.output_count() != 1) return;
    auto match = ir::match(ir::gelu_by_tanh(), root.out());
    if (!match) return;
    Value x = match->value("x");
    if (ir::is_cast(*x.node) && ir::is_low(x.node->in_type(0).dtype)) x = x.node->in(0);
    const Product p = product_stored_by(*root_of(x).node);
    const Node* y = p.dot ? stored(root.out(), p.stored->type().dtype) : nullptr;
    if (!y || plans_.count(p.dot) || !may_have_aux(*p.dot)) return;
    take(p.dot, spec_of(p, Epilogue::gelu), p.bias, {}, p.stored);
    parts_[p.stored] = {p.dot, 1};
    parts_[y] = {p.dot, 0};
  }

  Product product_stored_by(const Node& node) const {
    if (ir::is_dot(node)) return {&node, &node, node.in(2)};
    if (!ir::is_cast(node) || !ir::is_low(node.type().dtype) || uses_.count(node.in(0)) != 1) return {};
    const Node& add = *node.in(0).node;
    if (!ir::is_operation(add, ir::Code::add)) return {};
    for (size_t i : {size_t{0}, size_t{1}}) {
      const Node* dot = sole_product(add.in(i));
      const Value bias = add.in(1 - i);
      if (dot && dot->in_type(0).dtype == node.type().dtype && dot->type().dtype == bias.dtype() &&
          bias.rank() > 0 && bias.type().count() == dot->type().dims.back() &&
          bias.dims().back() == dot->type().dims.back())
        return {dot, &node, bias};
    }
    return {};
  }

  void plan_gelu_gradient(const Node& root) {
    if (root.output_count() != 1) return;
    auto match = ir::match(ir::gelu_by_tanh_gradient(), root.out());
    const Node* dot = match ? sole_product(match->value("dy")) : nullptr;
    if (!dot || !may_have_aux(*dot)) return;
    const ir::DType type = dot->type().dtype;
    const Node* dh = stored(root.out(), type);
    Value x = narrow(match->value("x"), type);
    if (!dh || x.dtype() != type) return;
    DotEpilogueSpec spec = spec_of({dot, dot}, Epilogue::dgelu);
    const Node* sum = sum_of_rows(*dh);
    spec.bias_grad = sum != nullptr;
    take(dot, spec, {}, root_of(x), dh);
    parts_[dh] = {dot, 0};
    if (sum) parts_[sum] = {dot, 1};
  }

  // The ReduceSum over all but the last axis of what is stored.
  const Node* sum_of_rows(const Node& from) const {
    std::vector<Value> reached{from.out()};
    for (size_t n = 0; n < reached.size(); n++)
      for (const ir::Use& use : uses_.of(reached[n])) {
        const Node& reader = *use.node;
        if (ir::is_reshape(reader) || (ir::is_cast(reader) && ir::is_low(from.type().dtype))) {
          if (reader.type().dims.back() == from.type().dims.back()) reached.push_back(reader.out());
        } else if (reader.op().meaning == ir::Meaning::reduce && reader.op().reduce == ir::Reduction::sum &&
                   reader.type().count() == from.type().dims.back() &&
                   reader.type().dims.back() == from.type().dims.back()) {
          return &reader;
        }
      }
    return nullptr;
  }

  static Value narrowed(Graph& to, const Node& node, const Values& inputs) {
    ir::Attrs attrs = node.attrs();
    attrs["out"] = node.in_type(0).dtype;
    return ir::cast(to.add(node.op(), inputs, std::move(attrs))->out(), node.type().dtype);
  }

  // The DotEpilogue for `dot`, made when its place is reached.
  const Node* make(Graph& to, const Node& dot, const Node& place) {
    Node*& made = made_[&dot];
    const EpiloguePlan& plan = plans_.at(&dot);
    if (made || plan.at != &place) return made;
    ir::Scope scope(to, place.phase, ir::merge(dot.origin, place.origin));
    const ir::DType type = *plan.spec.out;
    auto old = [&](Value v) { return v ? now_.at(v) : Value{}; };
    Value bias = old(plan.bias), operand = old(plan.operand);
    if (bias) bias = ir::reshape(ir::cast(bias, type), {bias.type().count()});
    if (operand) operand = ir::reshape(operand, dot.type().dims);
    return made = ir::dot_epilogue(old(dot.in(0)), old(dot.in(1)), bias, operand, plan.spec);
  }

  ir::UseMap uses_;
  bool excess_, narrows_ = false;
  std::unordered_map<const Node*, EpiloguePlan> plans_;  // by Dot; looked up only, as are the others
  std::unordered_map<const Node*, Part> parts_;          // by the node that is replaced
  std::unordered_map<const Node*, Node*> made_;
  std::unordered_map<Value, Value, ir::ValueHash> now_;  // new for old
};

void let_attention_narrow_weights(Graph& graph) {
  for (auto& node : graph.nodes())
    if ((ir::is_attention(*node) || ir::is_attention_gradient(*node)) && ir::is_low(node->type().dtype))
      node->set_attr("narrow_weights", int64_t{1});
}

}  // namespace

void plan_epilogues(Graph& graph, const Options& options) {
  if (options.numerics == Numerics::excess) let_attention_narrow_weights(graph);
  Planner planner(graph, options);
  if (planner.empty()) return;
  graph = rewrite(graph, [&](Graph& to, const Node& node, const Values& inputs) {
    return planner.replace(to, node, inputs);
  });
}

}  // namespace mezzo::passes
