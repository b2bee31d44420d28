// comparison.h: how near a node's results must be to the evaluator's.
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "ir/indexing.h"
#include "ir/op.h"
#include "node_run.h"

namespace mezzo::cuda_sim {

struct Comparison {
  int exact = 0, near = 0;

  // No sum in another order: every bit. Otherwise within the bounds of another order of f32 sums, which may
  // cancel; the evaluator adds one by one, so the error is mostly its own.
  void check(const std::string& what, const NodeRuns::Outcome& o) {
    if (!o.fault.empty()) {
      ADD_FAILURE() << what << ": " << o.fault << "\n" << (o.source ? o.source->text : "");
      return;
    }
    bool sums = !ir::is_kernel(*o.node) && !ir::is_top_k(*o.node) && !ir::is_recurrence(*o.node);
    if (o.node->body)
      for (const auto& n : o.node->body->nodes()) sums |= n->op().meaning == ir::Meaning::reduce;
    (sums ? near : exact)++;
    for (size_t k = 0; k < o.want.size(); k++) {
      const ir::Tensor &got = o.got[k], &want = o.want[k];
      double unit = want.dtype() == ir::DType::bf16  ? 0x1p-7
                    : want.dtype() == ir::DType::f16 ? 0x1p-10
                                                     : 1e-4;
      double size = std::max({1.0, greatest(want), want.dtype() == ir::DType::f32 ? o.greatest_input : 0.0});
      for (int64_t i = 0; i < want.count(); i++) {
        if (equal(got, want, i)) continue;
        double a = got.get(i), b = want.get(i);
        if (sums && ir::is_float(want.dtype()) && std::fabs(a - b) <= unit * size) continue;
        ADD_FAILURE() << what << ": output " << k << " element " << i << " is " << a << ", expected " << b
                      << "\n"
                      << o.source->text;
        return;
      }
    }
  }

  static double greatest(const ir::Tensor& t) {
    double most = 0;
    for (int64_t i = 0; i < t.count(); i++)
      if (double v = std::fabs(t.get(i)); std::isfinite(v)) most = std::max(most, v);
    return most;
  }
  // Equal bits; any NaN equals any NaN.
  static bool equal(const ir::Tensor& a, const ir::Tensor& b, int64_t i) {
    if (!ir::is_float(a.dtype())) return a.get_int(i) == b.get_int(i);
    double x = a.get(i), y = b.get(i);
    return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y) || (std::isnan(x) && std::isnan(y));
  }
};

}  // namespace mezzo::cuda_sim
