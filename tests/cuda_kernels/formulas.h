// formulas.h: graphs of a few ops on drawn inputs, collected and run together.
#pragma once
#include "comparison.h"
#include "ir/build.h"
#include "nets.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"

namespace mezzo::cuda_sim {

class Formulas {
 public:
  // Float inputs are drawn, integers are from 0 to 49. `planned`: fused as the compiler does.
  template <class F>
  void add(const std::string& what, const std::vector<ir::Type>& types, F build, bool planned = true) {
    auto g = std::make_unique<ir::Graph>();
    std::map<std::string, ir::Tensor> feeds;
    ir::Values in;
    for (const ir::Type& t : types) {
      std::string name = concat("x", in.size());
      auto seed = static_cast<unsigned>(in.size()) + 1;
      feeds[name] = ir::is_float(t.dtype) ? random(t, seed, 0.5) : random_ids(t.dims, seed, 50);
      in.push_back(g->input(name, t));
    }
    for (ir::Value v : build(in)) g->outputs.push_back({concat("y", g->outputs.size()), v});
    if (planned) *g = passes::run_pipeline(std::move(*g), {}, {.training = false, .first = "expand"}).step;
    add_graph(what, std::move(g), std::move(feeds));
  }
  void add_graph(const std::string& what, std::unique_ptr<ir::Graph> graph,
                 std::map<std::string, ir::Tensor> feeds) {
    graphs_.push_back(std::move(graph));
    runs_.add(what, *graphs_.back(), std::move(feeds));
  }

  // Compares all nodes with the evaluator, and tells about each. At least `least` of them have sums.
  template <class F>
  void check(int least, F tell) {
    Comparison comparison;
    runs_.run([&](const std::string& what, const NodeRuns::Outcome& o) {
      comparison.check(concat(what, ", ", o.source->detail), o);
      tell(what, o);
    });
    EXPECT_GE(comparison.near, least);
    EXPECT_TRUE(runs_.unsupported().empty());
  }
  void check(int least) {
    check(least, [](const std::string&, const NodeRuns::Outcome&) {});
  }

 private:
  std::vector<std::unique_ptr<ir::Graph>> graphs_;
  NodeRuns runs_;
};

}  // namespace mezzo::cuda_sim
