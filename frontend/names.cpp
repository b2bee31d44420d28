#include "frontend/names.h"

#include <algorithm>
#include <cstdint>

namespace mezzo::frontend {
namespace {

// Length of the valid UTF-8 character at the front of `text`, 0 when it is broken.
size_t character(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  uint32_t lead = byte(0);
  if (lead < 0x80) return 1;
  size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (size == 0 || lead > 0xf4 || text.size() < size) return 0;
  uint32_t code = lead & (0x7fu >> size);
  for (size_t i = 1; i < size; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return overlong || surrogate || code > 0x10ffff ? 0 : size;
}

}  // namespace

std::string printable(std::string_view name) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  while (!name.empty() && out.size() < 120) {
    size_t size = character(name);
    auto byte = static_cast<uint8_t>(name.front());
    if (size == 0 || byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
      size = 1;
    } else {
      out += name.substr(0, size);
    }
    name.remove_prefix(size);
  }
  return name.empty() ? out : out + "...";
}

bool is_clean_text(std::string_view text) {
  while (!text.empty()) {
    size_t size = character(text);
    if (size == 0 || text.front() == '\0') return false;
    text.remove_prefix(size);
  }
  return true;
}

bool is_made_up(std::string_view name) {
  if (name.rfind("onnx::", 0) == 0 || name.find("Constant") != std::string_view::npos) return true;
  // PyTorch's dynamo exporter numbers the values of an operator from the second one on.
  constexpr std::string_view kFirst[] = {"alias",     "clone",  "contiguous",
                                         "detach",    "expand", "linear",
                                         "permute",   "repeat", "scalar_tensor_default",
                                         "transpose", "view"};
  if (std::find(std::begin(kFirst), std::end(kFirst), name) != std::end(kFirst)) return true;
  size_t digits = name.find_last_not_of("0123456789");
  if (digits == std::string_view::npos || digits + 1 == name.size() || name[digits] != '_') return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

bool may_be_weight(std::string_view name) {
  return name.rfind("onnx::", 0) == 0 || name.rfind("val_", 0) == 0;
}

}  // namespace mezzo::frontend
