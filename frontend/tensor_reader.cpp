#include "frontend/tensor_reader.h"

#include <array>
#include <charconv>
#include <cstring>
#include <limits>

#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"

namespace mezzo::frontend {
namespace {

using ir::DType;

struct Row {
  const char* name;
  std::optional<DType> dtype;
};
constexpr std::array<Row, 27> kTypes{{
    {"undefined", {}},
    {"float", DType::f32},
    {"uint8", DType::u8},
    {"int8", DType::i8},
    {"uint16", DType::u16},
    {"int16", DType::i16},
    {"int32", DType::i32},
    {"int64", DType::i64},
    {"string", {}},
    {"bool", DType::boolean},
    {"float16", DType::f16},
    {"double", DType::f64},
    {"uint32", DType::u32},
    {"uint64", DType::u64},
    {"complex64", {}},
    {"complex128", {}},
    {"bfloat16", DType::bf16},
    {"float8e4m3fn", {}},
    {"float8e4m3fnuz", {}},
    {"float8e5m2", {}},
    {"float8e5m2fnuz", {}},
    {"uint4", {}},
    {"int4", {}},
    {"float4e2m1", {}},
    {"float8e8m0", {}},
    {"uint2", {}},
    {"int2", {}},
}};

[[noreturn]] void fail(std::string_view what, const std::string& why, std::string hint = {}) {
  throw Error(ErrorCode::bad_input, concat("tensor '", printable(what), "' ", why), printable(what),
              std::move(hint));
}

uint64_t parse_unsigned(std::string_view text, std::string_view key, std::string_view what) {
  uint64_t value = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty() ||
      value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    fail(what, concat("has external data whose ", key, " '", printable(text), "' is not a byte count"));
  return value;
}

// Copies typed payload elements, each of which must be exactly representable in the tensor's type.
template <class Field>
void copy_integers(const Field& field, ir::Tensor& out, std::string_view what) {
  int64_t i = 0;
  for (auto v : field) {
    if (ir::is_low(out.dtype())) {
      if (v < 0 || v > 0xffff) fail(what, "holds a 16-bit float pattern beyond 16 bits");
      out.as<uint16_t>()[static_cast<size_t>(i++)] = static_cast<uint16_t>(v);
      continue;
    }
    out.set_int(i, static_cast<int64_t>(v));
    bool same = out.dtype() == DType::boolean || out.get_int(i) == static_cast<int64_t>(v);
    if (!same) fail(what, concat("holds ", v, ", out of range of ", name(out.dtype())));
    i++;
  }
}

}  // namespace

std::optional<DType> dtype_of(int onnx_type) {
  if (onnx_type < 0 || static_cast<size_t>(onnx_type) >= kTypes.size()) return std::nullopt;
  return kTypes[static_cast<size_t>(onnx_type)].dtype;
}

int onnx_type_of(DType t) {
  for (size_t i = 0; i < kTypes.size(); i++)
    if (kTypes[i].dtype == t) return static_cast<int>(i);
  throw InternalError("an element type without an ONNX number");
}

std::string onnx_type_name(int onnx_type) {
  if (onnx_type < 0 || static_cast<size_t>(onnx_type) >= kTypes.size()) return concat("type ", onnx_type);
  return kTypes[static_cast<size_t>(onnx_type)].name;
}

ir::Type tensor_type(const onnx::TensorProto& tensor, std::string_view what) {
  std::optional<DType> dtype = dtype_of(tensor.data_type());
  if (!dtype)
    throw Error(
        ErrorCode::unsupported,
        concat("tensor '", printable(what), "' has element type ", onnx_type_name(tensor.data_type())),
        printable(what), "Mezzo holds floats of 16, 32 and 64 bits, integers of 8 to 64 bits and bool");
  if (tensor.dims_size() > kMaxRank)
    fail(what, concat("has ", tensor.dims_size(), " dimensions, at most ", kMaxRank));
  ir::Type type{*dtype, {tensor.dims().begin(), tensor.dims().end()}};
  for (int64_t d : type.dims)
    if (d < 0) fail(what, concat("has a negative dimension ", d));
  try {
    type.dims.empty() ? 1 : ir::element_count(type.dims);
  } catch (const Error& e) {
    fail(what, e.what());
  }
  if (tensor.has_segment()) fail(what, "is stored in segments, which no exporter writes");
  return type;
}

std::optional<ExternalRange> external_range(const onnx::TensorProto& tensor, std::string_view what) {
  if (tensor.data_location() == 0) {
    if (tensor.external_data_size() > 0) fail(what, "names external data but is stored in the file");
    return std::nullopt;
  }
  if (tensor.data_location() != 1) fail(what, concat("has unknown data location ", tensor.data_location()));
  ExternalRange range;
  bool seen_location = false;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") {
      range.location = entry.value();
      seen_location = true;
    } else if (entry.key() == "offset") {
      range.offset = parse_unsigned(entry.value(), "offset", what);
    } else if (entry.key() == "length") {
      range.length = parse_unsigned(entry.value(), "length", what);
    } else if (entry.key() != "checksum") {
      fail(what, concat("has unknown external data key '", printable(entry.key()), "'"));
    }
  }
  if (!seen_location) fail(what, "has external data without a location");
  check_location(what, range.location);
  return range;
}

