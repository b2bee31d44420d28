// Normalizations as kernels: the whole pipeline makes one kernel of the forward and one of the backward pass,
// and changes no bit that matters.
#include <gtest/gtest.h>

#include "ir/eval.h"
#include "ir/op.h"
#include "passes/passes.h"
#include "step_patterns.h"

namespace mezzo::passes {
namespace {

using namespace patterns;

struct Kernels {
  int forward = 0, backward = 0;
};

// y = norm(a w) w, the sum of its squares, its gradients, through the passes up to fuse.
Kernels kernels_of(std::string_view op, Dims x_dims, int parameters, Attrs attrs, DType dtype) {
  Graph g;
  const int64_t last = x_dims.back();
  Value a = g.input("a", {DType::f32, x_dims});
  Value w = g.state("w", {DType::f32, {last, last}}, StateKind::parameter);
  auto product = [&](Value v) { return cast(apply("MatMul", {cast(v, dtype), cast(w, dtype)}), dtype); };
  Values inputs{product(a)};
  const bool channels = op == "GroupNormalization" || op == "InstanceNormalization";
  for (int i = 0; i < parameters; i++)
    inputs.push_back(
        g.state("p" + std::to_string(i), {DType::f32, {channels ? x_dims[1] : last}}, StateKind::parameter));
  Value y = product(apply(op, inputs, std::move(attrs)));
  y = cast(y, DType::f32);
  g.outputs = {{"loss", reduce_sum(y * y, {}, false)}};
  autodiff(g, {});
  auto feeds = random_feeds(g);
  EvalResult before = evaluate(g, feeds, EvalMode::exact);
  expand(g, {});
  simplify(g, {});
  fold_constants(g, {});
  cse(g, {});
  fuse(g, {});
  EvalResult after = evaluate(g, feeds, EvalMode::exact);
  for (auto& [name, tensor] : before.outputs)
    for (int64_t i = 0; i < tensor.count(); i++)
      EXPECT_NEAR(after.outputs.at(name).get(i), tensor.get(i), 1e-9) << name;
  // The loss sums too, but takes no root and makes one number; weights need no reduction.
  Kernels count;
  for (auto& node : g.nodes()) {
    if (!is_kernel(*node)) continue;
    bool root = false, reduces = false;
    for (auto& inner : node->body->nodes()) {
      root |= inner->op().meaning == Meaning::scalar && inner->op().scalar.code == Code::sqrt;
      reduces |= inner->op().meaning == Meaning::reduce && inner->type().count() > 1;
    }
    count.forward += node->phase == Phase::forward && root;
    count.backward += node->phase == Phase::backward && reduces;
  }
  return count;
}

struct Norm {
  std::string_view op;
  Dims dims;
  int parameters;
  Attrs attrs;
};

TEST(NormKernels, OneForwardAndOneBackward) {
  const Norm norms[] = {{"LayerNormalization", {4, 3, 8}, 2, {}},
                        {"LayerNormalization", {6, 8}, 1, {}},
                        {"RMSNormalization", {4, 3, 8}, 1, {}},
                        {"GroupNormalization", {2, 6, 4, 4}, 2, {{"num_groups", int64_t{3}}}},
                        {"InstanceNormalization", {2, 3, 4, 4}, 2, {}}};
  for (const Norm& n : norms)
    for (DType dtype : {DType::f32, DType::bf16}) {
      SCOPED_TRACE(mezzo::concat(n.op, " ", name(dtype)));
      Kernels k = kernels_of(n.op, n.dims, n.parameters, n.attrs, dtype);
      EXPECT_EQ(k.forward, 1);
      EXPECT_EQ(k.backward, 1);
    }
}

}  // namespace
}  // namespace mezzo::passes
