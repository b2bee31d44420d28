// build.h: formulas on Values, for expansions, gradient rules and passes. Every function appends to the graph of its
// first argument. Binary functions broadcast like numpy; their operands must have one dtype (use cast).
#pragma once
#include <optional>

#include "ir/graph.h"

namespace mezzo::ir {

// Appends an op by name with one output wanted; for ops without a function below. In ir/, frontend/ and tests only.
Value apply(std::string_view op, const Values& inputs, Attrs attrs = {});
Values apply_all(std::string_view op, const Values& inputs, Attrs attrs = {});
// A Kernel that computes `body`, whose inputs, in order, are `inputs`.
Node* add_kernel(Graph& graph, Values inputs, std::unique_ptr<Graph> body);

// d loss / d loss: 1, until scale_loss puts the loss scale there.
Value make_loss_seed(Graph& graph, DType dtype);

// What a composite node means, built into `to` on `inputs`: its formula on 16-bit floats widened to f32 (unless the class
// is low or pass), each result rounded to the node's own type.
Values expand_node(Graph& to, const Node& node, Values inputs);

// A scalar of v's dtype.
Value constant_like(Value v, double number);

// Scalar ops.
Value operator+(Value a, Value b);
Value operator-(Value a, Value b);
Value operator*(Value a, Value b);
Value operator/(Value a, Value b);
Value operator-(Value a);
Value operator+(Value a, double b);
Value operator-(Value a, double b);
Value operator*(Value a, double b);
Value operator/(Value a, double b);
Value operator-(double a, Value b);
Value operator/(double a, Value b);
Value abs(Value);
Value exp(Value);
Value log(Value);
Value log1p(Value);
Value sqrt(Value);
Value tanh(Value);
Value sigmoid(Value);
Value erf(Value);
Value sin(Value);
Value cos(Value);
Value sign(Value);
Value floor(Value);
Value minimum(Value a, Value b);
Value maximum(Value a, Value b);
Value pow(Value a, Value b);
Value equal(Value a, Value b);
Value less(Value a, Value b);
Value less_equal(Value a, Value b);
Value greater(Value a, Value b);
Value greater_equal(Value a, Value b);
Value logical_and(Value a, Value b);
Value logical_or(Value a, Value b);
Value logical_not(Value a);
Value is_finite(Value);                                    // bool
Value where(Value condition, Value yes, Value no);
Value cast(Value v, DType to);                             // v itself when it has that type

// Reductions. Negative axes count from the end; no axes = all. keepdims leaves extents of 1.
Value reduce_sum(Value v, Ints axes, bool keepdims = true);
Value reduce_max(Value v, Ints axes, bool keepdims = true);
Value reduce_min(Value v, Ints axes, bool keepdims = true);
Value reduce_prod(Value v, Ints axes, bool keepdims = true);
Value reduce_mean(Value v, Ints axes, bool keepdims = true);  // sum * (1/n)
// Sums out what broadcasting from `dims` to v's shape added; the result has shape `dims`.
Value sum_to(Value v, const Dims& dims);

// Movement. All return v itself when nothing moves.
Value reshape(Value v, const Dims& dims);                  // explicit dims, no 0 or -1
Value transpose(Value v, const Ints& perm);                // output axis k is input axis perm[k]
Value expand(Value v, const Dims& dims);                   // numpy broadcast to exactly `dims`
Value slice(Value v, const Ints& starts, const Ints& ends, const Ints& axes, const Ints& steps);  // ONNX Slice
// The transposed view of slice: a tensor of `dims` holding v where the slice reads and 0 elsewhere.
Value unslice(Value v, const Dims& dims, const Ints& starts, const Ints& axes, const Ints& steps);
Value pad(Value v, const Ints& begins, const Ints& ends, double fill = 0);  // one pair per axis; negative crops
Value concat(const Values& parts, int64_t axis);
Value iota(Graph& graph, const Dims& dims, int64_t axis, DType dtype = DType::i64);  // coordinate along `axis`
// Sliding windows over kernel.size() neighbouring axes, the first being `first_axis` (default: the last axes): every
// windowed extent D becomes O, and the kernel's extents K are appended:
// out[.., o, .., k] = v[.., o * stride + k * dilation - pad, ..], `fill` outside. O is given by `outputs`.
struct WindowSpec {
  Ints kernel, strides, dilations, pads;  // pads: begins only; ends follow from `outputs`
  Ints outputs;
  std::optional<int64_t> first_axis = {};
};
Value window(Value v, const WindowSpec& spec, double fill = 0);
// The transposed view: [.., O, .., K] -> [.., D, .., K] with out[.., d, .., k] = v[.., (d + pad - k*dilation)/stride, .., k]
// where that is a whole number in range, else 0. Summed over K it is the gradient of window. `inputs` is D.
Value unwindow(Value v, const WindowSpec& spec, const Dims& inputs);

// Matrix product of the last two axes: a [B..., M, K], b [B..., K, N], each stored transposed if so said; batch axes
// agree or are 1; optional bias of shape [N] (f32 for 16-bit operands). Accumulates in f32 (f64 for f64), adds the bias
// to the accumulator and rounds once to `out`.
struct DotSpec {
  bool trans_a = false, trans_b = false;
  std::optional<DType> out = {};  // default: the operands' type
};
Value dot(Value a, Value b, const DotSpec& spec = {}, Value bias = {});

// Convolution of x [N, C, spatial...] with w [M, C/groups, kernel...], 1 to 3 spatial axes; bias as in dot. With
// channels_last, x and the result are [N, spatial..., C]; w stays as it is.
struct ConvolutionSpec {
  Ints strides, dilations, pads_begin, pads_end;
  int64_t groups = 1;
  bool channels_last = false;
  std::optional<DType> out = {};
};
Value convolution(Value x, Value w, const ConvolutionSpec& spec, Value bias = {});
Value convolution_input_grad(Value dy, Value w, const Dims& x_dims, const ConvolutionSpec& spec);
Value convolution_weight_grad(Value x, Value dy, const Dims& w_dims, const ConvolutionSpec& spec);

// Counter-based uniform numbers in [0, 1), f32: a function of (key state: u32[2] = seed and step, stream, element index)
// only, equal on every backend. `stream` tells draws of one step apart.
Value random_uniform(Value key, const Dims& dims, int64_t stream);

}  // namespace mezzo::ir
