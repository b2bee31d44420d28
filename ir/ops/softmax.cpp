// softmax.cpp: ONNX Softmax and LogSoftmax along one axis (the form of opset 13).
#include "ir/ops/softmax.h"

#include <limits>

#include "ir/op.h"

namespace mezzo::ir {

SoftmaxParts softmax_parts(Value x, int64_t axis) {
  const double lowest = x.dtype() == DType::f64 ? std::numeric_limits<double>::lowest()
                                                : static_cast<double>(std::numeric_limits<float>::lowest());
  // Smaller than any sum with one unmasked element, which is at least 1.
  constexpr double kMaskedSum = 0x1p-100;
  SoftmaxParts p;
  p.peak = maximum(reduce_max(x, {axis}), constant_like(x, lowest));
  p.shifted = x - p.peak;
  p.exponentials = exp(p.shifted);
  p.sum = maximum(reduce_sum(p.exponentials, {axis}), constant_like(x, kMaskedSum));
  return p;
}

namespace {

std::vector<Type> infer(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype), "input is ", name(x.dtype), ", expected a float");
  normalize_axis(n.i("axis"), x.rank());
  return {x};
}

// A fully masked row gives 0.
const OpDef softmax = {
    .name = "Softmax",
    .attrs = {{"axis", -1}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      SoftmaxParts p = softmax_parts(in[0], n.i("axis"));
      return {p.exponentials / p.sum};
    },
    .grad = [](Grad& g) -> Values {
      Value y = g.out[0], dy = g.dy[0];
      return {y * (dy - reduce_sum(dy * y, {g.node.i("axis")}))};
    },
};
MEZZO_REGISTER_OP(softmax);

// A fully masked row gives -inf.
const OpDef log_softmax = {
    .name = "LogSoftmax",
    .attrs = {{"axis", -1}},
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      SoftmaxParts p = softmax_parts(in[0], n.i("axis"));
      return {p.shifted - log(p.sum)};
    },
    .grad = [](Grad& g) -> Values {
      Value dy = g.dy[0];
      return {dy - exp(g.out[0]) * reduce_sum(dy, {g.node.i("axis")})};
    },
};
MEZZO_REGISTER_OP(log_softmax);

}  // namespace
}  // namespace mezzo::ir
