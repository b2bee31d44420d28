// storage.h: from an element type to the C++ type that stores it.
#pragma once
#include "ir/type.h"

namespace mezzo::ir {

// f(value of the C++ integer type that stores integers or bool of type `t`).
template <class F>
auto with_integer(DType t, F f) {
  switch (t) {
    case DType::i64: return f(int64_t{});
    case DType::i32: return f(int32_t{});
    case DType::i16: return f(int16_t{});
    case DType::i8: return f(int8_t{});
    case DType::u64: return f(uint64_t{});
    case DType::u32: return f(uint32_t{});
    case DType::u16: return f(uint16_t{});
    case DType::u8:
    case DType::boolean: return f(uint8_t{});
    default: throw InternalError("not an integer type");
  }
}

// The same for every type; the 16-bit floats are stored as their bits.
template <class F>
auto with_storage(DType t, F f) {
  switch (t) {
    case DType::f64: return f(double{});
    case DType::f32: return f(float{});
    case DType::bf16:
    case DType::f16: return f(uint16_t{});
    default: return with_integer(t, f);
  }
}

}  // namespace mezzo::ir
