#include "ir/type.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace mezzo::ir {
namespace {

struct Row {
  std::string_view name;
  int bytes;
};
constexpr std::array<Row, kDTypeCount> kRows{{{"f64", 8},
                                              {"f32", 4},
                                              {"bf16", 2},
                                              {"f16", 2},
                                              {"i64", 8},
                                              {"i32", 4},
                                              {"i16", 2},
                                              {"i8", 1},
                                              {"u64", 8},
                                              {"u32", 4},
                                              {"u16", 2},
                                              {"u8", 1},
                                              {"bool", 1}}};
constexpr int64_t kMaxElements = int64_t{1} << 40;

// Rounds a finite double to a float format with `precision` significant bits and least subnormal 2^min_exponent.
double round_significand(double v, int precision, int min_exponent) {
  if (v == 0 || !std::isfinite(v)) return v;
  int unit = std::max(std::ilogb(v) - (precision - 1), min_exponent);
  return std::ldexp(std::nearbyint(std::ldexp(v, -unit)), unit);
}

}  // namespace

std::string_view name(DType t) { return kRows[static_cast<size_t>(t)].name; }
int byte_size(DType t) { return kRows[static_cast<size_t>(t)].bytes; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (int i = 0; i < kDTypeCount; i++)
    if (kRows[static_cast<size_t>(i)].name == text) return static_cast<DType>(i);
  return std::nullopt;
}

int64_t Type::count() const { return element_count(dims); }

std::string to_string(const Dims& dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); i++) out += (i ? "," : "") + std::to_string(dims[i]);
  return out + "]";
}

std::string to_string(const Type& t) { return std::string(name(t.dtype)) + to_string(t.dims); }

// Asked for very often: messages are made only when they are needed.
int64_t element_count(const Dims& dims) {
  int64_t n = 1;
  bool empty = false;
  for (int64_t d : dims) {
    if (d < 0) require(false, "negative dimension in shape ", to_string(dims));
    empty |= d == 0;
    if (d > kMaxElements || n > kMaxElements / std::max<int64_t>(d, 1))
      require(false, "shape ", to_string(dims), " has more than 2^40 elements");
    n *= std::max<int64_t>(d, 1);
  }
  return empty ? 0 : n;
}

Dims strides_of(const Dims& dims) {
  Dims strides(dims.size());
  int64_t step = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = step;
    step *= dims[i];
  }
  return strides;
}

Dims broadcast(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); i++) {
    int64_t x = i < out.size() - a.size() ? 1 : a[i - (out.size() - a.size())];
    int64_t y = i < out.size() - b.size() ? 1 : b[i - (out.size() - b.size())];
    if (x != y && x != 1 && y != 1)
      require(false, "shapes ", to_string(a), " and ", to_string(b), " do not broadcast");
    out[i] = x == 1 ? y : x;
  }
  return out;
}

int64_t normalize_axis(int64_t axis, int64_t rank) {
  require(axis >= -rank && axis < rank, "axis ", axis, " is out of range for rank ", rank);
  return axis < 0 ? axis + rank : axis;
}

uint16_t f64_to_f16(double v) {
  uint16_t sign = std::signbit(v) ? 0x8000 : 0;
  if (std::isnan(v)) return sign | 0x7e00;
  double a = std::fabs(round_significand(v, 11, -24));
  if (a > 65504) return sign | 0x7c00;
  if (a < 0x1p-14) return sign | static_cast<uint16_t>(std::ldexp(a, 24));
  int e = std::ilogb(a);
  return static_cast<uint16_t>(sign | ((e + 15) << 10) | (static_cast<int>(std::ldexp(a, 10 - e)) & 0x3ff));
}

uint16_t f64_to_bf16(double v) {
  if (std::isnan(v)) return std::signbit(v) ? 0xffc0 : 0x7fc0;
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(round_significand(v, 8, -133))) >> 16);
}

uint16_t f32_to_f16(float v) {
  uint32_t u = std::bit_cast<uint32_t>(v), a = u & 0x7fffffff;
  uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000);
  if (a > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((a >> 13) & 0x3ff));
  if (a >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
  if (a < 0x38800000) {                       // subnormal: adding 0.5 leaves the rounded significand in the low bits
    float shifted = std::bit_cast<float>(a) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((a + 0xfff + ((a >> 13) & 1) - 0x38000000) >> 13));
}

uint16_t f32_to_bf16(float v) {
  uint32_t u = std::bit_cast<uint32_t>(v);
  if ((u & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((u >> 16) | 0x40);
  return static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

float f16_to_f32(uint16_t h) {
  uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, e = (h >> 10) & 0x1f, m = h & 0x3ff;
  if (e == 31) return std::bit_cast<float>(sign | 0x7f800000 | (m << 13));
  if (e == 0) return std::copysign(static_cast<float>(m) * 0x1p-24f, std::bit_cast<float>(sign));
  return std::bit_cast<float>(sign | ((e + 112) << 23) | (m << 13));
}

float bf16_to_f32(uint16_t h) { return std::bit_cast<float>(static_cast<uint32_t>(h) << 16); }

double round_to(double v, DType t) {
  switch (t) {
    case DType::f32: return static_cast<float>(v);
    case DType::bf16: return bf16_to_f32(f64_to_bf16(v));
    case DType::f16: return f16_to_f32(f64_to_f16(v));
    default: return v;
  }
}

}  // namespace mezzo::ir
