#include "ir/scalar.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "ir/lanes.h"
#include "ir/storage.h"

namespace mezzo::ir {
namespace {

struct Row {
  std::string_view name;
  int arity;
};
constexpr std::array<Row, static_cast<size_t>(Code::program) + 1> kCodes{{
    {"add", 2},         {"sub", 2},        {"mul", 2},         {"div", 2},         {"fma", 3},
    {"neg", 1},         {"abs", 1},        {"sqrt", 1},        {"floor", 1},       {"ceil", 1},
    {"round", 1},       {"trunc", 1},      {"min", 2},         {"max", 2},         {"fmod", 2},
    {"mod", 2},         {"equal", 2},      {"less", 2},        {"less_equal", 2},  {"select", 3},
    {"logical_and", 2}, {"logical_or", 2}, {"logical_xor", 2}, {"logical_not", 1}, {"bit_and", 2},
    {"bit_or", 2},      {"bit_xor", 2},    {"bit_not", 1},     {"shift_left", 2},  {"shift_right", 2},
    {"mul_high", 2},    {"is_nan", 1},     {"is_inf", 1},      {"cast", 1},        {"bitcast", 1},
    {"program", 0},
}};

int bits_of(DType t) { return byte_size(t) * 8; }

// One code on lanes of float type T; comparisons write `integer`.
template <class T>
void float_lanes(Code code, int n, const Lanes* a, const Lanes* b, const Lanes* c, Lanes& out) {
  auto x = [&](int i) { return static_cast<T>(a->real[i]); };
  auto y = [&](int i) { return static_cast<T>(b->real[i]); };
  auto z = [&](int i) { return static_cast<T>(c->real[i]); };
  auto real = [&](auto f) {
    for (int i = 0; i < n; i++) out.real[i] = f(i);
  };
  auto boolean = [&](auto f) {
    for (int i = 0; i < n; i++) out.integer[i] = f(i);
  };
  switch (code) {
    case Code::add: return real([&](int i) { return x(i) + y(i); });
    case Code::sub: return real([&](int i) { return x(i) - y(i); });
    case Code::mul: return real([&](int i) { return x(i) * y(i); });
    case Code::div: return real([&](int i) { return x(i) / y(i); });
    case Code::fma: return real([&](int i) { return std::fma(x(i), y(i), z(i)); });
    case Code::neg: return real([&](int i) { return -x(i); });
    case Code::abs: return real([&](int i) { return std::fabs(x(i)); });
    case Code::sqrt: return real([&](int i) { return std::sqrt(x(i)); });
    case Code::floor: return real([&](int i) { return std::floor(x(i)); });
    case Code::ceil: return real([&](int i) { return std::ceil(x(i)); });
    case Code::round: return real([&](int i) { return std::nearbyint(x(i)); });
    case Code::trunc: return real([&](int i) { return std::trunc(x(i)); });
    case Code::min: return real([&](int i) { return x(i) < y(i) || x(i) != x(i) ? x(i) : y(i); });
    case Code::max: return real([&](int i) { return x(i) > y(i) || x(i) != x(i) ? x(i) : y(i); });
    case Code::fmod: return real([&](int i) { return std::fmod(x(i), y(i)); });
    case Code::mod:
      return real([&](int i) {
        T r = std::fmod(x(i), y(i));
        if (r == 0) return std::copysign(r, y(i));
        return (r < 0) != (y(i) < 0) ? r + y(i) : r;
      });
    case Code::equal: return boolean([&](int i) { return x(i) == y(i); });
    case Code::less: return boolean([&](int i) { return x(i) < y(i); });
    case Code::less_equal: return boolean([&](int i) { return x(i) <= y(i); });
    case Code::is_nan: return boolean([&](int i) { return std::isnan(x(i)); });
    case Code::is_inf: return boolean([&](int i) { return std::isinf(x(i)); });
    default: throw InternalError(concat("operation ", name(code), " on floats"));
  }
}

// One code on integers of type T. Arithmetic is on 64-bit patterns, so it cannot overflow; the caller wraps
// to T.
template <class T>
void integer_lanes(Code code, int n, const Lanes* a, const Lanes* b, const Lanes* c, Lanes& out) {
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  using Bits = std::make_unsigned_t<T>;
  constexpr uint64_t kBits = sizeof(T) * 8;
  auto x = [&](int i) { return static_cast<Wide>(a->integer[i]); };
  auto y = [&](int i) { return static_cast<Wide>(b->integer[i]); };
  auto ux = [&](int i) { return static_cast<uint64_t>(a->integer[i]); };
  auto uy = [&](int i) { return static_cast<uint64_t>(b->integer[i]); };
  auto each = [&](auto f) {
    for (int i = 0; i < n; i++) out.integer[i] = static_cast<int64_t>(f(i));
  };
  // The quotient by -1 is a negation: the least number would overflow. So would its remainder, which is 0.
  auto is_minus_one = [](Wide v) { return std::is_signed_v<T> && v == static_cast<Wide>(-1); };
  auto remainder = [&](int i) -> Wide { return y(i) == 0 || is_minus_one(y(i)) ? 0 : x(i) % y(i); };
  switch (code) {
    case Code::add: return each([&](int i) { return ux(i) + uy(i); });
    case Code::sub: return each([&](int i) { return ux(i) - uy(i); });
    case Code::mul: return each([&](int i) { return ux(i) * uy(i); });
    case Code::fma: return each([&](int i) { return ux(i) * uy(i) + static_cast<uint64_t>(c->integer[i]); });
    case Code::div:
      return each([&](int i) {
        if (y(i) == 0) return uint64_t{0};
        return is_minus_one(y(i)) ? -ux(i) : static_cast<uint64_t>(x(i) / y(i));
      });
    case Code::neg: return each([&](int i) { return -ux(i); });
    case Code::abs:
      return each([&](int i) { return std::is_signed_v<T> && a->integer[i] < 0 ? -ux(i) : ux(i); });
    case Code::floor:
    case Code::ceil:
    case Code::round:
    case Code::trunc: return each(x);
    case Code::min: return each([&](int i) { return x(i) < y(i) ? x(i) : y(i); });
    case Code::max: return each([&](int i) { return x(i) > y(i) ? x(i) : y(i); });
    case Code::fmod: return each(remainder);
    case Code::mod:
      return each([&](int i) {
        Wide r = remainder(i);
        return r != 0 && std::is_signed_v<T> && (static_cast<int64_t>(r) < 0) != (b->integer[i] < 0)
                   ? r + y(i)
                   : r;
      });
    case Code::equal: return each([&](int i) { return x(i) == y(i); });
    case Code::less: return each([&](int i) { return x(i) < y(i); });
    case Code::less_equal: return each([&](int i) { return x(i) <= y(i); });
    case Code::bit_and:
    case Code::logical_and: return each([&](int i) { return ux(i) & uy(i); });
    case Code::bit_or:
    case Code::logical_or: return each([&](int i) { return ux(i) | uy(i); });
    case Code::bit_xor:
    case Code::logical_xor: return each([&](int i) { return ux(i) ^ uy(i); });
    case Code::bit_not: return each([&](int i) { return ~ux(i); });
    case Code::logical_not: return each([&](int i) { return ux(i) == 0; });
    case Code::shift_left: return each([&](int i) { return uy(i) < kBits ? ux(i) << uy(i) : 0; });
    case Code::shift_right:
      return each([&](int i) { return uy(i) < kBits ? uint64_t{static_cast<Bits>(ux(i))} >> uy(i) : 0; });
    case Code::mul_high:
      check(sizeof(T) == 4, "mul_high is for u32");
      return each(
          [&](int i) { return uint64_t{static_cast<uint32_t>(ux(i))} * static_cast<uint32_t>(uy(i)) >> 32; });
    case Code::is_nan:
    case Code::is_inf: return each([](int) { return 0; });
    default: throw InternalError(concat("operation ", name(code), " on integers"));
  }
}

template <class T>
T saturate(double v) {
  using Limits = std::numeric_limits<T>;
  if (v != v) return 0;
  // 2^digits is the first number too large; it is a double also where the greatest T is not.
  if (v >= std::ldexp(1.0, Limits::digits)) return Limits::max();
  if (v <= static_cast<double>(Limits::min())) return Limits::min();
  return static_cast<T>(v);
}

void cast_lanes(DType from, DType to, int n, const Lanes& a, Lanes& out) {
  if (to == DType::boolean) {
    for (int i = 0; i < n; i++) out.integer[i] = is_float(from) ? a.real[i] != 0 : a.integer[i] != 0;
  } else if (is_float(from) && is_float(to)) {
    if (to == DType::f32)
      for (int i = 0; i < n; i++) out.real[i] = static_cast<float>(a.real[i]);
    else
      for (int i = 0; i < n; i++) out.real[i] = round_to(a.real[i], to);
  } else if (is_float(from)) {
    with_integer(to, [&](auto t) {
      for (int i = 0; i < n; i++) out.integer[i] = static_cast<int64_t>(saturate<decltype(t)>(a.real[i]));
    });
  } else if (is_float(to)) {
    with_integer(from, [&](auto t) {
      for (int i = 0; i < n; i++) {
        auto v = static_cast<decltype(t)>(a.integer[i]);
        out.real[i] = to == DType::f32 ? static_cast<float>(v) : round_to(static_cast<double>(v), to);
      }
    });
  } else {
    with_integer(to, [&](auto t) {
      for (int i = 0; i < n; i++)
        out.integer[i] = static_cast<int64_t>(static_cast<decltype(t)>(a.integer[i]));
    });
  }
}

void bitcast_lanes(DType from, DType to, int n, const Lanes& a, Lanes& out) {
  check(bits_of(from) == 32 && bits_of(to) == 32, "bitcast between ", name(from), " and ", name(to));
  if (from == DType::f32 && to != DType::f32) {
    for (int i = 0; i < n; i++) {
      int32_t bits = std::bit_cast<int32_t>(static_cast<float>(a.real[i]));
      out.integer[i] = to == DType::i32 ? bits : int64_t{static_cast<uint32_t>(bits)};
    }
  } else if (from != DType::f32 && to == DType::f32) {
    for (int i = 0; i < n; i++) out.real[i] = std::bit_cast<float>(static_cast<uint32_t>(a.integer[i]));
  } else {
    cast_lanes(from, to, n, a, out);
  }
}

void select_lanes(DType type, int n, const Lanes& a, const Lanes& b, const Lanes& c, Lanes& out) {
  if (is_float(type))
    for (int i = 0; i < n; i++) out.real[i] = a.integer[i] ? b.real[i] : c.real[i];
  else
    for (int i = 0; i < n; i++) out.integer[i] = a.integer[i] ? b.integer[i] : c.integer[i];
}

void fill_constant(const Instruction& it, int n, Lanes& out) {
  double real = round_to(it.constant, it.type);
  int64_t integer = is_float(it.type) ? 0 : static_cast<int64_t>(it.constant);
  for (int i = 0; i < n; i++) {
    out.real[i] = real;
    out.integer[i] = integer;
  }
}

}  // namespace

std::string_view name(Code code) { return kCodes[static_cast<size_t>(code)].name; }
int arity(Code code) { return kCodes[static_cast<size_t>(code)].arity; }

void evaluate(Code code, DType type, DType operand, int count, const Lanes* a, const Lanes* b, const Lanes* c,
              Lanes& out) {
  switch (code) {
    case Code::cast: return cast_lanes(operand, type, count, *a, out);
    case Code::bitcast: return bitcast_lanes(operand, type, count, *a, out);
    case Code::select: return select_lanes(type, count, *a, *b, *c, out);
    default: break;
  }
  if (operand == DType::f32) return float_lanes<float>(code, count, a, b, c, out);
  if (operand == DType::f64) return float_lanes<double>(code, count, a, b, c, out);
  check(!is_float(operand), "arithmetic on ", name(operand), ": widen it first");
  with_integer(operand, [&](auto t) { integer_lanes<decltype(t)>(code, count, a, b, c, out); });
  if (is_integer(type)) cast_lanes(DType::i64, type, count, out, out);
}

const Lanes& run(const Program& program, int count, const Lanes* const* parameters,
                 std::vector<Lanes>& scratch) {
  if (scratch.size() < program.body.size()) scratch.resize(program.body.size());
  auto value = [&](int number) -> const Lanes* {
    if (number < 0) return nullptr;
    return number < program.parameters ? parameters[number]
                                       : &scratch[static_cast<size_t>(number - program.parameters)];
  };
  auto type = [&](int number) {
    return number < program.parameters ? program.parameter_type
                                       : program.body[static_cast<size_t>(number - program.parameters)].type;
  };
  for (size_t k = 0; k < program.body.size(); k++) {
    const Instruction& it = program.body[k];
    if (it.a < 0)
      fill_constant(it, count, scratch[k]);
    else
      evaluate(it.code, it.type, type(it.a), count, value(it.a), value(it.b), value(it.c), scratch[k]);
  }
  return scratch[program.body.size() - 1];
}

Number evaluate(Code code, DType type, DType operand, Number a, Number b, Number c) {
  Lanes la, lb, lc, out;
  auto put = [](Number from, Lanes& to) {
    to.real[0] = from.real;
    to.integer[0] = from.integer;
  };
  put(a, la);
  put(b, lb);
  put(c, lc);
  put({}, out);
  evaluate(code, type, operand, 1, &la, &lb, &lc, out);
  return {out.real[0], out.integer[0]};
}

Number run(const Program& program, const Number* parameters) {
  std::vector<Number> values(parameters, parameters + program.parameters);
  std::vector<DType> types(values.size(), program.parameter_type);
  auto at = [&](int number) { return number < 0 ? Number{} : values[static_cast<size_t>(number)]; };
  for (const Instruction& it : program.body) {
    if (it.a < 0)
      values.push_back(
          {round_to(it.constant, it.type), is_float(it.type) ? 0 : static_cast<int64_t>(it.constant)});
    else
      values.push_back(
          evaluate(it.code, it.type, types[static_cast<size_t>(it.a)], at(it.a), at(it.b), at(it.c)));
    types.push_back(it.type);
  }
  return values.back();
}

float run(const Program& program, const float* parameters) {
  std::vector<Number> values;
  for (int i = 0; i < program.parameters; i++) values.push_back({parameters[i], 0});
  return static_cast<float>(run(program, values.data()).real);
}

}  // namespace mezzo::ir
