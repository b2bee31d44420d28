// dot_epilogue.cpp: DotEpilogue, a matrix product with what a library does to the sums before it stores them:
// fewer roundings and passes over memory than a Dot and a Kernel. Made by the pass plan_epilogues only; the
// forms are those of cuBLASLt, whose bias and bias gradient have the type of the result and whose Gelu is the
// one by tanh.
#include "ir/dot_epilogue.h"

#include <array>

#include "ir/build.h"
#include "ir/eval.h"

namespace mezzo::ir {
namespace {

constexpr std::array<std::string_view, 4> kNames{"bias", "add", "gelu", "dgelu"};
constexpr size_t kBias = 2, kOperand = 3;

DType result_type(const Node& n) { return n.has_attr("out") ? n.dtype("out") : n.in_type(0).dtype; }

Value product(const Node& n, Value a, Value b) {
  return dot(
      a, b, {.trans_a = n.i("trans_a") != 0, .trans_b = n.i("trans_b") != 0, .out = compute_type(a.dtype())});
}

// A Gelu of x to take formulas from.
Node* gelu_of(Graph& scratch, const Type& x) {
  return scratch.add(get_op("Gelu"), {scratch.input("x", x)}, {{"approximate", std::string("tanh")}});
}

// The outputs from the sums, in their type.
Values finish(const Node& n, Value sums, Value bias, Value operand) {
  Graph& to = sums.node->graph();
  Graph scratch;
  auto wide = [&](Value v) { return cast(v, sums.dtype()); };
  if (bias) {
    Dims shape(sums.dims().size(), 1);
    shape.back() = sums.dims().back();
    sums = sums + reshape(wide(bias), shape);
  }
  switch (epilogue_of(n)) {
    case Epilogue::bias: return {sums};
    case Epilogue::add: return {wide(operand) + (n.f("scale") == 1 ? sums : sums * n.f("scale"))};
    case Epilogue::gelu: return {expand_node(to, *gelu_of(scratch, sums.type()), {sums})[0], sums};
    case Epilogue::dgelu: break;
  }
  Value x = wide(operand);
  Grad g{*gelu_of(scratch, x.type()), {x}, {}, {sums}, {true}};
  Values out{g.node.op().grad(g)[0]};
  if (n.i("bias_grad") != 0) {
    Ints rows;
    for (int64_t i = 0; i + 1 < sums.rank(); i++) rows.push_back(i);
    out.push_back(reduce_sum(out[0], rows));
  }
  return out;
}

std::vector<Type> infer_dot_epilogue(const Node& n) {
  auto known = std::find(kNames.begin(), kNames.end(), n.s("epilogue"));
  require(known != kNames.end(), "there is no epilogue '", n.s("epilogue"), "'");
  const Epilogue kind = epilogue_of(n);
  require(is_float(n.in_type(0).dtype), "operands are ", name(n.in_type(0).dtype));
  Graph scratch;
  Type y = product(n, scratch.input("a", n.in_type(0)), scratch.input("b", n.in_type(1))).type();
  const DType out = result_type(n);
  require(out == n.in_type(0).dtype || out == y.dtype, "a product of ", name(n.in_type(0).dtype),
          " cannot be ", name(out));
  y.dtype = out;
  const Type row{out, {y.dims.back()}};
  const bool may_have_bias = kind == Epilogue::bias || kind == Epilogue::gelu;
  const bool needs_operand = kind == Epilogue::add || kind == Epilogue::dgelu;
  require(n.has(kBias) ? may_have_bias : kind != Epilogue::bias, "epilogue '", n.s("epilogue"),
          n.has(kBias) ? "' has no bias" : "' needs a bias");
  require(n.has(kOperand) == needs_operand, "epilogue '", n.s("epilogue"),
          needs_operand ? "' needs a fourth operand" : "' has no fourth operand");
  if (n.has(kBias))
    require(n.in_type(kBias) == row, "bias ", to_string(n.in_type(kBias)), " must be ", to_string(row));
  if (needs_operand)
    require(n.in_type(kOperand) == y, "operand ", to_string(n.in_type(kOperand)), " must be ", to_string(y));
  if (kind == Epilogue::gelu) return {y, y};
  if (kind == Epilogue::dgelu && n.i("bias_grad") != 0) return {y, row};
  return {y};
}

void evaluate_dot_epilogue(const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
  const EvalMode mode =
      out[0].dtype() == DType::f64 && n.type().dtype != DType::f64 ? EvalMode::exact : EvalMode::rounded;
  const Graph parts = split_dot_epilogue(n);
  std::vector<const Tensor*> present;
  for (const Tensor* t : in)
    if (t) present.push_back(t);
  const Node* kernel = parts.outputs[0].value.node;
  const std::vector<Tensor> sums = evaluate_node(*kernel->in(0).node, {present[0], present[1]}, mode);
  std::vector<const Tensor*> inputs{&sums[0]};
  inputs.insert(inputs.end(), present.begin() + 2, present.end());
  const std::vector<Tensor> results = evaluate_node(*kernel, inputs, mode);
  for (size_t k = 0; k < out.size(); k++)
    for (int64_t i = 0; i < out[k].count(); i++) out[k].set(i, results[k].get(i));
}

const OpDef dot_epilogue_op = {
    .name = "DotEpilogue",
    .min_inputs = 2,
    .max_inputs = 4,
    .attrs = {{"epilogue", "bias"},
              {"trans_a", int64_t{0}},
              {"trans_b", int64_t{0}},
              {"out", DType::f32, AttrSpec::optional},
              {"scale", 1.0},
              {"bias_grad", int64_t{0}}},
    .precision = Precision::fixed,
    .meaning = Meaning::kernel,
    .infer = infer_dot_epilogue,
    .evaluate = evaluate_dot_epilogue,
    .grad = not_differentiable,
};
MEZZO_REGISTER_OP(dot_epilogue_op);

}  // namespace

std::string_view name(Epilogue e) { return kNames[static_cast<size_t>(e)]; }

Node* dot_epilogue(Value a, Value b, Value bias, Value operand, const DotEpilogueSpec& spec) {
  Attrs attrs{{"epilogue", std::string(name(spec.epilogue))}};
  if (spec.trans_a) attrs["trans_a"] = int64_t{1};
  if (spec.trans_b) attrs["trans_b"] = int64_t{1};
  if (spec.out && *spec.out != a.dtype()) attrs["out"] = *spec.out;
  if (spec.scale != 1) attrs["scale"] = spec.scale;
  if (spec.bias_grad) attrs["bias_grad"] = int64_t{1};
  Values inputs{a, b};
  if (bias || operand) inputs.push_back(bias);
  if (operand) inputs.push_back(operand);
  return a.node->graph().add(dot_epilogue_op, std::move(inputs), std::move(attrs));
}

bool is_dot_epilogue(const Node& n) { return &n.op() == &dot_epilogue_op; }

Epilogue epilogue_of(const Node& n) {
  return static_cast<Epilogue>(std::find(kNames.begin(), kNames.end(), n.s("epilogue")) - kNames.begin());
}

bool overwrites_operand(const Node& n) { return is_dot_epilogue(n) && epilogue_of(n) == Epilogue::add; }

Graph split_dot_epilogue(const Node& n) {
  Graph parts;
  auto body = std::make_unique<Graph>();
  // Where the result goes over a state, the Kernel's does, too: such buffers overlap.
  const bool in_place = !n.offsets.empty() && n.offsets[0] == kInPlace;
  Values outside, inside(4);
  Values of_kernel(1);
  for (size_t i = 0; i < n.input_count(); i++) {
    if (!n.has(i)) continue;
    const std::string name = "i" + std::to_string(i);
    outside.push_back(i == kOperand && in_place ? parts.state(name, n.in_type(i), StateKind::accumulator)
                                                : parts.input(name, n.in_type(i)));
    if (i >= kBias) of_kernel.push_back(outside.back());
  }
  of_kernel[0] = product(n, outside[0], outside[1]);
  Value sums = body->input("sums", of_kernel[0].type());
  for (size_t i = kBias; i < n.input_count(); i++)
    if (n.has(i)) inside[i] = body->input("i" + std::to_string(i), n.in_type(i));
  for (Value v : finish(n, sums, inside[kBias], inside[kOperand]))
    body->outputs.push_back({"o" + std::to_string(body->outputs.size()), cast(v, result_type(n))});
  Node* kernel = add_kernel(parts, of_kernel, std::move(body));
  if (in_place) kernel->offsets = {kInPlace};
  for (int k = 0; k < kernel->output_count(); k++)
    parts.outputs.push_back({"y" + std::to_string(k), kernel->out(k)});
  return parts;
}

const Pattern& gelu_by_tanh() {
  static const Pattern pattern = parse_pattern(R"(
      gelu = Mul(x, Sigmoid(Mul(x, Add(Mul(Mul(x, x), 0.071354816), 1.5957691))));
  )");
  return pattern;
}

const Pattern& gelu_by_tanh_gradient() {
  static const Pattern pattern = parse_pattern(R"(
      gradient = Mul(dy, Add(gate, Mul(Mul(x, Mul(gate, Sub(1, gate))), slope)));
      gate     = Sigmoid(Mul(x, Add(Mul(Mul(x, x), 0.071354816), 1.5957691)));
      slope    = Add(Mul(Mul(x, x), 0.21406445), 1.5957691);
  )");
  return pattern;
}

}  // namespace mezzo::ir
