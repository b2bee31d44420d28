#include "ir/ops/recurrent.h"

#include <algorithm>

namespace mezzo::ir {
namespace {

using namespace recurrent;

struct ActivationRow {
  std::string_view name;
  bool has_alpha, has_beta;
  double alpha, beta;  // when none are given
};
constexpr ActivationRow kActivations[] = {
    {"relu", false, false, 0, 0},        {"tanh", false, false, 0, 0},
    {"sigmoid", false, false, 0, 0},     {"affine", true, true, 1, 0},
    {"leakyrelu", true, false, 0.01, 0}, {"thresholdedrelu", true, false, 1, 0},
    {"scaledtanh", true, true, 1, 1},    {"hardsigmoid", true, true, 0.2, 0.5},
    {"elu", true, false, 1, 0},          {"softsign", false, false, 0, 0},
    {"softplus", false, false, 0, 0}};

// Parameters are consumed in order by the functions that have them.
std::vector<Activation> activations(const Node& n, const Strings& usual, int64_t directions) {
  Strings names = n.has_attr("activations") ? std::get<Strings>(n.attr("activations")) : Strings{};
  const size_t count = usual.size() * static_cast<size_t>(directions);
  if (names.empty())
    for (int64_t d = 0; d < directions; d++) names.insert(names.end(), usual.begin(), usual.end());
  require(names.size() == count, names.size(), " activations, expected ", count);
  const Floats alphas = n.has_attr("activation_alpha") ? n.floats("activation_alpha") : Floats{};
  const Floats betas = n.has_attr("activation_beta") ? n.floats("activation_beta") : Floats{};
  const double clip = n.has_attr("clip") ? n.f("clip") : 0;
  require(clip >= 0, "clip ", clip, " is negative");
  size_t next_alpha = 0, next_beta = 0;
  std::vector<Activation> out;
  for (std::string name : names) {
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    auto row = std::find_if(std::begin(kActivations), std::end(kActivations),
                            [&](const ActivationRow& r) { return r.name == name; });
    require(row != std::end(kActivations), "unknown activation '", name, "'");
    Activation a{name, row->alpha, row->beta, clip};
    if (row->has_alpha && next_alpha < alphas.size()) a.alpha = alphas[next_alpha++];
    if (row->has_beta && next_beta < betas.size()) a.beta = betas[next_beta++];
    out.push_back(a);
  }
  return out;
}

void expect_dims(const Node& n, size_t input, std::string_view what, const Dims& dims) {
  if (n.has(input))
    require(n.in_type(input).dims == dims, what, " is ", to_string(n.in_type(input).dims), ", expected ",
            to_string(dims));
}

// [steps, batch, 1]: which elements have not ended. Absent without sequence lengths.
Value running(const Node& n, const Values& in, const RecurrentShape& s) {
  if (!n.has(kLens)) return {};
  Value lens = reshape(in[kLens], {1, s.batch, 1});
  return less(iota(lens.node->graph(), {s.steps, 1, 1}, 0, lens.dtype()), lens);
}

}  // namespace

std::vector<AttrSpec> recurrent_attrs(std::vector<AttrSpec> more) {
  std::vector<AttrSpec> attrs = {{"activation_alpha", Floats{}, AttrSpec::optional},
                                 {"activation_beta", Floats{}, AttrSpec::optional},
                                 {"activations", Strings{}, AttrSpec::optional},
                                 {"clip", 0.0, AttrSpec::optional},
                                 {"direction", "forward"},
                                 {"hidden_size", 0, AttrSpec::optional},
                                 {"layout", 0}};
  attrs.insert(attrs.end(), more.begin(), more.end());
  return attrs;
}

RecurrentShape recurrent_shape(const Node& n, int64_t gates) {
  const Type &x = n.in_type(kX), &w = n.in_type(kW), &r = n.in_type(kR);
  const std::string& direction = n.s("direction");
  require(direction == "forward" || direction == "reverse" || direction == "bidirectional", "direction '",
          direction, "' is none of forward, reverse, bidirectional");
  require(is_float(x.dtype) && w.dtype == x.dtype && r.dtype == x.dtype, "X, W and R are ", name(x.dtype),
          ", ", name(w.dtype), " and ", name(r.dtype));
  require(x.rank() == 3 && w.rank() == 3 && r.rank() == 3, "X ", to_string(x.dims), ", W ", to_string(w.dims),
          " and R ", to_string(r.dims), " must have three axes");
  RecurrentShape s;
  s.batch_first = n.i("layout") != 0;
  s.steps = x.dims[s.batch_first ? 1 : 0];
  s.batch = x.dims[s.batch_first ? 0 : 1];
  s.inputs = x.dims[2];
  s.hidden = r.dims[2];
  s.directions = direction == "bidirectional" ? 2 : 1;
  s.gates = gates;
  require(s.steps >= 1 && s.batch >= 1 && s.hidden >= 1, "X ", to_string(x.dims),
          " or the hidden state is empty");
  require(!n.has_attr("hidden_size") || n.i("hidden_size") == s.hidden, "hidden_size is ",
          n.has_attr("hidden_size") ? n.i("hidden_size") : 0, " but R is ", to_string(r.dims));
  const int64_t rows = element_count({gates, s.hidden});
  expect_dims(n, kW, "W", {s.directions, rows, s.inputs});
  expect_dims(n, kR, "R", {s.directions, rows, s.hidden});
  expect_dims(n, kB, "B", {s.directions, 2 * rows});
  const Dims state =
      s.batch_first ? Dims{s.batch, s.directions, s.hidden} : Dims{s.directions, s.batch, s.hidden};
  expect_dims(n, kInitialH, "initial_h", state);
  expect_dims(n, kInitialC, "initial_c", state);
  expect_dims(n, kP, "P", {s.directions, 3 * s.hidden});
  expect_dims(n, kLens, "sequence_lens", {s.batch});
  require(!n.has(kLens) || is_integer(n.in_type(kLens).dtype), "sequence_lens must be integers");
  for (size_t i : {size_t{kB}, size_t{kInitialH}, size_t{kInitialC}, size_t{kP}})
    require(!n.has(i) || compute_type(n.in_type(i).dtype) == compute_type(x.dtype), "input ", i, " is ",
            n.has(i) ? name(n.in_type(i).dtype) : "", ", X is ", name(x.dtype));
  return s;
}

std::vector<Type> recurrent_types(const Node& n, int64_t gates, size_t states) {
  const RecurrentShape s = recurrent_shape(n, gates);
  const DType t = n.in_type(kX).dtype;
  const Dims y = s.batch_first ? Dims{s.batch, s.steps, s.directions, s.hidden}
                               : Dims{s.steps, s.directions, s.batch, s.hidden};
  element_count(y);
  std::vector<Type> out{{t, y}};
  for (size_t k = 0; k < states; k++)
    out.push_back(
        {t, s.batch_first ? Dims{s.batch, s.directions, s.hidden} : Dims{s.directions, s.batch, s.hidden}});
  return out;
}

Value Activation::operator()(Value v) const {
  if (clip > 0) v = minimum(maximum(v, constant_like(v, -clip)), constant_like(v, clip));
  if (name == "tanh") return tanh(v);
  if (name == "sigmoid") return sigmoid(v);
  if (name == "affine") return v * alpha + beta;
  if (name == "scaledtanh") return tanh(v * beta) * alpha;
  if (name == "relu") return apply("Relu", {v});
  if (name == "leakyrelu") return apply("LeakyRelu", {v}, {{"alpha", alpha}});
  if (name == "thresholdedrelu") return apply("ThresholdedRelu", {v}, {{"alpha", alpha}});
  if (name == "hardsigmoid") return apply("HardSigmoid", {v}, {{"alpha", alpha}, {"beta", beta}});
  if (name == "elu") return apply("Elu", {v}, {{"alpha", alpha}});
  return name == "softsign" ? apply("Softsign", {v}) : apply("Softplus", {v});
}

Value RecurrentDirection::rows(Value v, int64_t begin, int64_t end) {
  return begin == 0 && end == v.dims()[0] ? v : slice(v, {begin}, {end}, {0}, {1});
}

Value RecurrentDirection::part(size_t i) const {
  Value v = in[i];
  return reshape(rows(v, number, number + 1), Dims(v.dims().begin() + 1, v.dims().end()));
}

Value RecurrentDirection::bias_w() const {
  if (!node.has(kB)) return {};
  return rows(cast(part(kB), wide), 0, shape.gates * shape.hidden);
}

Value RecurrentDirection::bias_r() const {
  if (!node.has(kB)) return {};
  return rows(cast(part(kB), wide), shape.gates * shape.hidden, 2 * shape.gates * shape.hidden);
}

Value RecurrentDirection::input_product(Value bias) const {
  Value x = shape.batch_first ? transpose(in[kX], {1, 0, 2}) : in[kX];
  Value all = dot(reshape(x, {shape.steps * shape.batch, shape.inputs}), part(kW),
                  {.trans_b = true, .out = wide}, bias);
  return reshape(all, {shape.steps, shape.batch, shape.gates * shape.hidden});
}

Value RecurrentDirection::initial(size_t i) const {
  const Dims dims{shape.batch, shape.hidden};
  if (!node.has(i)) return expand(in[kX].node->graph().constant(0, wide), dims);
  const int64_t axis = shape.batch_first ? 1 : 0;
  return reshape(cast(slice(in[i], {number}, {number + 1}, {axis}, {1}), wide), dims);
}

Value hidden_product(Value h, Value r) {
  return dot(cast(h, r.dtype()), r, {.trans_b = true, .out = h.dtype()});
}

Value gate(Value all, int64_t k, int64_t hidden) {
  return slice(all, {k * hidden}, {(k + 1) * hidden}, {1}, {1});
}

Values build_recurrent(const Node& n, const Values& in, int64_t gates, const Strings& usual,
                       const std::function<RecurrentLayer(const RecurrentDirection&)>& describe) {
  const RecurrentShape s = recurrent_shape(n, gates);
  const std::vector<Activation> functions = activations(n, usual, s.directions);
  const DType wide = compute_type(in[kX].dtype());
  Value mask = running(n, in, s);
  std::vector<Values> parts;  // per output, per direction
  for (int64_t d = 0; d < s.directions; d++) {
    const auto first = functions.begin() + d * static_cast<int64_t>(usual.size());
    const RecurrentDirection direction{n,   in, s, d, {first, first + static_cast<int64_t>(usual.size())},
                                       wide};
    const RecurrentLayer layer = describe(direction);
    TimeLoopSpec spec{
        layer.states, {layer.x}, layer.invariant, s.steps, n.s("direction") == "reverse" || d == 1};
    Graph& graph = layer.x.node->graph();
    auto body = std::make_unique<Graph>();
    body->phase = graph.phase;
    body->origin = graph.origin;
    const Dims state{s.batch, s.hidden};
    RecurrentStep step{*body, {}, {}, {}};
    for (size_t k = 0; k < layer.states.size(); k++)
      step.states.push_back(body->input(mezzo::concat("state", k), {wide, state}));
    step.x = body->input("x", {wide, {s.batch, gates * s.hidden}});
    Value runs;
    if (mask) {
      spec.scanned.push_back(mask);
      runs = body->input("running", {DType::boolean, {s.batch, 1}});
    }
    for (size_t k = 0; k < layer.invariant.size(); k++)
      step.invariant.push_back(body->input(mezzo::concat("weight", k), layer.invariant[k].type()));
    Values yields;
    Values next = layer.step(step, yields);
    for (size_t k = 0; k < next.size(); k++) {
      if (mask) next[k] = where(runs, next[k], step.states[k]);  // an element that has ended keeps its state
      body->outputs.push_back({mezzo::concat("state", k), next[k]});
    }
    for (size_t k = 0; k < yields.size(); k++)
      body->outputs.push_back({mezzo::concat("yield", k), yields[k]});
    const TimeLoopResults results = time_loop(spec, std::move(body));
    Value y = results.history[0];
    if (mask) y = where(mask, y, constant_like(y, 0));
    parts.resize(1 + results.last.size());
    parts[0].push_back(s.batch_first ? reshape(transpose(y, {1, 0, 2}), {s.batch, s.steps, 1, s.hidden})
                                     : reshape(y, {s.steps, 1, s.batch, s.hidden}));
    for (size_t k = 0; k < results.last.size(); k++)
      parts[k + 1].push_back(
          reshape(results.last[k], s.batch_first ? Dims{s.batch, 1, s.hidden} : Dims{1, s.batch, s.hidden}));
  }
  Values out;
  for (size_t k = 0; k < parts.size(); k++)
    out.push_back(cast(concat(parts[k], k == 0 ? (s.batch_first ? 2 : 1) : (s.batch_first ? 1 : 0)),
                       n.type(static_cast<int>(k)).dtype));
  return out;
}

}  // namespace mezzo::ir
