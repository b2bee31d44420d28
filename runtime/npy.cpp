#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "runtime/npz.h"

namespace mezzo::runtime {
namespace {

using ir::DType;

struct DTypeRow {
  char kind;
  int size;
  DType dtype;
};
constexpr std::array<DTypeRow, 12> kDTypes{{{'f', 8, DType::f64},
                                            {'f', 4, DType::f32},
                                            {'f', 2, DType::f16},
                                            {'i', 8, DType::i64},
                                            {'i', 4, DType::i32},
                                            {'i', 2, DType::i16},
                                            {'i', 1, DType::i8},
                                            {'u', 8, DType::u64},
                                            {'u', 4, DType::u32},
                                            {'u', 2, DType::u16},
                                            {'u', 1, DType::u8},
                                            {'b', 1, DType::boolean}}};

struct Header {
  DType dtype = DType::f32;
  bool swapped = false, fortran = false;
  ir::Dims dims;
};

[[noreturn]] void malformed(const std::string& name, const std::string& what, const std::string& hint = {}) {
  throw Error(ErrorCode::bad_input, concat("array '", name, "': ", what), name, hint);
}

// Reads the header, which is the text of a Python dict of three keys: {'descr': '<f4', 'fortran_order':
// False, 'shape': (2, 3), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Header parse() {
    Header header;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      std::string key = string();
      expect(':');
      if (key == "descr") {
        parse_descr(header);
        descr = true;
      } else if (key == "fortran_order") {
        header.fortran = boolean();
        order = true;
      } else if (key == "shape") {
        header.dims = tuple();
        shape = true;
      } else {
        malformed(name_, concat("the .npy header has the unknown key '", key, "'"));
      }
      if (!accept(',') && peek() != '}') fail();
    }
    if (!descr || !order || !shape) malformed(name_, "the .npy header lacks descr, fortran_order or shape");
    return header;
  }

 private:
  [[noreturn]] void fail() { malformed(name_, "the .npy header is malformed"); }

  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) at_++;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c || c == '\0') return false;
    at_++;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail();
  }

  std::string string() {
    char quote = peek();
    if (quote != '\'' && quote != '"') fail();
    size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) fail();
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }

  bool boolean() {
    peek();
    for (bool value : {true, false}) {
      std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return value;
    }
    fail();
  }

  ir::Dims tuple() {
    ir::Dims dims;
    expect('(');
    while (!accept(')')) {
      int64_t value = 0;
      if (peek() < '0' || peek() > '9') fail();
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; at_++) {
        if (value > kMaxNpzBytes) malformed(name_, "its shape is too large");
        value = value * 10 + (text_[at_] - '0');
      }
      accept('L');  // a long of Python 2
      dims.push_back(value);
      if (static_cast<int64_t>(dims.size()) > kMaxNpyRank)
        malformed(name_, "its shape has more than 32 axes");
      if (!accept(',') && peek() != ')') fail();
    }
    return dims;
  }

  void parse_descr(Header& header) {
    const char* hint = "store numbers: convert with array.astype(numpy.float32) or an integer type";
    if (peek() == '[') malformed(name_, "structured arrays are not supported", hint);
    std::string descr = string();
    size_t start = descr.find_first_not_of("<>|=");
    char order = start == 1 ? descr[0] : '=';
    for (const DTypeRow& row : kDTypes) {
      if (start == std::string::npos || descr.substr(start) != concat(row.kind, row.size)) continue;
      header.dtype = row.dtype;
      header.swapped = order == '>' && row.size > 1;
      return;
    }
    malformed(name_, concat("element type '", descr, "' is not supported"), hint);
  }

  std::string_view text_;
  size_t at_ = 0;
  const std::string& name_;
};

void swap_bytes(ir::Tensor& t) {
  auto size = static_cast<size_t>(ir::byte_size(t.dtype()));
  for (int64_t i = 0; i < t.count(); i++) std::reverse(t.data() + i * size, t.data() + (i + 1) * size);
}

