// type.h: element types, shapes, and the exact conversions of the two 16-bit floats.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/error.h"

namespace mezzo::ir {

enum class DType : uint8_t { f64, f32, bf16, f16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };
inline constexpr int kDTypeCount = 13;

std::string_view name(DType);                         // "f32", "bf16", ..., "bool"
std::optional<DType> parse_dtype(std::string_view);   // inverse of name()
int byte_size(DType);                                 // bytes per element; bool is 1
inline bool is_float(DType t) { return t <= DType::f16; }
inline bool is_low(DType t) { return t == DType::bf16 || t == DType::f16; }  // "lp" of the precision plan
inline bool is_integer(DType t) { return t >= DType::i64 && t <= DType::u8; }
inline bool is_signed(DType t) { return t <= DType::i8; }
// The type arithmetic on `t` is done in: f32 for the 16-bit floats, otherwise `t` itself.
inline DType compute_type(DType t) { return is_low(t) ? DType::f32 : t; }

using Dims = std::vector<int64_t>;

struct Type {
  DType dtype = DType::f32;
  Dims dims;
  int rank() const { return static_cast<int>(dims.size()); }
  int64_t count() const;  // number of elements; 1 for a scalar
  int64_t bytes() const { return count() * byte_size(dtype); }
  bool operator==(const Type&) const = default;
};

std::string to_string(const Dims&);  // "[8,4]"
std::string to_string(const Type&);  // "f32[8,4]"

// Product of the dims. Throws Error when a dim is negative or the product exceeds 2^40 (docs/limits.md).
int64_t element_count(const Dims&);
// Row-major strides in elements.
Dims strides_of(const Dims&);
// The numpy broadcast of two shapes; throws Error when they do not match.
Dims broadcast(const Dims& a, const Dims& b);
// A possibly negative axis as 0 <= axis < rank; throws Error naming the range otherwise.
int64_t normalize_axis(int64_t axis, int64_t rank);

// Round to nearest even; NaN stays NaN (quiet), subnormals are kept, f16 overflows to infinity.
uint16_t f32_to_f16(float);
uint16_t f32_to_bf16(float);
float f16_to_f32(uint16_t);
float bf16_to_f32(uint16_t);
// One rounding from double (through float would round twice).
uint16_t f64_to_f16(double);
uint16_t f64_to_bf16(double);
// `v` rounded once to float type `t` and widened again; identity for f64 and for non-float types.
double round_to(double v, DType t);

}  // namespace mezzo::ir
