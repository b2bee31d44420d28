// tensor_conversion.h: public arrays <-> arrays of the IR. Copies.
#pragma once
#include "mezzo/tensor.h"
#include "runtime/npz.h"

namespace mezzo::runtime {

ir::Tensor from_public(const Tensor& tensor);
Tensor to_public(const ir::Tensor& tensor);
Arrays from_public(const Tensors& tensors);
Tensors to_public(const Arrays& arrays);

}  // namespace mezzo::runtime
