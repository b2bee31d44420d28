// eval_scalar.cpp: element by element, 256 at a time. See lanes.h for the arithmetic.
#include "ir/eval_loops.h"
#include "ir/lanes.h"
#include "ir/op.h"
#include "ir/storage.h"

namespace mezzo::ir {
namespace {

template <class T, class At>
void load_integers(const Tensor& t, int count, At at, Lanes& out) {
  const T* data = t.as<T>().data();
  for (int i = 0; i < count; i++) out.integer[i] = static_cast<int64_t>(data[at(i)]);
}

template <class T, class At, class Widen>
void load_reals(const Tensor& t, int count, At at, Widen widen, Lanes& out) {
  const T* data = t.as<T>().data();
  for (int i = 0; i < count; i++) out.real[i] = static_cast<double>(widen(data[at(i)]));
}

// Elements at(0), at(1), ... of t.
template <class At>
void load(const Tensor& t, int count, At at, Lanes& out) {
  auto same = [](auto v) { return v; };
  switch (t.dtype()) {
    case DType::f64: return load_reals<double>(t, count, at, same, out);
    case DType::f32: return load_reals<float>(t, count, at, same, out);
    case DType::bf16: return load_reals<uint16_t>(t, count, at, bf16_to_f32, out);
    case DType::f16: return load_reals<uint16_t>(t, count, at, f16_to_f32, out);
    default:
      return with_integer(t.dtype(), [&](auto v) { load_integers<decltype(v)>(t, count, at, out); });
  }
}

template <class T, class Narrow>
void store_with(Tensor& t, int64_t first, int count, Narrow narrow) {
  T* data = t.as<T>().data() + first;
  for (int i = 0; i < count; i++) data[i] = static_cast<T>(narrow(i));
}

void store(const Lanes& v, int count, int64_t first, Tensor& t) {
  auto integer = [&](int i) { return v.integer[i]; };
  auto real = [&](int i) { return v.real[i]; };
  switch (t.dtype()) {
    case DType::f64: return store_with<double>(t, first, count, real);
    case DType::f32: return store_with<float>(t, first, count, real);
    case DType::bf16:
      return store_with<uint16_t>(t, first, count, [&](int i) { return f64_to_bf16(v.real[i]); });
    case DType::f16:
      return store_with<uint16_t>(t, first, count, [&](int i) { return f64_to_f16(v.real[i]); });
    case DType::i64:
    case DType::u64: return store_with<int64_t>(t, first, count, integer);
    case DType::i32:
    case DType::u32: return store_with<int32_t>(t, first, count, integer);
    case DType::i16:
    case DType::u16: return store_with<int16_t>(t, first, count, integer);
    case DType::i8:
    case DType::u8: return store_with<int8_t>(t, first, count, integer);
    case DType::boolean:
      return store_with<uint8_t>(t, first, count, [&](int i) { return v.integer[i] != 0; });
  }
}

// Walks the elements of an operand in the order of the result's elements.
class Operand {
 public:
  Operand(const Tensor& tensor, const Dims& result) : tensor_(tensor) {
    if (tensor.dims() == result) return;
    repeats_ = true;
    if (tensor.count() == 1) return;
    extents_ = result;
    coordinates_.assign(result.size(), 0);
    steps_.assign(result.size(), 0);
    Dims strides = strides_of(tensor.dims());
    size_t lead = result.size() - strides.size();
    for (size_t i = 0; i < strides.size(); i++)
      if (tensor.dims()[i] != 1) steps_[lead + i] = strides[i];
  }

  void next(int count, Lanes& out) {
    if (!repeats_) {
      load(
          tensor_, count, [&](int i) { return position_ + i; }, out);
      position_ += count;
    } else if (steps_.empty()) {
      load(
          tensor_, count, [](int) { return 0; }, out);
    } else {
      int64_t at[kLanes];
      for (int i = 0; i < count; i++) {
        at[i] = position_;
        advance();
      }
      load(
          tensor_, count, [&](int i) { return at[i]; }, out);
    }
  }

 private:
  void advance() {
    for (size_t axis = extents_.size(); axis-- > 0;) {
      position_ += steps_[axis];
      if (++coordinates_[axis] < extents_[axis]) return;
      position_ -= steps_[axis] * extents_[axis];
      coordinates_[axis] = 0;
    }
  }

  const Tensor& tensor_;
  bool repeats_ = false;
  int64_t position_ = 0;
  Dims extents_, coordinates_, steps_;
};

}  // namespace

void evaluate_scalar(const Node& node, const TensorRefs& in, Tensor& out) {
  const Scalar& scalar = node.op().scalar;
  constexpr size_t kMaxOperands = 3;
  check(in.size() >= 1 && in.size() <= kMaxOperands, node.op().name, ": a scalar op of ", in.size(),
        " operands");
  std::vector<Operand> operands;
  for (const Tensor* t : in) operands.emplace_back(*t, out.dims());
  DType operand = compute_type(in[0]->dtype());
  DType result = scalar.code == Code::cast ? out.dtype() : compute_type(out.dtype());
  bool real = scalar.code == Code::program && out.dtype() == DType::f64 && scalar.real;
  const Program* program = scalar.code == Code::program && !real ? &scalar.program() : nullptr;
  if (program)
    check(operand == program->parameter_type && in.size() == static_cast<size_t>(program->parameters),
          node.op().name, ": operands do not fit its program");

  std::vector<Lanes> lanes(kMaxOperands + 1), scratch;
  const Lanes* parameters[kMaxOperands] = {&lanes[0], &lanes[1], &lanes[2]};
  for (int64_t first = 0; first < out.count(); first += kLanes) {
    int count = static_cast<int>(std::min<int64_t>(kLanes, out.count() - first));
    for (size_t k = 0; k < operands.size(); k++) operands[k].next(count, lanes[k]);
    if (program) {
      store(run(*program, count, parameters, scratch), count, first, out);
      continue;
    }
    if (real) {
      for (int i = 0; i < count; i++) {
        double x[kMaxOperands] = {lanes[0].real[i], lanes[1].real[i], lanes[2].real[i]};
        lanes[kMaxOperands].real[i] = scalar.real(x);
      }
    } else {
      evaluate(scalar.code, result, operand, count, &lanes[0], &lanes[1], &lanes[2], lanes[kMaxOperands]);
    }
    store(lanes[kMaxOperands], count, first, out);
  }
}

}  // namespace mezzo::ir
