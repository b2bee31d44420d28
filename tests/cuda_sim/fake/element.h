// element.h: elements in memory, as the fake libraries read and write them.
#pragma once
#include "ir/type.h"

namespace mezzo::fake_cuda {

inline double read_element(const void* p, ir::DType type, int64_t i) {
  switch (type) {
    case ir::DType::f32: return static_cast<const float*>(p)[i];
    case ir::DType::f64: return static_cast<const double*>(p)[i];
    case ir::DType::f16: return ir::f16_to_f32(static_cast<const uint16_t*>(p)[i]);
    default: return ir::bf16_to_f32(static_cast<const uint16_t*>(p)[i]);
  }
}
inline void write_element(void* p, ir::DType type, int64_t i, double v) {
  switch (type) {
    case ir::DType::f32: static_cast<float*>(p)[i] = static_cast<float>(v); break;
    case ir::DType::f64: static_cast<double*>(p)[i] = v; break;
    case ir::DType::f16: static_cast<uint16_t*>(p)[i] = ir::f32_to_f16(static_cast<float>(v)); break;
    default: static_cast<uint16_t*>(p)[i] = ir::f32_to_bf16(static_cast<float>(v));
  }
}

}  // namespace mezzo::fake_cuda
