// node_run.h: single nodes of planned graphs on the simulated GPU, next to the evaluator.
#pragma once
#include <functional>
#include <map>

#include "ir/eval.h"
#include "simulated_program.h"

namespace mezzo::cuda_sim {

// Bytes that a node's kernels moved in one run, next to those they must move at least.
struct NodeTraffic {
  uint64_t moved = 0;
  // Inputs and outputs once. Operands small enough for the nearest cache count once on both sides.
  uint64_t least = 0;
};

// The node's outputs from `inputs` (null = absent). Runs the launches in three orders; throws Fault where
// these do not agree in every bit. Outputs that the plan puts over an input are put over it.
std::vector<ir::Tensor> run_node(const Module& module, const codegen::cuda::KernelSource& source,
                                 const ir::Node& node, const std::vector<const ir::Tensor*>& inputs,
                                 NodeTraffic* traffic = nullptr);

// All nodes of planned graphs: collected first, so that their kernels are compiled together, then run one by
// one on the inputs that the evaluator finds for them.
class NodeRuns {
 public:
  struct Outcome {
    const ir::Node* node;
    const codegen::cuda::KernelSource* source;
    std::vector<ir::Tensor> got, want;
    NodeTraffic traffic;
    double greatest_input = 0;  // of the float ones, by size
    std::string fault;          // not empty: the kernel failed
  };

  // The graph must outlive this. Feeds by name of input or state.
  void add(std::string what, const ir::Graph& graph, std::map<std::string, ir::Tensor> feeds);
  // Compiles, runs everything, and tells about each node.
  void run(const std::function<void(const std::string& what, const Outcome&)>& tell);

  int nodes() const { return nodes_; }
  int launches() const;
  // Nodes without CUDA kernels, by reason.
  const std::map<std::string, int>& unsupported() const { return unsupported_; }

 private:
  struct Item {
    std::string what;
    const ir::Graph* graph;
    std::map<std::string, ir::Tensor> feeds;
    std::map<const ir::Node*, codegen::cuda::KernelSource> sources;
  };
  std::vector<Item> items_;
  SimulatedKernels kernels_;
  int nodes_ = 0;
  std::map<std::string, int> unsupported_;
};

}  // namespace mezzo::cuda_sim
