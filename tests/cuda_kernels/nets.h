// nets.h: small nets whose training steps have every kind of kernel.
#pragma once
#include <map>

#include "ir/graph.h"

namespace mezzo::cuda_sim {

struct Net {
  ir::Graph graph;  // with output "loss"; parameters are states
  std::map<std::string, ir::Tensor> feeds;
};

Net dense_net(int64_t batch, int64_t width, int64_t classes);
Net convolution_net(int64_t batch, int64_t channels, int64_t size);
// Layer norms, attention written out, GELU, dropout.
Net transformer_block(int64_t batch, int64_t length, int64_t width, int64_t heads);

// Numbers that are the same everywhere: normal, with this deviation; or whole from 0 to `below`.
ir::Tensor random(ir::Type type, unsigned seed, double deviation = 1);
ir::Tensor random_ids(const ir::Dims& dims, unsigned seed, int64_t below);

}  // namespace mezzo::cuda_sim
