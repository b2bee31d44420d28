// step_session.h: runs training-step graphs through the reference evaluator, keeping their states from step
// to step.
#pragma once
#include <gmock/gmock.h>

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "ir/text.h"
#include "passes/passes.h"
#include "passes/step_names.h"

namespace mezzo::passes {

using Feeds = std::map<std::string, ir::Tensor>;

// States by name, shared by all graphs run in it, as in the trainer.
struct Session {
  Feeds states;
  ir::EvalResult run(const ir::Graph& graph, Feeds feeds) {
    for (auto& node : graph.nodes()) {
      if (!ir::is_state(*node)) continue;
      auto [at, fresh] = states.try_emplace(node->s("name"));
      if (fresh) at->second = ir::initial_value(graph, *node);
      feeds.insert_or_assign(at->first, at->second);
    }
    ir::EvalResult result = ir::evaluate(graph, feeds, ir::EvalMode::rounded);
    for (auto& [name, value] : result.updates) states.insert_or_assign(name, value);
    return result;
  }
  double number(const std::string& state) const { return states.at(state).get(0); }
};

inline double number(const ir::EvalResult& r, const std::string& output) {
  return r.outputs.at(output).get(0);
}

inline std::vector<double> values(const ir::Tensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.count(); i++) out.push_back(t.get(i));
  return out;
}

// Multiples of 1/16 in [-1, 1]: exact in every float type, so that f32 and f64 see the same numbers.
inline ir::Tensor grid(const ir::Dims& dims, int seed, ir::DType dtype = ir::DType::f32) {
  ir::Tensor t(ir::Type{dtype, dims});
  for (int64_t i = 0; i < t.count(); i++)
    t.set(i, static_cast<double>((i * 37 + seed * 101 + i * i * 5) % 33 - 16) / 16);
  return t;
}

inline ir::Value parameter(ir::Graph& graph, const std::string& name, const ir::Tensor& start) {
  graph.tensors[name] = std::make_shared<const ir::Tensor>(start);
  return graph.state(name, start.type(), ir::StateKind::parameter);
}

// loss = sum over k of sum(p_k * g_k): the gradient of parameter "p<k>" is what is fed as input "g<k>".
inline ir::Graph graph_with_given_gradients(const std::vector<ir::Tensor>& starts) {
  ir::Graph graph;
  ir::Value loss;
  for (size_t k = 0; k < starts.size(); k++) {
    std::string number = std::to_string(k);
    ir::Value p = parameter(graph, "p" + number, starts[k]);
    ir::Value part = reduce_sum(p * graph.input("g" + number, starts[k].type()), {}, false);
    loss = loss ? loss + part : part;
  }
  graph.outputs.push_back({kLoss, loss});
  return graph;
}

// Everything between the forward graph and the guarded step.
inline void make_step(ir::Graph& graph, const Options& options) {
  autodiff(graph, options);
  scale_loss(graph, options);
  add_optimizer(graph, options);
  guard_updates(graph, options);
  verify(graph);
}

}  // namespace mezzo::passes
