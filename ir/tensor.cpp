#include "ir/tensor.h"

#include <cstring>
#include <new>
#include <utility>

#include "ir/storage.h"

namespace mezzo::ir {
namespace {

constexpr std::align_val_t kAlignment{64};

std::byte* allocate(int64_t bytes) {
  return static_cast<std::byte*>(::operator new[](static_cast<size_t>(std::max<int64_t>(bytes, 1)), kAlignment));
}

template <class T>
T load(const std::byte* p, int64_t i) {
  T v;
  std::memcpy(&v, p + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return v;
}
template <class T>
void store(std::byte* p, int64_t i, T v) {
  std::memcpy(p + i * static_cast<int64_t>(sizeof(T)), &v, sizeof(T));
}

// Float to integer: truncation; out of range and NaN give the nearest end or 0 instead of undefined behaviour.
int64_t truncate(double v, DType to) {
  if (v != v) return 0;
  if (to == DType::u64 && v >= 0x1p63) return v >= 0x1p64 ? -1 : static_cast<int64_t>(static_cast<uint64_t>(v));
  if (v >= 0x1p63) return INT64_MAX;
  if (v < -0x1p63) return INT64_MIN;
  return static_cast<int64_t>(v);
}

}  // namespace

void Tensor::Free::operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }

Tensor::Tensor(Type type) : type_(std::move(type)) {
  data_.reset(allocate(bytes()));
  std::memset(data(), 0, static_cast<size_t>(bytes()));
}

Tensor::Tensor(const Tensor& other) : type_(other.type_) {
  if (!other.data_) return;
  data_.reset(allocate(bytes()));
  std::memcpy(data(), other.data(), static_cast<size_t>(bytes()));
}

Tensor& Tensor::operator=(Tensor other) noexcept {
  std::swap(type_, other.type_);
  std::swap(data_, other.data_);
  return *this;
}

Tensor Tensor::scalar(double value, DType dtype) { return filled({dtype, {}}, value); }

Tensor Tensor::filled(Type type, double value) {
  Tensor t(std::move(type));
  for (int64_t i = 0; i < t.count(); i++) t.set(i, value);
  return t;
}

Tensor Tensor::of(const Dims& dims, const std::vector<double>& values, DType dtype) {
  Tensor t({dtype, dims});
  check(t.count() == static_cast<int64_t>(values.size()), "Tensor::of: ", values.size(), " values for ",
        to_string(dims));
  for (int64_t i = 0; i < t.count(); i++) t.set(i, values[static_cast<size_t>(i)]);
  return t;
}

double Tensor::get(int64_t i) const {
  if (dtype() == DType::bf16) return bf16_to_f32(load<uint16_t>(data(), i));
  if (dtype() == DType::f16) return f16_to_f32(load<uint16_t>(data(), i));
  return with_storage(dtype(), [&](auto t) { return static_cast<double>(load<decltype(t)>(data(), i)); });
}

void Tensor::set(int64_t i, double v) {
  switch (dtype()) {
    case DType::f64: return store(data(), i, v);
    case DType::f32: return store(data(), i, static_cast<float>(v));
    case DType::bf16: return store(data(), i, f64_to_bf16(v));
    case DType::f16: return store(data(), i, f64_to_f16(v));
    case DType::boolean: return store(data(), i, static_cast<uint8_t>(v != 0));
    default: return set_int(i, truncate(v, dtype()));
  }
}

int64_t Tensor::get_int(int64_t i) const {
  if (is_float(dtype())) return truncate(get(i), DType::i64);
  return with_storage(dtype(), [&](auto t) { return static_cast<int64_t>(load<decltype(t)>(data(), i)); });
}

void Tensor::set_int(int64_t i, int64_t v) {
  if (is_float(dtype())) return set(i, static_cast<double>(v));
  if (dtype() == DType::boolean) return store(data(), i, static_cast<uint8_t>(v != 0));
  with_storage(dtype(), [&](auto t) { store(data(), i, static_cast<decltype(t)>(v)); });
}

Tensor Tensor::cast(DType to) const {
  Tensor out({to, dims()});
  if (dtype() == DType::f32 && is_low(to)) {  // whole weights
    auto from = as<float>();
    auto bits = out.as<uint16_t>();
    for (size_t i = 0; i < from.size(); i++)
      bits[i] = to == DType::bf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    return out;
  }
  bool exact = !is_float(dtype()) && !is_float(to);
  for (int64_t i = 0; i < count(); i++) {
    if (exact) out.set_int(i, get_int(i));
    else out.set(i, get(i));
  }
  return out;
}

Tensor Tensor::reshaped(const Dims& dims) const {
  check(element_count(dims) == count(), "reshape of ", to_string(type_), " to ", to_string(dims));
  Tensor out = *this;
  out.type_.dims = dims;
  return out;
}

bool Tensor::operator==(const Tensor& other) const {
  return type_ == other.type_ && std::memcmp(data(), other.data(), static_cast<size_t>(bytes())) == 0;
}

}  // namespace mezzo::ir