namespace {

// Where the elements of a tensor stand; in the message when both are absent.
struct Stand {
  ir::Type type;
  std::optional<ExternalRange> external;
  std::optional<CutPayload> cut;
};

Stand locate(const onnx::TensorProto& tensor, const Payloads& payloads, std::string_view what) {
  Stand at{tensor_type(tensor, what), {}, {}};
  auto count = at.type.count();
  auto bytes = static_cast<uint64_t>(at.type.bytes());
  struct Storage {
    const char* field;
    int64_t size;
    bool fits;
  };
  DType t = at.type.dtype;
  bool small = t == DType::i32 || t == DType::i16 || t == DType::i8 || t == DType::u16 || t == DType::u8 ||
               t == DType::boolean || ir::is_low(t);
  const std::array<Storage, 6> typed{
      {{"float_data", tensor.float_data_size(), t == DType::f32},
       {"int32_data", tensor.int32_data_size(), small},
       {"int64_data", tensor.int64_data_size(), t == DType::i64},
       {"double_data", tensor.double_data_size(), t == DType::f64},
       {"uint64_data", tensor.uint64_data_size(), t == DType::u64 || t == DType::u32},
       {"string_data", tensor.string_data_size(), false}}};
  if (auto cut = payloads.cut.find(&tensor); cut != payloads.cut.end()) at.cut = cut->second;
  const uint64_t raw = at.cut ? at.cut->size : tensor.raw_data().size();
  int kinds = raw == 0 ? 0 : 1;
  for (const Storage& s : typed) {
    if (s.size == 0) continue;
    kinds++;
    if (!s.fits) fail(what, concat("of type ", name(t), " has its values in ", s.field));
    if (s.size != count)
      fail(what, concat("has ", s.size, " values for shape ", ir::to_string(at.type.dims)));
  }
  at.external = external_range(tensor, what);
  if (const auto& range = at.external) {
    if (kinds != 0) fail(what, "is stored both in the file and outside");
    if (range->length && *range->length != bytes)
      fail(what, concat("has ", *range->length, " bytes of external data for ", bytes, " bytes of ",
                        ir::to_string(at.type)));
    uint64_t size = payloads.external.size(what, range->location);
    if (range->offset > size || bytes > size - range->offset)
      fail(what,
           concat("wants ", bytes, " bytes at offset ", range->offset, " of '", printable(range->location),
                  "', which has ", size),
           "the data file may be truncated or belong to another model");
    return at;
  }
  if (kinds > 1) fail(what, "has its values stored twice");
  if (kinds == 0 && count != 0) fail(what, concat("has no values for shape ", ir::to_string(at.type.dims)));
  if (raw != 0 && raw != bytes)
    fail(what, concat("has ", raw, " bytes of raw data for ", bytes, " bytes of ", ir::to_string(at.type)));
  return at;
}

// The elements of bool are 0 or 1 here, and any byte in a file.
ir::Tensor normalized(ir::Tensor t) {
  if (t.dtype() == DType::boolean)
    for (uint8_t& b : t.as<uint8_t>()) b = b != 0;
  return t;
}

ir::Tensor read_outside(const Stand& at, const Payloads& payloads, std::string_view what) {
  ir::Tensor out(at.type);
  const std::span<std::byte> elements{out.data(), static_cast<size_t>(out.bytes())};
  if (at.external)
    payloads.external.read(what, at.external->location, at.external->offset, elements);
  else
    payloads.own.read(at.cut->offset, elements);
  return normalized(std::move(out));
}

ir::Tensor read_inside(const onnx::TensorProto& tensor, const ir::Type& type, std::string_view what) {
  ir::Tensor out(type);
  auto bytes = static_cast<size_t>(out.bytes());
  if (out.count() == 0) return out;
  if (!tensor.raw_data().empty()) {
    std::memcpy(out.data(), tensor.raw_data().data(), bytes);
    return normalized(std::move(out));
  }
  if (type.dtype == DType::f32) {
    std::memcpy(out.data(), tensor.float_data().data(), bytes);
  } else if (type.dtype == DType::f64) {
    std::memcpy(out.data(), tensor.double_data().data(), bytes);
  } else if (tensor.int64_data_size()) {
    std::memcpy(out.data(), tensor.int64_data().data(), bytes);
  } else if (tensor.uint64_data_size() && type.dtype == DType::u64) {
    std::memcpy(out.data(), tensor.uint64_data().data(), bytes);
  } else if (tensor.uint64_data_size()) {
    for (uint64_t v : tensor.uint64_data())
      if (v > std::numeric_limits<uint32_t>::max()) fail(what, concat("holds ", v, ", out of range of u32"));
    copy_integers(tensor.uint64_data(), out, what);
  } else {
    copy_integers(tensor.int32_data(), out, what);
  }
  return out;
}

}  // namespace

ir::Tensor read_tensor(const onnx::TensorProto& tensor, const Payloads& payloads, std::string_view what) {
  const Stand at = locate(tensor, payloads, what);
  return at.external || at.cut ? read_outside(at, payloads, what) : read_inside(tensor, at.type, what);
}

ir::StartValue start_value(const onnx::TensorProto& tensor, const std::shared_ptr<const Payloads>& payloads,
                           std::string_view what) {
  Stand at = locate(tensor, *payloads, what);
  if (!at.external && !at.cut)
    return ir::TensorPtr(std::make_shared<const ir::Tensor>(read_inside(tensor, at.type, what)));
  const ir::Type type = at.type;
  return {type, [at = std::move(at), payloads, what = std::string(what)] {
            return read_outside(at, *payloads, what);
          }};
}

}  // namespace mezzo::frontend
