// lrn.cpp: ONNX LRN: Y = X / (bias + alpha / size * sum of X^2 over `size` neighbouring channels) ^ beta.
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

std::vector<Type> infer(const Node& n) {
  const Type& x = n.in_type(0);
  require(is_float(x.dtype) && x.rank() >= 2, "input ", to_string(x),
          " must be float, with a batch and a channel axis");
  require(n.i("size") >= 1 && n.i("size") <= (int64_t{1} << 31), "size ", n.i("size"), " must be at least 1");
  return {x};
}

Values expand_lrn(Graph&, const Node& n, const Values& in) {
  Value x = in[0];
  const int64_t size = n.i("size"), channels = x.dims()[1];
  WindowSpec spec{.kernel = {size},
                  .strides = {1},
                  .dilations = {1},
                  .pads = {(size - 1) / 2},
                  .outputs = {channels},
                  .first_axis = 1};
  Value sum = reshape(reduce_sum(window(x * x, spec), {-1}), x.dims());
  Value magnitude = sum * (n.f("alpha") / static_cast<double>(size)) + n.f("bias");
  return {x * exp(log(magnitude) * -n.f("beta"))};
}

const OpDef lrn = {
    .name = "LRN",
    .attrs = {{"alpha", 1e-4}, {"beta", 0.75}, {"bias", 1.0}, {"size", 0, AttrSpec::required}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_lrn,
};
MEZZO_REGISTER_OP(lrn);

}  // namespace
}  // namespace mezzo::ir
