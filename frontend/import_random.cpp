// import_random.cpp: operators that draw random numbers. All draw from Mezzo's own key (seed, step), each
// from a stream of its own, so that a run can be repeated and no two operators see the same numbers; ONNX's
// attribute `seed` is not used.
#include <algorithm>

#include "frontend/importer.h"
#include "frontend/tensor_reader.h"
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::frontend {

using ir::DType;
using ir::Value;
using ir::Values;

namespace {

constexpr std::string_view kRandomOps[] = {"Bernoulli",        "Multinomial",   "RandomNormal",
                                           "RandomNormalLike", "RandomUniform", "RandomUniformLike"};

double number(const Call& call, const char* name, double otherwise) {
  auto it = call.attrs.find(name);
  if (it == call.attrs.end()) return otherwise;
  if (auto* real = std::get_if<double>(&it->second)) return *real;
  if (auto* integer = std::get_if<int64_t>(&it->second)) return static_cast<double>(*integer);
  malformed(call, concat("attribute '", name, "' must be a number"));
}

DType drawn_type(const Call& call, DType otherwise) {
  if (!call.has("dtype")) return otherwise;
  auto dtype = dtype_of(static_cast<int>(std::clamp<int64_t>(call.integer("dtype", 1), 0, 1000)));
  if (!dtype) unsupported(call, "this element type");
  return *dtype;
}

}  // namespace

bool Importer::is_random_op(std::string_view op) {
  return std::find(std::begin(kRandomOps), std::end(kRandomOps), op) != std::end(kRandomOps);
}

void Importer::draw(Call& call) {
  const bool shaped = call.op == "RandomNormal" || call.op == "RandomUniform";
  if (!shaped && !call.in(0)) malformed(call, "input 0 is required");
  Value key = random_key();
  const int64_t stream = streams_++;
  if (call.op == "Bernoulli") {
    const DType dtype = drawn_type(call, call.in(0).dtype());
    call.results = Values{ir::cast(ir::apply("Bernoulli", {call.in(0), key}, {{"stream", stream}}), dtype)};
    return;
  }
  if (call.op == "Multinomial") {
    const DType dtype = drawn_type(call, DType::i32);
    Value drawn = ir::apply("Multinomial", {call.in(0), key},
                            {{"sample_size", call.integer("sample_size", 1)}, {"stream", stream}});
    call.results = Values{ir::cast(drawn, dtype)};
    return;
  }
  ir::Dims dims;
  if (shaped) {
    auto it = call.attrs.find("shape");
    auto* given = it == call.attrs.end() ? nullptr : std::get_if<ir::Ints>(&it->second);
    if (!given) malformed(call, "attribute 'shape' must be a list of integers");
    dims = *given;
  } else {
    dims = call.in(0).dims();
  }
  const DType like = !shaped && ir::is_float(call.in(0).dtype()) ? call.in(0).dtype() : DType::f32;
  const DType dtype = drawn_type(call, like);
  if (!ir::is_float(dtype)) malformed(call, concat("random numbers of type ", ir::name(dtype)));
  Value drawn;
  if (call.op == "RandomUniform" || call.op == "RandomUniformLike") {
    const double low = number(call, "low", 0), high = number(call, "high", 1);
    drawn = ir::random_uniform(key, dims, stream);
    if (low != 0 || high != 1) drawn = drawn * (high - low) + low;
  } else {
    drawn = ir::apply("RandomNormal", {key},
                      {{"shape", dims},
                       {"stream", stream},
                       {"mean", number(call, "mean", 0)},
                       {"scale", number(call, "scale", 1)}});
  }
  call.results = Values{ir::cast(drawn, dtype)};
}

}  // namespace mezzo::frontend
