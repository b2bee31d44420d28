// attention.h: what the two attention kernels (ir/ops/attention_kernel.cpp) ask for, for everybody who
// computes them.
#pragma once
#include <array>
#include <optional>

#include "ir/graph.h"

namespace mezzo::ir {

struct Decomposition;

// Steps in elements from one batch, head and row to the next; the elements of a row are neighbours.
struct AttentionStrides {
  int64_t batch = 0, head = 0, row = 0;
};

// A Dropout of the weights. What it keeps depends on the random key, the stream and the place in [B, H, S, T], as for the
// op of that name: it is drawn again wherever it is needed (ir/philox.h).
struct AttentionDropout {
  uint32_t stream, threshold;
  double factor;
};

struct AttentionSizes {
  int64_t batch, heads, kv_heads, queries, keys;
  int64_t head, value;  // extents of a row of Q and K, and of V and Y
  AttentionStrides q, k, v, y;
  bool has_mask, mask_is_float;
  std::array<int64_t, 4> mask;  // its steps along batch, head, query, key; 0 where it is broadcast
  double scale, softcap;
  std::optional<AttentionDropout> dropout;
  int64_t lower, upper;  // query i sees key j when lower <= j - i <= upper

  // Heads of Q that share one of K and V; they are neighbours.
  int64_t group() const { return heads / kv_heads; }
  // The keys [first, last) that the queries [from, to) may see.
  int64_t first_key(int64_t from) const;
  int64_t last_key(int64_t to) const;
};

// Inputs of both kernels; mask and random key are optional and come behind the required ones.
struct AttentionInput {
  enum Position : size_t {
    q,
    k,
    v,
    forward_mask,
    forward_key,
    y = 3,
    log_sum_exp,
    dy,
    gradient_mask,
    d_log_sum_exp,
    gradient_key
  };
};
size_t attention_mask_input(const Node&);
size_t attention_key_input(const Node&);

bool is_attention(const Node&);
bool is_attention_gradient(const Node&);
AttentionSizes attention_sizes(const Node&);  // of either

// How exporters write it (ir/ops/attention_pattern.cpp).
const std::vector<Decomposition>& attention_decompositions();

}  // namespace mezzo::ir
