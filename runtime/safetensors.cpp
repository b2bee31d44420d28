#include "runtime/safetensors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

using Json = nlohmann::json;  // sorts its keys, so that equal content gives equal bytes

constexpr std::array<std::string_view, ir::kDTypeCount> kNames = {
    "F64", "F32", "BF16", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"};
constexpr size_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

std::optional<ir::DType> dtype_of(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); i++)
    if (kNames[i] == name) return static_cast<ir::DType>(i);
  return std::nullopt;
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), in_(path, std::ios::binary) {
    std::error_code error;
    size_ = static_cast<int64_t>(std::filesystem::file_size(path, error));
    if (error || !in_) throw_file_error("read", path, error ? error.value() : EIO);
  }

  Safetensors read() {
    const Json header = read_header();
    Safetensors out;
    std::vector<Entry> entries;
    for (auto& [name, value] : header.items())
      if (name == kMetadata)
        read_metadata(value, out.metadata);
      else
        entries.push_back(entry(name, value));
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
    int64_t at = 0;
    for (const Entry& e : entries) {
      if (e.begin != at) bad(concat("tensor '", e.name, "' does not begin where the one before ends"));
      at = e.end;
    }
    if (at != size_ - start_) bad(concat("its tensors take ", at, " bytes of ", size_ - start_));
    for (const Entry& e : entries) {
      ir::Tensor tensor(e.type);
      in_.read(reinterpret_cast<char*>(tensor.data()), tensor.bytes());
      if (in_.gcount() != tensor.bytes()) bad("the file has become shorter");
      out.tensors.emplace(e.name, std::move(tensor));
    }
    return out;
  }

 private:
  struct Entry {
    std::string name;
    ir::Type type;
    int64_t begin, end;
  };

  [[noreturn]] void bad(const std::string& why) const {
    throw Error(ErrorCode::bad_input, concat("'", path_, "' is no valid safetensors file: ", why), path_);
  }

  Json read_header() {
    std::array<unsigned char, kLengthBytes> raw{};
    in_.read(reinterpret_cast<char*>(raw.data()), kLengthBytes);
    if (in_.gcount() != static_cast<std::streamsize>(kLengthBytes)) bad("it has fewer than 8 bytes");
    uint64_t length = 0;
    for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | raw[i];
    if (length > static_cast<uint64_t>(kMaxSafetensorsHeader) || static_cast<int64_t>(length) > size_ - 8)
      bad(concat("its header claims ", length, " bytes"));
    std::string text(length, '\0');
    in_.read(text.data(), static_cast<std::streamsize>(length));
    start_ = static_cast<int64_t>(kLengthBytes + length);
    if (text.empty() || text[0] != '{') bad("its header is no JSON object");
    Json header = Json::parse(text, nullptr, false);
    if (!header.is_object()) bad("its header is no JSON object");
    return header;
  }

  void read_metadata(const Json& value, std::map<std::string, std::string>& out) const {
    if (!value.is_object()) bad("its metadata is no object");
    for (auto& [key, text] : value.items()) {
      if (!text.is_string()) bad("its metadata holds something else than strings");
      out[key] = text.get<std::string>();
    }
  }

  Entry entry(const std::string& name, const Json& value) const {
    auto field = [&](const char* key) -> const Json& {
      if (!value.is_object() || !value.contains(key)) bad(concat("tensor '", name, "' has no ", key));
      return value.at(key);
    };
    const Json &dtype = field("dtype"), &shape = field("shape"), &offsets = field("data_offsets");
    std::optional<ir::DType> type = dtype.is_string() ? dtype_of(dtype.get<std::string>()) : std::nullopt;
    if (!type) bad(concat("tensor '", name, "' has an unknown dtype"));
    if (!shape.is_array() || shape.size() > 16 || !offsets.is_array() || offsets.size() != 2)
      bad(concat("tensor '", name, "' has a bad shape or bad offsets"));
    int64_t count = 1;
    ir::Dims dims;
    auto whole = [&](const Json& v) {
      if (!v.is_number_integer() || v < 0 || v > size_)
        bad(concat("tensor '", name, "' claims more than the file has"));
      return v.get<int64_t>();
    };
    for (const Json& d : shape) {
      dims.push_back(whole(d));
      if (dims.back() > 0 && count > size_ / dims.back())
        bad(concat("tensor '", name, "' claims more than the file has"));
      count *= dims.back();
    }
    Entry out{name, {*type, dims}, whole(offsets[0]), whole(offsets[1])};
    if (out.end - out.begin != count * ir::byte_size(*type))
      bad(concat("tensor '", name, "' has offsets of another size"));
    return out;
  }

  std::string path_;
  std::ifstream in_;
  int64_t size_ = 0, start_ = 0;
};

}  // namespace

void write_safetensors(const std::string& path, const std::map<std::string, const ir::Tensor*>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  // Wide elements first, so that everything is aligned.
  std::vector<std::pair<std::string, const ir::Tensor*>> order(tensors.begin(), tensors.end());
  std::stable_sort(order.begin(), order.end(), [](auto& a, auto& b) {
    return ir::byte_size(a.second->dtype()) > ir::byte_size(b.second->dtype());
  });
  int64_t at = 0;
  for (auto& [name, tensor] : order) {
    check(name != kMetadata, "a tensor with the name of the metadata");
    header[name] = {{"dtype", kNames[static_cast<size_t>(tensor->dtype())]},
                    {"shape", tensor->dims()},
                    {"data_offsets", {at, at + tensor->bytes()}}};
    at += tensor->bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  write_atomically(path, [&](std::ostream& out) {
    for (size_t i = 0; i < kLengthBytes; i++) out.put(static_cast<char>(text.size() >> (8 * i) & 0xff));
    out << text;
    for (auto& [name, tensor] : order)
      out.write(reinterpret_cast<const char*>(tensor->data()), tensor->bytes());
  });
}

Safetensors read_safetensors(const std::string& path) { return Reader(path).read(); }

}  // namespace mezzo::runtime
