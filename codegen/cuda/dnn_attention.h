// dnn_attention.h: attention and its gradient through cuDNN's graph API.
#pragma once
#include <optional>

#include "codegen/cuda/dnn_plan.h"
#include "codegen/launch.h"
#include "ir/attention.h"

namespace mezzo::codegen::cuda {

// One attention, or its gradient, in the library's terms, without the library.
struct AttentionPlan {
  ir::AttentionSizes sizes;
  size_t inputs = 0;  // of the node
  int type = 0;       // of Q, K, V and Y, in the library's numbers
  bool causal = false, gradient = false;
  std::string text() const;
};
// Nothing where weights must stay f32 between the two products (strict numerics), and for what the library's
// fused kernels do not do: masks, caps, bands other than the causal one, shared heads, rows that are no
// multiple of 8 elements or longer than 128.
std::optional<AttentionPlan> plan_attention(const ir::Node& node);

// What the library is asked.
DnnGraph attention_graph(const CudnnApi& api, const DnnTarget& target, const AttentionPlan& plan);

// A launch with the node's arguments. Null where the library refuses. The library must outlive it.
std::unique_ptr<Launch> dnn_attention(DnnLibrary& library, const AttentionPlan& plan);

}  // namespace mezzo::codegen::cuda
