// tensor.h: arrays that go into and come out of a model.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "mezzo/error.h"

namespace mezzo {

// Element types, in ONNX's sense. The two 16-bit floats are stored as their bit patterns, boolean as a byte 0
// or 1.
enum class DType : uint8_t { f64, f32, bf16, f16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

// "f32", "bf16", "i64", ...
const char* to_string(DType dtype);
// Bytes per element.
int byte_size(DType dtype);

// Extents, outermost first; empty for a scalar.
using Shape = std::vector<int64_t>;

// A dense row-major array on the host; copying copies the elements. All conversions round once, to nearest
// even; floats become integers by truncation.
class Tensor {
 public:
  // No elements: shape [0], f32.
  Tensor() = default;
  // Zeros. Throws Error(bad_input) for a negative extent or more than 2^40 elements.
  Tensor(Shape shape, DType dtype);
  // A copy of `values`, whose number must be that of the shape (else Error(bad_input)); T is an arithmetic
  // type and decides the element type.
  template <class T>
  Tensor(Shape shape, std::span<const T> values) : Tensor(std::move(shape), dtype_of<T>()) {
    fill(values.data(), values.size());
  }
  template <class T>
  Tensor(Shape shape, const std::vector<T>& values) : Tensor(std::move(shape), std::span<const T>(values)) {}

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return count_; }
  size_t bytes() const { return storage_.size(); }
  std::byte* data() { return storage_.data(); }
  const std::byte* data() const { return storage_.data(); }

  // The elements converted to T.
  template <class T>
  std::vector<T> to() const {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    Tensor converted = cast(dtype_of<T>());
    auto* first = reinterpret_cast<const T*>(converted.data());
    return std::vector<T>(first, first + converted.count());
  }
  Tensor cast(DType to) const;
  // Element `index` in row-major order as a number.
  double at(int64_t index) const;

  // The element type that stores a C++ arithmetic type.
  template <class T>
  static constexpr DType dtype_of() {
    if constexpr (std::is_same_v<T, bool>)
      return DType::boolean;
    else if constexpr (std::is_floating_point_v<T>)
      return sizeof(T) == 8 ? DType::f64 : DType::f32;
    else if constexpr (sizeof(T) == 8)
      return std::is_signed_v<T> ? DType::i64 : DType::u64;
    else if constexpr (sizeof(T) == 4)
      return std::is_signed_v<T> ? DType::i32 : DType::u32;
    else if constexpr (sizeof(T) == 2)
      return std::is_signed_v<T> ? DType::i16 : DType::u16;
    else
      return std::is_signed_v<T> ? DType::i8 : DType::u8;
  }

 private:
  void fill(const void* values, size_t count);
  DType dtype_ = DType::f32;
  Shape shape_{0};
  int64_t count_ = 0;
  std::vector<std::byte> storage_;
};

// Arrays by graph input or output name.
using Tensors = std::map<std::string, Tensor>;

}  // namespace mezzo
