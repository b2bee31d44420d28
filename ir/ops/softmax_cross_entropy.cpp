// softmax_cross_entropy.cpp: ONNX SoftmaxCrossEntropyLoss: loss = -weight[label] *
// log_softmax(scores)[label], over class axis 1, and NegativeLogLikelihoodLoss: the same on given log
// probabilities.
//
// Behind ONNX's outputs stand `invalid_labels`, an i64 scalar that counts labels naming no class (the step
// turns a count above 0 into an error; such labels weigh nothing), and what the gradient needs again.
#include "ir/ops/class_labels.h"
#include "ir/ops/softmax.h"
#include "ir/pattern.h"

namespace mezzo::ir {
namespace {

namespace cross_entropy {

enum Output : size_t { kLoss, kLogProb, kInvalidLabels, kLogSumExp, kWeightSum };

std::vector<Type> infer(const Node& n) {
  const Type loss = loss_type(n), &scores = n.in_type(0);
  const DType statistics = compute_type(scores.dtype);
  Dims row = scores.dims;
  row[1] = 1;
  return {loss, scores, {DType::i64, {}}, {statistics, row}, {statistics, {}}};
}

Values expand(Graph&, const Node& n, const Values& in) {
  Value scores = in[0];
  ClassLabels labels = class_labels(n, in[1], n.has(2) ? in[2] : Value{}, scores.type());
  SoftmaxParts p = softmax_parts(scores, 1);
  Value log_sum = log(p.sum), log_prob = p.shifted - log_sum;
  Value zero = constant_like(scores, 0);
  Value picked = reduce_sum(where(labels.chosen, log_prob, zero), {1});
  Value losses = where(labels.counted, -(picked * labels.weight), zero);
  ReducedLoss reduced = reduce_loss(n, losses, labels.weight);
  return {reduced.loss, log_prob, labels.invalid, p.peak + log_sum, reduced.weight_sum};
}

// dscores = (softmax - onehot) * dloss/dlosses, nothing where the label does not count; through log_prob:
// d - softmax * sum(d). The softmax is computed again from the scores and their log-sum-exp.
Values grad(Grad& g) {
  Value scores = g.in[0], dloss = g.dy[kLoss], dlog_prob = g.dy[kLogProb], dscores;
  Value softmax = exp(scores - g.out[kLogSumExp]);
  if (dloss) {
    ClassLabels labels = class_labels(g.node, g.in[1], g.node.has(2) ? g.in[2] : Value{}, scores.type());
    Value each = loss_gradient(g.node, dloss, g.out[kWeightSum], labels.weight);
    Value direction = where(labels.chosen, softmax - 1.0, softmax);
    dscores = where(labels.counted, direction * each, constant_like(scores, 0));
  }
  if (dlog_prob) {
    Value d = dlog_prob - softmax * reduce_sum(dlog_prob, {1});
    dscores = dscores ? dscores + d : d;
  }
  Values d(g.in.size());
  d[0] = dscores;
  return d;
}

// The log-probability of one class per row, picked along the axis of the softmax, is the loss of each row,
// negated. Negative labels count from the end here, but are faults of the loss.
bool picks_one_per_row(const Match& m) {
  const Node &picked = m.node("picked"), &log_prob = m.node("log_prob");
  const int64_t rank = log_prob.type().rank(), axis = normalize_axis(log_prob.i("axis"), rank);
  Dims rows = log_prob.type().dims;
  rows[static_cast<size_t>(axis)] = 1;
  return normalize_axis(picked.i("axis"), rank) == axis && picked.type().dims == rows && rank >= 2 &&
         (axis == 1 || axis == rank - 1);
}

Values build_picked(Graph& to, const Match& m, const NewValue& now) {
  const Node& log_prob = m.node("log_prob");
  Value scores = now(m.value("scores")), labels = now(m.value("labels"));
  const Dims dims = scores.dims();
  const auto axis = static_cast<size_t>(normalize_axis(log_prob.i("axis"), scores.rank()));
  const int64_t classes = dims[axis];
  Dims rows = dims;
  if (axis == 1)
    rows.erase(rows.begin() + 1);
  else  // rows of scores that end in the classes
    rows = {scores.type().count() / classes}, scores = reshape(scores, {rows[0], classes});
  labels = reshape(labels, rows);
  labels = where(less(labels, constant_like(labels, 0)), labels + static_cast<double>(classes), labels);
  Node* n = to.add(get_op("SoftmaxCrossEntropyLoss"), {scores, labels}, {{"reduction", std::string("none")}});
  Values out{reshape(-n->out(kLoss), m.node("picked").type().dims)};
  if (m.node("picked").output_count() > 1) out.push_back(n->out(kInvalidLabels));
  return out;
}

const std::vector<Decomposition>& decompositions() {
  static const std::vector<Decomposition> list = {
      {.pattern = R"(
          loss     = NegativeLogLikelihoodLoss(log_prob, labels) | NegativeLogLikelihoodLoss(log_prob, labels, weights);
          log_prob = LogSoftmax(scores);
       )",
       .fits =
           [](const Match& m) {
             const Node& n = m.node("log_prob");
             return normalize_axis(n.i("axis"), n.type().rank()) == 1;
           },
       .build = [](Graph& to, const Match& m, const NewValue& now) -> Values {
         Values inputs{now(m.value("scores")), now(m.value("labels"))};
         if (m.has("weights")) inputs.push_back(now(m.value("weights")));
         Node* n = to.add(get_op("SoftmaxCrossEntropyLoss"), inputs, m.node("loss").attrs());
         return {n->out(kLoss), n->out(kInvalidLabels), n->out(kWeightSum)};
       }},
      {.pattern = R"(
          picked   = GatherElements(log_prob, labels);
          log_prob = LogSoftmax(scores);
       )",
       .fits = picks_one_per_row,
       .build = build_picked},
  };
  return list;
}

const OpDef op = {
    .name = "SoftmaxCrossEntropyLoss",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = loss_attrs(),
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand,
    .grad = grad,
    .no_grad_inputs = {1, 2},
    .fault_output = kInvalidLabels,
    .decompositions = decompositions,
};
MEZZO_REGISTER_OP(op);

}  // namespace cross_entropy

