#include "ir/spelling.h"

#include <charconv>
#include <cmath>
#include <cstring>

namespace mezzo::ir {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_word(std::string_view name) {
  if (name.empty() || !is_word_start(name.front()) || name.back() == ':') return false;
  for (char c : name)
    if (!is_word_char(c)) return false;
  for (std::string_view taken : {"forward", "backward", "update", "scheduled", "arena"})
    if (name == taken) return false;
  return true;
}

template <class T>
std::string shortest(T v) {
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  return {buffer, end};
}

template <class T>
bool whole(std::string_view text, T& v, int base = 10) {
  if (text.empty()) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v, base);
  return error == std::errc{} && end == text.data() + text.size();
}
template <class T>
bool whole_real(std::string_view text, T& v) {
  if (text.empty()) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  return error == std::errc{} && end == text.data() + text.size();
}

// The element's bits, zero-extended.
uint64_t bits_of(const Tensor& t, int64_t i) {
  uint64_t bits = 0;
  auto size = static_cast<size_t>(byte_size(t.dtype()));
  std::memcpy(&bits, t.data() + static_cast<size_t>(i) * size, size);
  return bits;
}

bool fits(int64_t v, DType t) {
  int bits = 8 * byte_size(t);
  if (bits == 64) return is_signed(t) || v >= 0;
  if (is_signed(t)) return v >= -(int64_t{1} << (bits - 1)) && v < (int64_t{1} << (bits - 1));
  return v >= 0 && v < (int64_t{1} << bits);
}

}  // namespace

bool is_word_start(char c) { return is_letter(c) || c == '_' || c == '/'; }
bool is_word_char(char c) { return is_word_start(c) || is_digit(c) || c == '.' || c == ':' || c == '-'; }

std::string spell_name(std::string_view name) { return is_word(name) ? std::string(name) : quote(name); }

std::string quote(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (u < 0x20 || u == 0x7f)
      out += {'\\', 'x', kHex[u >> 4], kHex[u & 15]};
    else
      out += c;
  }
  return out + "\"";
}

std::string spell(double v) { return std::isnan(v) ? "nan" : shortest(v); }

std::optional<double> read_double(std::string_view text) {
  double v;
  return whole_real(text, v) ? std::optional(v) : std::nullopt;
}

std::optional<int64_t> read_int(std::string_view text) {
  int64_t v;
  return whole(text, v) ? std::optional(v) : std::nullopt;
}

std::string spell_element(const Tensor& t, int64_t i) {
  if (t.dtype() == DType::boolean) return t.get_int(i) ? "true" : "false";
  if (t.dtype() == DType::u64) return shortest(static_cast<uint64_t>(t.get_int(i)));
  if (!is_float(t.dtype())) return shortest(t.get_int(i));
  double v = t.get(i);
  if (std::isnan(v)) {
    if (bits_of(t, i) == bits_of(Tensor::scalar(std::nan(""), t.dtype()), 0)) return "nan";
    char buffer[32] = "0x";
    return {buffer, std::to_chars(buffer + 2, buffer + sizeof buffer, bits_of(t, i), 16).ptr};
  }
  return t.dtype() == DType::f64 ? shortest(v) : shortest(static_cast<float>(v));
}

bool read_element(std::string_view text, Tensor& t, int64_t i) {
  if (t.dtype() == DType::boolean) {
    t.set_int(i, text == "true" || text == "1");
    return text == "true" || text == "false" || text == "1" || text == "0";
  }
  if (t.dtype() == DType::u64) {
    uint64_t v;
    if (!whole(text, v)) return false;
    t.set_int(i, static_cast<int64_t>(v));
    return true;
  }
  if (!is_float(t.dtype())) {
    int64_t v;
    if (!whole(text, v) || !fits(v, t.dtype())) return false;
    t.set_int(i, v);
    return true;
  }
  if (text.starts_with("0x")) {
    uint64_t bits;
    auto size = static_cast<size_t>(byte_size(t.dtype()));
    if (!whole(text.substr(2), bits, 16) || (size < 8 && bits >> (8 * size))) return false;
    std::memcpy(t.data() + static_cast<size_t>(i) * size, &bits, size);
    return true;
  }
  if (t.dtype() == DType::f32) {  // straight to float: through double it would round twice
    float v;
    if (!whole_real(text, v)) return false;
    t.set(i, static_cast<double>(v));
    return true;
  }
  double v;
  if (!whole_real(text, v)) return false;
  t.set(i, v);
  return true;
}

}  // namespace mezzo::ir