// Column-major storage of `dims` -> row-major.
ir::Tensor from_fortran(const ir::Tensor& stored, const ir::Dims& dims) {
  ir::Tensor out({stored.dtype(), dims});
  auto size = static_cast<size_t>(ir::byte_size(stored.dtype()));
  ir::Dims at(dims.size(), 0), step(dims.size(), 1);
  for (size_t k = 1; k < dims.size(); k++) step[k] = step[k - 1] * dims[k - 1];
  int64_t source = 0;
  for (int64_t i = 0; i < out.count(); i++) {
    std::memcpy(out.data() + i * size, stored.data() + source * size, size);
    for (size_t k = dims.size(); k-- > 0;) {
      source += step[k];
      if (++at[k] < dims[k]) break;
      source -= step[k] * at[k];
      at[k] = 0;
    }
  }
  return out;
}

}  // namespace

ir::Tensor parse_npy(std::string_view bytes, const std::string& name) {
  if (bytes.size() < 10 || bytes.substr(0, 6) != "\x93NUMPY") malformed(name, "not in .npy format");
  auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(bytes[i])); };
  size_t version = byte(6), start = version == 1 ? 10 : 12;
  if (version < 1 || version > 3)
    malformed(name, concat("version ", version, " of the .npy format is not supported"));
  if (bytes.size() < start) malformed(name, "its .npy header is truncated");
  size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > static_cast<size_t>(kMaxNpyHeader)) malformed(name, "its .npy header is longer than 64 KiB");
  if (bytes.size() - start < length) malformed(name, "its .npy header is truncated");
  Header header = HeaderParser(bytes.substr(start, length), name).parse();

  // element_count bounds the product, so that the size below cannot overflow.
  int64_t size = ir::element_count(header.dims) * ir::byte_size(header.dtype);
  std::string_view payload = bytes.substr(start + length);
  if (static_cast<int64_t>(payload.size()) < size)
    malformed(name, concat("truncated: shape ", ir::to_string(header.dims), " needs ", size,
                           " bytes, the file has ", payload.size()));
  if (static_cast<int64_t>(payload.size()) > size)
    malformed(name, concat(static_cast<int64_t>(payload.size()) - size, " bytes follow its last element"));
  ir::Tensor out({header.dtype, header.dims});
  if (size > 0) std::memcpy(out.data(), payload.data(), payload.size());
  if (header.swapped) swap_bytes(out);
  if (header.dtype == DType::boolean)  // other parts of Mezzo rely on 0 and 1
    for (uint8_t& b : out.as<uint8_t>()) b = b != 0;
  return header.fortran && header.dims.size() > 1 ? from_fortran(out, header.dims) : out;
}

std::string format_npy(const ir::Tensor& tensor) {
  if (tensor.dtype() == DType::bf16) return format_npy(tensor.cast(DType::f32));
  auto row = std::find_if(kDTypes.begin(), kDTypes.end(),
                          [&](const DTypeRow& r) { return r.dtype == tensor.dtype(); });
  check(row != kDTypes.end(), "no numpy type for ", ir::name(tensor.dtype()));
  std::string shape;
  for (int64_t d : tensor.dims()) shape += concat(d, ", ");
  if (tensor.dims().size() > 1) shape.resize(shape.size() - 2);
  if (tensor.dims().size() == 1) shape.pop_back();
  std::string header = concat("{'descr': '", row->size > 1 ? '<' : '|', row->kind, row->size,
                              "', 'fortran_order': False, 'shape': (", shape, "), }");
  size_t start = 10, total = (start + header.size() + 1 + 63) / 64 * 64;  // data starts at a multiple of 64
  header.resize(total - start - 1, ' ');
  header += '\n';
  check(header.size() < 65536, "a .npy header of more than 64 KiB");
  std::string out = "\x93NUMPY";
  out += {'\x01', '\x00', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  out += header;
  out.append(reinterpret_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes()));
  return out;
}

}  // namespace mezzo::runtime
