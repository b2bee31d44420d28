// start_value.h: what a state holds before the first step.
#pragma once
#include <functional>

#include "ir/tensor.h"

namespace mezzo::ir {

// Held, or made when it is asked for: the weights of a large model stay in their file until something needs
// them, so that they are in memory once, where they are used.
class StartValue {
 public:
  StartValue() = default;
  StartValue(TensorPtr held) : type_(held->type()), held_(std::move(held)) {}
  // `make` gives a tensor of `type`, the same at every call.
  StartValue(Type type, std::function<Tensor()> make) : type_(std::move(type)), make_(std::move(make)) {}

  const Type& type() const { return type_; }
  Tensor copy() const { return held_ ? *held_ : make_(); }
  TensorPtr share() const { return held_ ? held_ : std::make_shared<const Tensor>(make_()); }

 private:
  Type type_{DType::f32, {0}};
  TensorPtr held_;
  std::function<Tensor()> make_;
};

}  // namespace mezzo::ir
