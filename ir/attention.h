// attention.h: what the two attention kernels (ir/ops/attention_kernel.cpp) ask for, for everybody who
// computes them.
#pragma once
#include <array>
#include <string_view>

#include "ir/graph.h"

namespace mezzo::ir {

struct Decomposition;

// Steps in elements from one batch, head and row to the next; the elements of a row are neighbours.
struct AttentionStrides {
  int64_t batch = 0, head = 0, row = 0;
};

struct AttentionSizes {
  int64_t batch, heads, kv_heads, queries, keys;
  int64_t head, value;  // extents of a row of Q and K, and of V and Y
  AttentionStrides q, k, v, y;
  bool has_mask, mask_is_float;
  std::array<int64_t, 4> mask;  // its steps along batch, head, query, key; 0 where it is broadcast
  double scale, softcap;
  int64_t lower, upper;  // query i sees key j when lower <= j - i <= upper

  // Heads of Q that share one of K and V; they are neighbours.
  int64_t group() const { return heads / kv_heads; }
  // The keys [first, last) that the queries [from, to) may see.
  int64_t first_key(int64_t from) const;
  int64_t last_key(int64_t to) const;
};

// Inputs of both kernels; the mask is optional and comes behind the required ones.
struct AttentionInput {
  enum Position : size_t { q, k, v, forward_mask, y = 3, log_sum_exp, dy, gradient_mask, d_log_sum_exp };
};
size_t attention_mask_input(const Node&);

bool is_attention(const Node&);
bool is_attention_gradient(const Node&);
AttentionSizes attention_sizes(const Node&);  // of either

// How exporters write the weights before a Dropout of them (see ir/pattern.h).
inline constexpr std::string_view kScoresPattern = R"(
    clean   = Where(IsNaN(softmax), 0, softmax) | softmax;
    softmax = Softmax(masked);
    masked  = Add(chosen, mask) | chosen;
    chosen  = Where(hide, #low, scaled) | Where(show, scaled, #low) | scaled;
    scaled  = Mul(product, #factor) | Div(product, #divisor) | product;
    product = MatMul(left, right);
    left    = Mul(q, #q_factor) | Div(q, #q_divisor) | q;
    right   = Mul(k, #k_factor) | Div(k, #k_divisor) | k;
)";

// How exporters write it (ir/ops/attention_pattern.cpp).
const std::vector<Decomposition>& attention_decompositions();

}  // namespace mezzo::ir
