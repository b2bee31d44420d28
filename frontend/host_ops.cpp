#include "frontend/host_ops.h"

#include <algorithm>
#include <cmath>

#include "frontend/limits.h"
#include "frontend/tensor_reader.h"
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::frontend {
namespace {

using ir::Dims;
using ir::DType;
using ir::Tensor;
using ir::TensorPtr;
using ir::Value;

void give(Call& c, Tensor value) { c.results = ir::Values{c.graph.constant(std::move(value))}; }

Tensor integers(const ir::Ints& values) {
  Tensor t({DType::i64, {static_cast<int64_t>(values.size())}});
  for (size_t i = 0; i < values.size(); i++) t.as<int64_t>()[i] = values[i];
  return t;
}

void budget(const Call& c, const Dims& dims) {
  if (ir::element_count(dims) > kMaxFoldedElements)
    unsupported(c, concat("makes a constant of ", ir::element_count(dims), " elements; at most ",
                          kMaxFoldedElements));
}

// The value of an input that only constants reach; weights as read do not count.
TensorPtr constant_in(const Call& c, size_t i) { return ir::constant_of(c.in(i)); }

void constant(Call& c) {
  if (c.attrs.size() != 1) malformed(c, "needs exactly one value");
  auto& [name, value] = *c.attrs.begin();
  if (auto* t = std::get_if<TensorPtr>(&value)) return give(c, **t);
  if (auto* i = std::get_if<int64_t>(&value)) {
    Tensor t({DType::i64, {}});
    t.set_int(0, *i);
    return give(c, std::move(t));
  }
  if (auto* f = std::get_if<double>(&value)) return give(c, Tensor::scalar(*f, DType::f32));
  if (auto* is = std::get_if<ir::Ints>(&value)) return give(c, integers(*is));
  if (auto* fs = std::get_if<ir::Floats>(&value))
    return give(c, Tensor::of({static_cast<int64_t>(fs->size())}, *fs, DType::f32));
  unsupported(c, concat("a constant given as '", name, "'"));
}

void shape(Call& c) {
  if (!c.in(0)) malformed(c, "input 0 is required");
  const Dims& dims = c.in(0).dims();
  auto rank = static_cast<int64_t>(dims.size());
  auto bound = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  int64_t start = bound(std::max<int64_t>(c.integer("start", 0), -rank)), end = bound(c.integer("end", rank));
  give(c, integers(start < end ? ir::Ints(dims.begin() + start, dims.begin() + end) : ir::Ints{}));
}

void size(Call& c) {
  if (!c.in(0)) malformed(c, "input 0 is required");
  Tensor t({DType::i64, {}});
  t.set_int(0, c.in(0).type().count());
  give(c, std::move(t));
}

void constant_of_shape(Call& c) {
  TensorPtr shape_in = c.in(0) ? c.known(c.in(0)) : nullptr;
  if (!shape_in) return;
  Dims dims;
  for (int64_t i = 0; i < shape_in->count(); i++) dims.push_back(shape_in->get_int(i));
  for (int64_t d : dims)
    if (d < 0) malformed(c, concat("a negative dimension ", d));
  if (dims.size() > static_cast<size_t>(kMaxRank))
    malformed(c, concat(dims.size(), " dimensions; at most ", kMaxRank));
  ir::element_count(dims);
  Tensor fill = Tensor::scalar(0, DType::f32);
  if (auto it = c.attrs.find("value"); it != c.attrs.end()) {
    auto* t = std::get_if<TensorPtr>(&it->second);
    if (!t || (*t)->count() != 1) malformed(c, "attribute 'value' must be a tensor of one element");
    fill = (*t)->reshaped({});
  }
  Value one = c.graph.constant(std::move(fill));
  c.results = ir::Values{ir::expand(one, dims)};
}

void range(Call& c) {
  TensorPtr in[3];
  for (size_t i = 0; i < 3; i++) {
    if (!c.in(i)) malformed(c, concat("input ", i, " is required"));
    if (!(in[i] = c.known(c.in(i))))
      unsupported(c, "how many elements there are is not known when the step is compiled",
                  "Mezzo compiles static shapes: the inputs must follow from constants and input shapes");
  }
  const TensorPtr &start = in[0], &limit = in[1], &delta = in[2];
  if (start->count() != 1 || limit->count() != 1 || delta->count() != 1)
    malformed(c, "start, limit and delta must be numbers");
  if (start->dtype() != limit->dtype() || start->dtype() != delta->dtype())
    malformed(c, "start, limit and delta differ in type");
  double step = delta->get(0);
  if (step == 0) malformed(c, "delta is 0");
  double count = std::max(0.0, std::ceil((limit->get(0) - start->get(0)) / step));
  if (!(count <= static_cast<double>(kMaxFoldedElements)))
    unsupported(c, concat("makes ", count, " elements; at most ", kMaxFoldedElements));
  Tensor out({start->dtype(), {static_cast<int64_t>(count)}});
  for (int64_t i = 0; i < out.count(); i++) {
    if (ir::is_float(out.dtype()))
      out.set(i, start->get(0) + static_cast<double>(i) * step);
    else
      out.set_int(i, start->get_int(0) + i * delta->get_int(0));
  }
  give(c, std::move(out));
}

// Only for constants: the operator that runs on data is the IR's.
void gather(Call& c) {
  TensorPtr data = constant_in(c, 0), indices = constant_in(c, 1);
  if (!data || !indices) return;
  if (ir::is_float(indices->dtype())) malformed(c, "the indices must be integers");
  auto axis = static_cast<size_t>(ir::normalize_axis(c.integer("axis", 0), data->type().rank()));
  const Dims& from = data->dims();
  Dims dims(from.begin(), from.begin() + static_cast<int64_t>(axis));
  dims.insert(dims.end(), indices->dims().begin(), indices->dims().end());
  dims.insert(dims.end(), from.begin() + static_cast<int64_t>(axis) + 1, from.end());
  budget(c, dims);
  Tensor out({data->dtype(), dims});
  int64_t outer = 1, inner = ir::byte_size(data->dtype()), extent = from[axis];
  for (size_t i = 0; i < axis; i++) outer *= from[i];
  for (size_t i = axis + 1; i < from.size(); i++) inner *= from[i];
  std::byte* to = out.data();
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < indices->count(); i++) {
      int64_t at = indices->get_int(i);
      if (at < -extent || at >= extent)
        malformed(c, concat("index ", at, " is out of range of extent ", extent));
      const std::byte* source = data->data() + (o * extent + (at < 0 ? at + extent : at)) * inner;
      to = std::copy(source, source + inner, to);
    }
  give(c, std::move(out));
}

void non_zero(Call& c) {
  TensorPtr x = c.in(0) ? c.known(c.in(0)) : nullptr;
  if (!x)
    unsupported(c, "the number of elements that are not zero is not known when the step is compiled",
                "Mezzo compiles static shapes: the input must follow from constants and input shapes");
  std::vector<int64_t> found;
  for (int64_t i = 0; i < x->count(); i++)
    if (x->get(i) != 0) found.push_back(i);
  auto rank = static_cast<int64_t>(x->dims().size()), count = static_cast<int64_t>(found.size());
  Dims strides = ir::strides_of(x->dims());
  Tensor out({DType::i64, {rank, count}});
  for (int64_t a = 0; a < rank; a++)
    for (int64_t i = 0; i < count; i++) {
      auto axis = static_cast<size_t>(a);
      out.set_int(a * count + i, found[static_cast<size_t>(i)] / strides[axis] % x->dims()[axis]);
    }
  give(c, std::move(out));
}

void eye_like(Call& c) {
  if (!c.in(0) || c.in(0).rank() != 2) malformed(c, "the input must be a matrix");
  std::optional<DType> dtype = c.in(0).dtype();
  if (c.has("dtype")) dtype = dtype_of(static_cast<int>(c.integer("dtype", 1)));
  if (!dtype) unsupported(c, "this element type");
  const Dims dims = c.in(0).dims();
  budget(c, dims);
  Tensor out({*dtype, dims});
  int64_t k = c.integer("k", 0);
  if (k > -dims[0] && k < dims[1])
    for (int64_t row = 0; row < dims[0]; row++)
      if (int64_t column = row + k; column >= 0 && column < dims[1]) out.set(row * dims[1] + column, 1);
  give(c, std::move(out));
}

struct HostOp {
  std::string_view op;
  void (*evaluate)(Call&);
};
constexpr HostOp kHostOps[] = {{"Constant", constant},
                               {"Shape", shape},
                               {"Size", size},
                               {"Range", range},
                               {"Gather", gather},
                               {"ConstantOfShape", constant_of_shape},
                               {"NonZero", non_zero},
                               {"EyeLike", eye_like},
                               {"Unique", unique},
                               {"HannWindow", hann_window},
                               {"HammingWindow", hamming_window},
                               {"BlackmanWindow", blackman_window},
                               {"MelWeightMatrix", mel_weight_matrix},
                               {"NonMaxSuppression", non_max_suppression}};

}  // namespace

void evaluate_on_host(Call& call) {
  if (!call.domain.empty() || call.results) return;
  for (const HostOp& op : kHostOps)
    if (op.op == call.op) return op.evaluate(call);
}

bool is_host_op(std::string_view op) {
  return std::any_of(std::begin(kHostOps), std::end(kHostOps), [&](const HostOp& h) { return h.op == op; });
}

}  // namespace mezzo::frontend
