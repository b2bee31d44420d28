#include "ir/ops/class_labels.h"

#include <limits>

namespace mezzo::ir {
namespace {

// [N, D...] -> [N, 1, D...]
Dims with_class_axis(const Dims& labels) {
  Dims dims = labels;
  dims.insert(dims.begin() + 1, 1);
  return dims;
}

Ints all_axes(Value v) {
  Ints axes;
  for (int64_t a = 0; a < v.rank(); a++) axes.push_back(a);
  return axes;
}

// The sum of the weights, with 1 in place of 0.
Value divisor(Value weight_sum) {
  return where(equal(weight_sum, constant_like(weight_sum, 0)), constant_like(weight_sum, 1), weight_sum);
}

}  // namespace

std::vector<AttrSpec> loss_attrs() {
  return {{"reduction", "mean"}, {"ignore_index", 0, AttrSpec::optional}};
}

Type loss_type(const Node& n) {
  const Type &scores = n.in_type(0), &labels = n.in_type(1);
  require(is_float(scores.dtype), "scores are ", name(scores.dtype), ", expected a float");
  require(labels.dtype == DType::i64 || labels.dtype == DType::i32, "labels are ", name(labels.dtype),
          ", expected i64 or i32 class ids");
  require(scores.rank() >= 2, "scores ", to_string(scores.dims), " must have a batch and a class axis");
  Dims expected = scores.dims;
  expected.erase(expected.begin() + 1);
  require(labels.dims == expected, "labels ", to_string(labels.dims), " must be ", to_string(expected),
          " for scores ", to_string(scores.dims));
  require(scores.dims[1] >= 1 && scores.dims[1] <= std::numeric_limits<int32_t>::max(), "scores have ",
          scores.dims[1], " classes");
  if (n.has(2)) {
    const Type& weights = n.in_type(2);
    require(weights.dims == Dims{scores.dims[1]}, "class weights ", to_string(weights.dims), " must be [",
            scores.dims[1], "]");
    require(compute_type(weights.dtype) == compute_type(scores.dtype), "class weights are ",
            name(weights.dtype), ", scores are ", name(scores.dtype));
  }
  const std::string& reduction = n.s("reduction");
  require(reduction == "mean" || reduction == "sum" || reduction == "none", "reduction '", reduction,
          "' is none of mean, sum, none");
  return {scores.dtype, reduction == "none" ? labels.dims : Dims{}};
}

ClassLabels class_labels(const Node& n, Value labels, Value class_weights, const Type& scores) {
  Graph& graph = labels.node->graph();
  const int64_t classes = scores.dims[1];
  Value label = reshape(labels, with_class_axis(labels.dims()));
  Value in_range = logical_and(greater_equal(label, constant_like(label, 0)),
                               less(label, constant_like(label, static_cast<double>(classes))));
  ClassLabels out;
  out.counted = in_range;
  Value invalid = logical_not(in_range);
  if (n.has_attr("ignore_index")) {
    Value ignored = equal(label, graph.constant([&] {
      Tensor t(Type{label.dtype(), {}});
      t.set_int(0, n.i("ignore_index"));
      return t;
    }()));
    out.counted = logical_and(in_range, logical_not(ignored));
    invalid = logical_and(invalid, logical_not(ignored));
  }
  out.invalid = reshape(reduce_sum(cast(invalid, DType::i64), all_axes(invalid)), {});
  // In range, so that 32 bits hold it; compared in 32 bits, because the class axis is the long one.
  Value safe = cast(where(out.counted, label, constant_like(label, -1)), DType::i32);
  Dims line(scores.dims.size(), 1);
  line[1] = classes;
  out.chosen = equal(iota(graph, line, 1, DType::i32), safe);
  const DType dtype = compute_type(scores.dtype);
  if (class_weights) {
    Value weights = cast(reshape(class_weights, line), dtype);
    out.weight = reduce_sum(where(out.chosen, weights, constant_like(weights, 0)), {1});
  } else {
    out.weight = cast(out.counted, dtype);
  }
  return out;
}

ReducedLoss reduce_loss(const Node& n, Value losses, Value weight) {
  const Ints all = all_axes(losses);
  Value weight_sum = reduce_sum(weight, all);
  const std::string& reduction = n.s("reduction");
  Value loss = losses;
  if (reduction != "none") loss = reduce_sum(losses, all);
  if (reduction == "mean") loss = loss / divisor(weight_sum);
  return {reshape(loss, n.type().dims), reshape(weight_sum, {})};
}

Value loss_gradient(const Node& n, Value dloss, Value weight_sum, Value weight) {
  const std::string& reduction = n.s("reduction");
  Value each = dloss;
  if (reduction == "none") each = reshape(dloss, with_class_axis(dloss.dims()));
  if (reduction == "mean") each = dloss / divisor(weight_sum);
  return weight * each;
}

}  // namespace mezzo::ir
