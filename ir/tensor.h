// tensor.h: a dense row-major array on the host: weights, constants, feeds and results.
#pragma once
#include <cstddef>
#include <memory>
#include <span>

#include "ir/type.h"

namespace mezzo::ir {

// Owns 64-byte aligned storage; copying copies. 16-bit floats are stored as their bit patterns (uint16_t), bool as one
// byte holding 0 or 1.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Type type);  // zero-filled
  static Tensor scalar(double value, DType dtype = DType::f32);
  static Tensor filled(Type type, double value);
  static Tensor of(const Dims& dims, const std::vector<double>& values, DType dtype = DType::f32);
  Tensor(const Tensor&);
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(Tensor other) noexcept;

  const Type& type() const { return type_; }
  const Dims& dims() const { return type_.dims; }
  DType dtype() const { return type_.dtype; }
  int64_t count() const { return type_.count(); }
  int64_t bytes() const { return type_.bytes(); }
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }

  // The elements as T, whose size must be that of the element type.
  template <class T>
  std::span<T> as() {
    check(sizeof(T) == static_cast<size_t>(byte_size(dtype())), "Tensor::as with an element of another size");
    return {reinterpret_cast<T*>(data()), static_cast<size_t>(count())};
  }
  template <class T>
  std::span<const T> as() const {
    check(sizeof(T) == static_cast<size_t>(byte_size(dtype())), "Tensor::as with an element of another size");
    return {reinterpret_cast<const T*>(data()), static_cast<size_t>(count())};
  }

  // Element `i` in row-major order. get/set convert with one rounding; the integer pair is exact for every integer type.
  double get(int64_t i) const;
  void set(int64_t i, double v);
  int64_t get_int(int64_t i) const;
  void set_int(int64_t i, int64_t v);  // wraps to the element type

  Tensor cast(DType to) const;            // elementwise, one rounding; float to integer truncates
  Tensor reshaped(const Dims& dims) const;
  bool operator==(const Tensor&) const;   // same type and same bytes

 private:
  struct Free {
    void operator()(std::byte*) const;
  };
  Type type_{DType::f32, {0}};
  std::unique_ptr<std::byte[], Free> data_;
};

using TensorPtr = std::shared_ptr<const Tensor>;

}  // namespace mezzo::ir
