// training_updates.cpp: Adagrad, Adam and Momentum of ONNX's training domain: one step of an optimizer as an
// operator. Inputs R (rate), T (steps so far), then all X, all gradients and all accumulators, kind by kind;
// outputs the same kinds without gradients. Mezzo's own optimizers are another thing:
// passes/add_optimizer.cpp.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// The inputs behind R and T come in `kinds` equal groups. Outputs: one per input but the gradients.
size_t group_size(const Node& n, size_t kinds) {
  require(n.input_count() >= 2 + kinds && (n.input_count() - 2) % kinds == 0, n.input_count(),
          " inputs are not R, T and ", kinds, " of each kind");
  return (n.input_count() - 2) / kinds;
}

std::vector<Type> infer_update(const Node& n, size_t kinds) {
  const size_t count = group_size(n, kinds);
  require(n.in_type(0).count() == 1 && is_float(n.in_type(0).dtype), "R is ", to_string(n.in_type(0)));
  require(n.in_type(1).count() == 1 && is_integer(n.in_type(1).dtype), "T is ", to_string(n.in_type(1)));
  std::vector<Type> out;
  for (size_t kind = 0; kind < kinds; kind++)
    for (size_t i = 0; i < count; i++) {
      const Type &t = n.in_type(2 + kind * count + i), &x = n.in_type(2 + i);
      require(is_float(t.dtype) && t.dims == x.dims && t.dtype == x.dtype, "input ", 2 + kind * count + i,
              " is ", to_string(t), ", expected ", to_string(x));
      if (kind != 1) out.push_back(t);
    }
  return out;
}

// One tensor's values, in the order of the kinds, X first; returns the new ones.
using Update = std::function<Values(Value rate, Value steps, const Values& now)>;

Values update_all(const Node& n, const Values& in, size_t kinds, const Update& update) {
  const size_t count = group_size(n, kinds);
  Values out((kinds - 1) * count);
  for (size_t i = 0; i < count; i++) {
    Values now;
    for (size_t kind = 0; kind < kinds; kind++) now.push_back(in[2 + kind * count + i]);
    const DType t = now[0].dtype();
    Values next = update(cast(reshape(in[0], {}), t), cast(reshape(in[1], {}), t), now);
    for (size_t k = 0; k < next.size(); k++) out[k * count + i] = next[k];
  }
  return out;
}

OpDef training_update(std::string_view name, std::vector<AttrSpec> attrs,
                      std::vector<Type> (*infer)(const Node&),
                      Values (*expand)(Graph&, const Node&, const Values&)) {
  return {.name = name,
          .min_inputs = 4,
          .max_inputs = kAnyNumber,
          .attrs = std::move(attrs),
          .precision = Precision::full,
          .meaning = Meaning::expand,
          .infer = infer,
          .expand = expand,
          .grad = not_differentiable};
}

const OpDef adagrad = training_update(
    "Adagrad", {{"decay_factor", 0.0}, {"epsilon", 0.0}, {"norm_coefficient", 0.0}},
    [](const Node& n) { return infer_update(n, 3); },
    [](Graph&, const Node& n, const Values& in) -> Values {
      return update_all(n, in, 3, [&](Value rate, Value steps, const Values& now) -> Values {
        Value g = now[0] * n.f("norm_coefficient") + now[1], h = now[2] + g * g;
        Value decayed = rate / (steps * n.f("decay_factor") + 1.0);
        return {now[0] - decayed * g / (sqrt(h) + n.f("epsilon")), h};
      });
    });
MEZZO_REGISTER_OP(adagrad);

const OpDef adam = training_update(
    "Adam",
    {{"alpha", 0.9},
     {"beta", 0.999},
     {"epsilon", 0.0},
     {"norm_coefficient", 0.0},
     {"norm_coefficient_post", 0.0}},
    [](const Node& n) { return infer_update(n, 4); },
    [](Graph&, const Node& n, const Values& in) -> Values {
      const double alpha = n.f("alpha"), beta = n.f("beta");
      return update_all(n, in, 4, [&](Value rate, Value steps, const Values& now) -> Values {
        Value g = now[0] * n.f("norm_coefficient") + now[1];
        Value v = now[2] * alpha + g * (1 - alpha), h = now[3] * beta + g * g * (1 - beta);
        auto power = [&](double base) { return apply("Pow", {constant_like(steps, base), steps}); };
        Value first = equal(steps, constant_like(steps, 0)), one = constant_like(steps, 1);
        Value adjusted =
            rate * where(first, one, sqrt(1.0 - power(beta)) / where(first, one, 1.0 - power(alpha)));
        Value x = now[0] - adjusted * v / (sqrt(h) + n.f("epsilon"));
        return {x * (1 - n.f("norm_coefficient_post")), v, h};
      });
    });
MEZZO_REGISTER_OP(adam);

const OpDef momentum = training_update(
    "Momentum",
    {{"alpha", 0.0, AttrSpec::required},
     {"beta", 0.0, AttrSpec::required},
     {"mode", "", AttrSpec::required},
     {"norm_coefficient", 0.0, AttrSpec::required}},
    [](const Node& n) {
      require(n.s("mode") == "standard" || n.s("mode") == "nesterov", "mode '", n.s("mode"),
              "' is neither standard nor nesterov");
      return infer_update(n, 3);
    },
    [](Graph&, const Node& n, const Values& in) -> Values {
      return update_all(n, in, 3, [&](Value rate, Value steps, const Values& now) -> Values {
        Value g = now[0] * n.f("norm_coefficient") + now[1];
        // The first gradient counts fully.
        Value share = where(equal(steps, constant_like(steps, 0)), constant_like(steps, 1),
                            constant_like(steps, n.f("beta")));
        Value v = now[2] * n.f("alpha") + share * g;
        return {now[0] - rate * (n.s("mode") == "standard" ? v : g + v * n.f("alpha")), v};
      });
    });
MEZZO_REGISTER_OP(momentum);

}  // namespace
}  // namespace mezzo::ir
