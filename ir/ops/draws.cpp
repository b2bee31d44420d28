// draws.cpp: RandomNormal, Bernoulli and Multinomial, made of uniform numbers: functions of (key, stream,
// element) like those.
#include <numbers>

#include "ir/build.h"
#include "ir/op.h"
#include "ir/ops/sliding_windows.h"

namespace mezzo::ir {
namespace {

const Type kKey{DType::u32, {2}};

void check_key(const Node& n, size_t input) {
  require(n.in_type(input) == kKey, "the random key is ", to_string(n.in_type(input)), ", expected u32[2]");
}

// Box and Muller's transform of two uniform numbers, one of them in (0, 1]: |x| <= 5.8.
const OpDef random_normal = {
    .name = "RandomNormal",
    .attrs = {{"shape", Ints{}, AttrSpec::required}, {"stream", int64_t{0}}, {"mean", 0.0}, {"scale", 1.0}},
    .precision = Precision::fixed,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      check_key(n, 0);
      element_count(n.ints("shape"));
      return {{DType::f32, n.ints("shape")}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const Dims& dims = n.type().dims;
      Dims pair = dims;
      pair.insert(pair.begin(), 2);
      Value u = random_uniform(in[0], pair, n.i("stream"));
      Value radius = sqrt(log(1.0 - reshape(slice(u, {0}, {1}, {0}, {1}), dims)) * -2.0);
      Value angle = reshape(slice(u, {1}, {2}, {0}, {1}), dims) * (2 * std::numbers::pi);
      return {radius * cos(angle) * n.f("scale") + n.f("mean")};
    },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(random_normal);

// bool: true with probability p, element by element.
const OpDef bernoulli = {
    .name = "Bernoulli",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"stream", int64_t{0}}},
    .precision = Precision::fixed,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      check_key(n, 1);
      require(is_float(n.in_type(0).dtype), "probabilities are ", name(n.in_type(0).dtype));
      return {{DType::boolean, n.in_type(0).dims}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Value u = random_uniform(in[1], in[0].dims(), n.i("stream"));
      return {less(cast(u, in[0].dtype()), in[0])};
    },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(bernoulli);

// Classes drawn from unnormalised log probabilities [batch, classes] -> i32 [batch, sample_size]: the place
// of the largest log probability once Gumbel noise is added (Gumbel 1954; Maddison, Tarlow, Minka 2014).
const OpDef multinomial = {
    .name = "Multinomial",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"sample_size", int64_t{1}}, {"stream", int64_t{0}}},
    .precision = Precision::fixed,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      check_key(n, 1);
      const Type& x = n.in_type(0);
      require(is_float(x.dtype) && x.rank() == 2 && x.dims[1] >= 1, "log probabilities are ", to_string(x),
              ", expected floats [batch, classes]");
      require(n.i("sample_size") >= 0, "sample_size ", n.i("sample_size"), " is negative");
      element_count({x.dims[0], n.i("sample_size"), x.dims[1]});
      return {{DType::i32, {x.dims[0], n.i("sample_size")}}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const int64_t batch = in[0].dims()[0], classes = in[0].dims()[1], samples = n.i("sample_size");
      Value x = reshape(in[0], {batch, 1, classes});
      Value u = random_uniform(in[1], {batch, samples, classes}, n.i("stream")) + 0x1p-25;  // never 0
      Value noisy = x - log(-log(cast(u, x.dtype())));
      return {reshape(first_position(noisy, reduce_max(noisy, {2}), {2}), {batch, samples})};
    },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(multinomial);

}  // namespace
}  // namespace mezzo::ir