namespace likelihood {

enum Output : size_t { kLoss, kInvalidLabels, kWeightSum };

const OpDef op = {
    .name = "NegativeLogLikelihoodLoss",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = loss_attrs(),
    .precision = Precision::full,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      return {loss_type(n), {DType::i64, {}}, {compute_type(n.in_type(0).dtype), {}}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Value scores = in[0], zero = constant_like(scores, 0);
      ClassLabels labels = class_labels(n, in[1], n.has(2) ? in[2] : Value{}, scores.type());
      Value picked = reduce_sum(where(labels.chosen, scores, zero), {1});
      Value losses = where(labels.counted, -(picked * labels.weight), zero);
      ReducedLoss reduced = reduce_loss(n, losses, labels.weight);
      return {reduced.loss, labels.invalid, reduced.weight_sum};
    },
    .grad = [](Grad& g) -> Values {
      Values d(g.in.size());
      if (!g.dy[kLoss]) return d;
      ClassLabels labels = class_labels(g.node, g.in[1], g.node.has(2) ? g.in[2] : Value{}, g.in[0].type());
      Value each = loss_gradient(g.node, g.dy[kLoss], g.out[kWeightSum], labels.weight);
      d[0] = where(labels.chosen, -each, constant_like(each, 0));
      return d;
    },
    .no_grad_inputs = {1, 2},
    .fault_output = kInvalidLabels,
};
MEZZO_REGISTER_OP(op);

}  // namespace likelihood

}  // namespace
}  // namespace mezzo::ir
