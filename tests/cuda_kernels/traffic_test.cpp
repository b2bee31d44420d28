// Bytes that the kernels of well-known operations move, next to reading every operand and writing every
// result once.
#include "comparison.h"
#include "ir/build.h"
#include "nets.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"

namespace mezzo::cuda_sim {
namespace {

constexpr double kMost = 1.15;  // of the least traffic

using ir::apply;
using ir::DType;
using ir::Value;

struct Measured {
  std::string what;
  double ratio = 0;
  int launches = 0;
};

class Meter {
 public:
  void add(const std::string& what, ir::Graph graph, std::map<std::string, ir::Tensor> feeds,
           const char* options = nullptr) {
    passes::RunOptions run;
    if (!options) run.training = false;
    auto planned = passes::run_pipeline(std::move(graph), passes::read_options(options ? options : ""), run);
    graphs_.push_back(std::make_unique<ir::Graph>(std::move(planned.step)));
    runs_.add(what, *graphs_.back(), std::move(feeds));
  }
  // Every kernel that moves 256 KiB at least: smaller ones cost a launch, not bytes.
  std::vector<Measured> measure() {
    std::vector<Measured> out;
    Comparison comparison;
    runs_.run([&](const std::string& what, const NodeRuns::Outcome& o) {
      comparison.check(what, o);
      if (!ir::is_kernel(*o.node) || o.traffic.least < (256 << 10)) return;
      out.push_back({concat(what, ": ", o.source->detail),
                     static_cast<double>(o.traffic.moved) / static_cast<double>(o.traffic.least),
                     static_cast<int>(o.source->launches.size())});
    });
    return out;
  }

 private:
  std::vector<std::unique_ptr<ir::Graph>> graphs_;
  NodeRuns runs_;
};

TEST(CudaKernels, MoveFewBytes) {
  Meter meter;
  auto one = [&](const std::string& what, std::initializer_list<ir::Type> types, auto build) {
    ir::Graph g;
    std::map<std::string, ir::Tensor> feeds;
    ir::Values in;
    for (const ir::Type& t : types) {
      std::string name = concat("x", in.size());
      feeds[name] =
          ir::is_float(t.dtype) ? random(t, static_cast<unsigned>(in.size()) + 1) : random_ids(t.dims, 9, 50);
      in.push_back(g.input(name, t));
    }
    ir::Values out = build(in);
    for (size_t k = 0; k < out.size(); k++) g.outputs.push_back({concat("y", k), out[k]});
    meter.add(what, std::move(g), std::move(feeds));
  };
  one("softmax bf16", {{DType::bf16, {256, 768}}},
      [](const ir::Values& x) -> ir::Values { return {apply("Softmax", {x[0]})}; });
  one("softmax f32, odd rows", {{DType::f32, {192, 333}}},
      [](const ir::Values& x) -> ir::Values { return {apply("Softmax", {x[0]})}; });
  one("layer norm bf16", {{DType::bf16, {256, 768}}, {DType::f32, {768}}, {DType::f32, {768}}},
      [](const ir::Values& x) { return ir::Values{ir::apply("LayerNormalization", x)}; });
  for (bool last : {true, false}) {
    ir::Dims dims = last ? ir::Dims{4, 8, 8, 256} : ir::Dims{4, 256, 8, 8};
    // As training makes it: statistics of the batch and what they normalize, written as formulas.
    one(last ? "batch norm bf16, channels last" : "batch norm bf16, channels first", {{DType::bf16, dims}},
        [&](const ir::Values& x) -> ir::Values {
          ir::Ints axes = last ? ir::Ints{0, 1, 2} : ir::Ints{0, 2, 3};
          Value v = ir::cast(x[0], DType::f32), mean = ir::reduce_sum(v, axes) / 256.0, centred = v - mean;
          Value deviation = ir::sqrt(ir::reduce_sum(centred * centred, axes) / 256.0 + 1e-5);
          return {ir::cast(centred / deviation, DType::bf16)};
        });
  }
  one("cross entropy and its gradient", {{DType::bf16, {256, 1000}}, {DType::i64, {256, 1}}},
      [](const ir::Values& x) -> ir::Values {
        Value v = ir::cast(x[0], DType::f32), top = ir::reduce_max(v, {1});
        Value total = ir::log(ir::reduce_sum(ir::exp(v - top), {1})) + top;
        Value hit = ir::equal(ir::iota(x[0].node->graph(), {256, 1000}, 1), x[1]);
        Value loss = total - ir::reduce_sum(ir::where(hit, v, ir::constant_like(v, 0)), {1});
        return {ir::reduce_sum(loss, {0}),
                ir::cast((ir::exp(v - total) - ir::cast(hit, DType::f32)) / 256.0, DType::bf16)};
      });
  Net net = dense_net(8, 192, 10);
  meter.add("adamw", std::move(net.graph), std::move(net.feeds), "low=bf16 optimizer=adamw lr=0.01");
  auto measured = meter.measure();
  EXPECT_GE(measured.size(), 7u);
  for (const Measured& m : measured) {
    std::cout << "bytes over least: " << m.ratio << " in " << m.launches << " launches, " << m.what << "\n";
    EXPECT_LE(m.ratio, kMost) << m.what;
  }
}

}  // namespace
}  // namespace mezzo::cuda_sim
