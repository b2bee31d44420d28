// class_labels.h: what the two losses over class ids share: reading labels (N, D...) against scores (N, C,
// D...), class weights, ignore_index, the reduction, and counting labels that name no class.
#pragma once
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {

// All of the scores' rank; the class axis 1 has extent C in `chosen` and 1 in the others. A label is compared
// with the class coordinates, never used as an address: a wrong one cannot read out of bounds.
struct ClassLabels {
  Value chosen;   // bool: this class is the label; nowhere true for labels that do not count
  Value counted;  // bool: in [0, C) and not ignore_index
  Value weight;   // class weight of the label, 0 where it does not count
  Value invalid;  // i64 scalar: number of labels neither ignored nor in [0, C). Not 0: the step is an error
};
ClassLabels class_labels(const Node& n, Value labels, Value class_weights, const Type& scores);

// Shape rule: checks scores, labels and weights (inputs 0, 1, 2); gives the type of the loss.
Type loss_type(const Node& n);

// The attributes `reduction` and `ignore_index`.
std::vector<AttrSpec> loss_attrs();

// Losses per label [N, 1, D...] -> the node's loss. "mean" divides by the sum of the weights of the labels
// that count, and is 0 when that sum is 0 (all ignored).
struct ReducedLoss {
  Value loss;
  Value weight_sum;  // scalar
};
ReducedLoss reduce_loss(const Node& n, Value losses, Value weight);
// The gradient of the loss with respect to each entry of `losses`, [N, 1, D...] or broadcasting to it, times
// weight.
Value loss_gradient(const Node& n, Value dloss, Value weight_sum, Value weight);

}  // namespace mezzo::ir
