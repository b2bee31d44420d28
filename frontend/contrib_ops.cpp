#include "frontend/contrib_ops.h"

#include "ir/build.h"

namespace mezzo::frontend {
namespace {

using ir::Value;
using ir::Values;

constexpr std::string_view kDomain = "com.microsoft";

// Required input `i`.
Value operand(const Call& c, size_t i) {
  if (!c.in(i)) malformed(c, concat("input ", i, " is required"));
  return c.in(i);
}

double number(const Call& c, const char* name, double otherwise) {
  auto it = c.attrs.find(name);
  if (it == c.attrs.end()) return otherwise;
  if (auto* value = std::get_if<double>(&it->second)) return *value;
  malformed(c, concat("attribute '", name, "' must be a float"));
}

Value add_if(Value sum, Value part) { return part ? sum + part : sum; }

// Gelu of the tanh form, of input 0 plus, where given, a bias.
void fast_gelu(Call& c) {
  c.inputs = {add_if(operand(c, 0), c.in(1))};
  c.attrs["approximate"] = std::string("tanh");
  c.op = "Gelu";
}

void bias_gelu(Call& c) {
  c.inputs = {operand(c, 0) + operand(c, 1)};
  c.op = "Gelu";
}

// x * sigmoid(alpha x)
void quick_gelu(Call& c) {
  if (!c.has("alpha")) c.attrs["alpha"] = 1.702;
  c.op = "Swish";
}

Value matrix_transposed(Value v) {
  if (v.rank() < 2) return v;
  ir::Ints perm;
  for (int64_t i = 0; i < v.rank(); i++) perm.push_back(i);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return ir::transpose(v, perm);
}

// alpha * A' B'
void fused_matmul(Call& c) {
  if (c.integer("transBatchA", 0) != 0 || c.integer("transBatchB", 0) != 0)
    unsupported(c, "transposed batches (transBatchA, transBatchB)");
  Value a = operand(c, 0), b = operand(c, 1);
  if (c.integer("transA", 0) != 0) a = matrix_transposed(a);
  if (c.integer("transB", 0) != 0) b = matrix_transposed(b);
  Value y = ir::apply("MatMul", {a, b});
  const double alpha = number(c, "alpha", 1);
  c.results = Values{alpha == 1 ? y : y * alpha};
}

void nothing(Call&) {}

void simplified_layer_norm(Call& c) { c.op = "RMSNormalization"; }

// Outputs: normalized, mean, inverse deviation, and input + skip + bias; inputs: input, skip, gamma, then
// what stands at `beta` and `bias` (0: there is none).
void skip_norm(Call& c, std::string_view op, size_t beta, size_t bias) {
  Value sum = add_if(operand(c, 0) + operand(c, 1), c.in(bias));
  Values inputs{sum, operand(c, 2)};
  if (beta != 0 && c.in(beta)) inputs.push_back(c.in(beta));
  Values norm = ir::apply_all(op, inputs, {{"epsilon", number(c, "epsilon", 1e-12)}});  // as ONNX Runtime
  // Without centring there is no mean to give.
  if (norm.size() == 2) norm.insert(norm.begin() + 1, Value{});
  norm.push_back(sum);
  c.results = std::move(norm);
}
void skip_layer_norm(Call& c) { skip_norm(c, "LayerNormalization", 3, 4); }
void skip_simplified_layer_norm(Call& c) { skip_norm(c, "RMSNormalization", 0, 3); }

struct Row {
  std::string_view op;
  void (*translate)(Call&);
  bool without_domain = false;  // also found in files under the default domain
};
constexpr Row kRows[] = {
    {"Gelu", nothing},
    {"FastGelu", fast_gelu},
    {"BiasGelu", bias_gelu},
    {"QuickGelu", quick_gelu},
    {"FusedMatMul", fused_matmul},
    {"LayerNormalization", nothing},
    {"SimplifiedLayerNormalization", simplified_layer_norm, true},
    {"SkipLayerNormalization", skip_layer_norm},
    {"SkipSimplifiedLayerNormalization", skip_simplified_layer_norm},
};

// Operators of the training domain have the IR's form.
constexpr std::string_view kTrainingDomain = "ai.onnx.preview.training";
constexpr Row kTrainingRows[] = {{"Adagrad", nothing}, {"Adam", nothing}, {"Momentum", nothing}};

const Row* find_row(std::string_view domain, std::string_view op) {
  if (domain == kTrainingDomain)
    for (const Row& row : kTrainingRows)
      if (row.op == op) return &row;
  for (const Row& row : kRows)
    if (row.op == op && (domain == kDomain || (domain.empty() && row.without_domain))) return &row;
  return nullptr;
}

}  // namespace

bool is_contrib_op(std::string_view domain, std::string_view op) { return find_row(domain, op) != nullptr; }

void translate_contrib(Call& call) {
  if (const Row* row = find_row(call.domain, call.op)) row->translate(call);
}

}  // namespace mezzo::frontend
