// The public array type, and its conversions to and from the one used inside.
#include "mezzo/tensor.h"

#include <cstring>

#include "runtime/tensor_conversion.h"

namespace mezzo {
namespace {

static_assert(static_cast<int>(DType::boolean) == static_cast<int>(ir::DType::boolean));
static_assert(static_cast<int>(DType::i64) == static_cast<int>(ir::DType::i64));

ir::DType inner(DType t) { return static_cast<ir::DType>(t); }

}  // namespace

const char* to_string(DType t) { return ir::name(inner(t)).data(); }  // names are literals, hence terminated
int byte_size(DType t) { return ir::byte_size(inner(t)); }

Tensor::Tensor(Shape shape, DType dtype) : dtype_(dtype), shape_(std::move(shape)) {
  count_ = ir::element_count(shape_);
  storage_.resize(static_cast<size_t>(count_ * byte_size(dtype)));
}

void Tensor::fill(const void* values, size_t count) {
  require(count == static_cast<size_t>(count_), "Tensor: ", count, " values for shape ",
          ir::to_string(shape_));
  if (!storage_.empty()) std::memcpy(storage_.data(), values, storage_.size());
}

Tensor Tensor::cast(DType to) const {
  if (to == dtype_) return *this;
  return runtime::to_public(runtime::from_public(*this).cast(inner(to)));
}

double Tensor::at(int64_t index) const {
  require(index >= 0 && index < count_, "Tensor: index ", index, " of ", count_, " elements");
  if (dtype_ == DType::f32) {
    float v;
    std::memcpy(&v, storage_.data() + index * 4, sizeof v);
    return v;
  }
  auto size = static_cast<size_t>(byte_size(dtype_));
  ir::Tensor one({inner(dtype_), {}});
  std::memcpy(one.data(), storage_.data() + static_cast<size_t>(index) * size, size);
  return one.get(0);
}

namespace runtime {

ir::Tensor from_public(const Tensor& t) {
  ir::Tensor out({inner(t.dtype()), t.shape()});
  if (t.bytes() > 0) std::memcpy(out.data(), t.data(), t.bytes());
  if (t.dtype() == DType::boolean)
    for (uint8_t& b : out.as<uint8_t>()) b = b != 0;
  return out;
}

Tensor to_public(const ir::Tensor& t) {
  Tensor out(t.dims(), static_cast<DType>(t.dtype()));
  if (out.bytes() > 0) std::memcpy(out.data(), t.data(), out.bytes());
  return out;
}

Arrays from_public(const Tensors& tensors) {
  Arrays out;
  for (auto& [name, tensor] : tensors) out.emplace(name, from_public(tensor));
  return out;
}

Tensors to_public(const Arrays& arrays) {
  Tensors out;
  for (auto& [name, tensor] : arrays) out.emplace(name, to_public(tensor));
  return out;
}

}  // namespace runtime
}  // namespace mezzo
