// Bytes that the kernels of well-known operations move, next to reading every operand and writing every
// result once.
#include "formulas.h"

namespace mezzo::cuda_sim {
namespace {

constexpr double kMost = 1.15;  // of the least traffic

using ir::apply;
using ir::DType;
using ir::Value;

TEST(CudaKernels, MoveFewBytes) {
  Formulas formulas;
  formulas.add("softmax bf16", {{DType::bf16, {256, 768}}},
               [](const ir::Values& x) -> ir::Values { return {apply("Softmax", {x[0]})}; });
  formulas.add("softmax f32, odd rows", {{DType::f32, {192, 333}}},
               [](const ir::Values& x) -> ir::Values { return {apply("Softmax", {x[0]})}; });
  formulas.add("layer norm bf16", {{DType::bf16, {256, 768}}, {DType::f32, {768}}, {DType::f32, {768}}},
               [](const ir::Values& x) { return ir::Values{ir::apply("LayerNormalization", x)}; });
  for (bool last : {true, false}) {
    ir::Dims dims = last ? ir::Dims{4, 8, 8, 256} : ir::Dims{4, 256, 8, 8};
    // As training makes it: statistics of the batch and what they normalize, written as formulas.
    formulas.add(last ? "batch norm bf16, channels last" : "batch norm bf16, channels first",
                 {{DType::bf16, dims}}, [&](const ir::Values& x) -> ir::Values {
                   ir::Ints axes = last ? ir::Ints{0, 1, 2} : ir::Ints{0, 2, 3};
                   Value v = ir::cast(x[0], DType::f32), mean = ir::reduce_sum(v, axes) / 256.0,
                         centred = v - mean;
                   Value deviation = ir::sqrt(ir::reduce_sum(centred * centred, axes) / 256.0 + 1e-5);
                   return {ir::cast(centred / deviation, DType::bf16)};
                 });
  }
  formulas.add("cross entropy and its gradient", {{DType::bf16, {256, 1000}}, {DType::i64, {256, 1}}},
               [](const ir::Values& x) -> ir::Values {
                 Value v = ir::cast(x[0], DType::f32), top = ir::reduce_max(v, {1});
                 Value total = ir::log(ir::reduce_sum(ir::exp(v - top), {1})) + top;
                 Value hit = ir::equal(ir::iota(x[0].node->graph(), {256, 1000}, 1), x[1]);
                 Value loss = total - ir::reduce_sum(ir::where(hit, v, ir::constant_like(v, 0)), {1});
                 return {ir::reduce_sum(loss, {0}),
                         ir::cast((ir::exp(v - total) - ir::cast(hit, DType::f32)) / 256.0, DType::bf16)};
               });
  Net net = dense_net(8, 192, 10);
  auto step =
      passes::run_pipeline(std::move(net.graph), passes::read_options("low=bf16 optimizer=adamw lr=0.01"));
  formulas.add_graph("adamw", std::make_unique<ir::Graph>(std::move(step.step)), std::move(net.feeds));
  int measured = 0;
  formulas.check(6, [&](const std::string& what, const NodeRuns::Outcome& o) {
    // Smaller kernels cost a launch, not bytes.
    if (!ir::is_kernel(*o.node) || o.traffic.least < (256 << 10)) return;
    double ratio = static_cast<double>(o.traffic.moved) / static_cast<double>(o.traffic.least);
    std::cout << "bytes over least: " << ratio << " in " << o.source->launches.size() << " launches, " << what
              << ", " << o.source->detail << "\n";
    EXPECT_LE(ratio, kMost) << what;
    measured++;
  });
  EXPECT_GE(measured, 7);
}

}  // namespace
}  // namespace mezzo::cuda_sim
