// Whole training steps on the simulated GPU, node by node: every kernel that the compiler makes of a net,
// next to the evaluator on the same inputs.
#include "comparison.h"
#include "nets.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"

namespace mezzo::cuda_sim {
namespace {

TEST(CudaKernels, TrainingSteps) {
  std::vector<std::unique_ptr<ir::Graph>> graphs;
  NodeRuns runs;
  auto add = [&](const char* what, Net net, const char* options) {
    passes::StepGraphs planned = passes::run_pipeline(std::move(net.graph), passes::read_options(options));
    graphs.push_back(std::make_unique<ir::Graph>(std::move(planned.step)));
    runs.add(what, *graphs.back(), std::move(net.feeds));
  };
  add("dense f32 sgd", dense_net(33, 48, 10), "optimizer=sgd lr=0.1 momentum=0.9");
  add("dense bf16 adamw", dense_net(64, 64, 10), "low=bf16 optimizer=adamw lr=0.01 clip_norm=1");
  add("convolution f16 sgd", convolution_net(4, 8, 12), "low=f16 loss_scale=dynamic optimizer=sgd lr=0.1");
  add("convolution f32, channels first", convolution_net(3, 6, 10),
      "channels_last=false optimizer=adam lr=0.01");
  add("transformer bf16 adamw", transformer_block(2, 20, 32, 4),
      "low=bf16 optimizer=adamw lr=0.01 clip_norm=1");
  Comparison comparison;
  runs.run([&](const std::string& what, const NodeRuns::Outcome& o) {
    comparison.check(concat(what, " ", o.source ? o.source->detail : ""), o);
  });
  std::cout << "CUDA = evaluator: 5 steps, " << runs.nodes() << " nodes, " << comparison.exact
            << " of them exactly, " << runs.launches() << " launches\n";
  for (const auto& [reason, count] : runs.unsupported())
    std::cout << "  not on CUDA: " << reason << ", " << count << " nodes\n";
  EXPECT_GT(runs.nodes(), 80);
  EXPECT_TRUE(runs.unsupported().empty());
}

}  // namespace
}  // namespace mezzo::cuda_sim
