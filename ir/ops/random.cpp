// random.cpp: random numbers as a pure function of (seed, step, stream, element index): every backend draws
// the same, in any order, and nothing has to be stored for the backward pass.
//
// The generator is Philox2x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC
// 2011): ten rounds of a 32x32 -> 64 bit multiplication mixed with a key that grows by a constant. Counter:
// (element index, step); key: seed xor a multiple of the stream. The first of its two words is used. An index
// repeats after 2^32 elements.
#include "ir/ops/formula.h"
#include "ir/ops/scalar_rows.h"
#include "ir/philox.h"

namespace mezzo::ir {
namespace {

const Program& philox_program() {
  static const Program p = [] {
    Formula f(3, DType::u32);
    Term left = f.parameter(0), right = f.parameter(1), key = f.parameter(2);
    Term multiplier = f.constant(kPhiloxMultiplier, DType::u32);
    for (int round = 0; round < kPhiloxRounds; round++) {
      if (round > 0) key = key + static_cast<double>(kPhiloxKeyStep);
      Term high = mul_high(left, multiplier), low = left * multiplier;
      left = high ^ key ^ right;
      right = low;
    }
    return f.finish(left);
  }();
  return p;
}

// (counter 0, counter 1, key) -> 32 random bits.
const OpDef philox = {
    .name = "Philox",
    .min_inputs = 3,
    .max_inputs = 3,
    .precision = Precision::fixed,
    .meaning = Meaning::scalar,
    .infer =
        [](const Node& n) {
          require(n.in_type(0).dtype == DType::u32, "counters and key must be u32");
          return broadcast_inputs(n);
        },
    .scalar = {Code::program, nullptr, philox_program},
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(philox);

// Element `i` of the key as a scalar.
Value part(Value key, int64_t i) { return reshape(slice(key, {i}, {i + 1}, {0}, {1}), {}); }

// f32 in [0, 1), multiples of 2^-24. `key`: u32[2] = {seed, step}.
const OpDef random_uniform_op = {
    .name = "RandomUniform",
    .attrs = {{"shape", Ints{}, AttrSpec::required}, {"stream", int64_t{0}}},
    .precision = Precision::fixed,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      require(n.in_type(0) == Type{DType::u32, {2}}, "the key is ", to_string(n.in_type(0)),
              ", expected u32[2]");
      element_count(n.ints("shape"));
      return {{DType::f32, n.ints("shape")}};
    },
    .expand = [](Graph& to, const Node& n, const Values& in) -> Values {
      const Dims& dims = n.type().dims;
      Value index = reshape(iota(to, {element_count(dims)}, 0, DType::u32), dims);
      Value stream = to.constant(philox_stream(n.i("stream")), DType::u32);
      Value key = apply("BitwiseXor", {part(in[0], 0), stream});
      Value bits = apply("Philox", {index, part(in[0], 1), key});
      return {cast(apply("ShiftRight", {bits, constant_like(bits, 8)}), DType::f32) * 0x1p-24};
    },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(random_uniform_op);

}  // namespace
}  // namespace mezzo::ir
