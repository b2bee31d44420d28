#include "ir/module_file.h"

#include <array>
#include <filesystem>
#include <fstream>

#include "ir/spelling.h"

namespace mezzo::ir {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, kDTypeCount> kDescriptions{
    "<f8", "<f4", "<u2", "<f2", "<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "|b1"};
constexpr std::string_view kMagic{"\x93NUMPY\x01\x00", 8};

[[noreturn]] void fail(const std::string& path, std::string_view what) {
  throw Error(ErrorCode::bad_input, concat(path, ": ", what), path);
}

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.is_open() || in.bad()) fail(path, "cannot be read");
  return text;
}

// Never leaves half a file under `path`.
void write_all(const std::string& path, std::string_view head, std::string_view rest) {
  std::string temporary = path + ".part";
  {
    std::ofstream out(temporary, std::ios::binary);
    out << head << rest;
    out.flush();
    if (!out) fail(path, "cannot be written");
  }
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) fail(path, "cannot be written");
}

std::string tensor_path(const std::string& module_path, std::string_view name) {
  return (fs::path(module_path).parent_path() / (std::string(name) + ".npy")).string();
}

// The value of `key` in the header's dictionary, up to its end.
std::string_view after(std::string_view header, std::string_view key) {
  size_t at = header.find(key);
  return at == header.npos ? "" : header.substr(at + key.size());
}

// The tensor `name` names: as it was read, or as the bf16 it may stand for.
TensorPtr matching(Tensor tensor, const std::string& name) {
  std::vector<DType> readings{tensor.dtype()};
  if (tensor.dtype() == DType::u16) readings.push_back(DType::bf16);
  for (DType dtype : readings) {
    Tensor reading({dtype, tensor.dims()});
    std::copy(tensor.data(), tensor.data() + tensor.bytes(), reading.data());
    if (elided_name(reading) == name) return std::make_shared<const Tensor>(std::move(reading));
  }
  return nullptr;
}

}  // namespace

void write_npy(const std::string& path, const Tensor& tensor) {
  std::string shape;
  for (int64_t d : tensor.dims()) shape += std::to_string(d) + ",";
  std::string header = concat("{'descr': '", kDescriptions[static_cast<size_t>(tensor.dtype())],
                              "', 'fortran_order': False, 'shape': (", shape, "), }");
  header.append(63 - (kMagic.size() + 2 + header.size()) % 64, ' ');
  header += '\n';
  std::string head(kMagic);
  head += {static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  write_all(path, head + header,
            {reinterpret_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes())});
}

Tensor read_npy(const std::string& path) {
  std::string text = read_all(path);
  if (!text.starts_with(kMagic) || text.size() < 10) fail(path, "is no .npy file of version 1.0");
  size_t length = static_cast<unsigned char>(text[8]) + 256u * static_cast<unsigned char>(text[9]);
  if (text.size() < 10 + length) fail(path, "is cut short");
  std::string_view header = std::string_view(text).substr(10, length);
  std::string_view description = after(header, "'descr': '");
  size_t dtype = 0;
  while (dtype < kDescriptions.size() && !description.starts_with(kDescriptions[dtype])) dtype++;
  if (description.starts_with("<u2")) dtype = static_cast<size_t>(DType::u16);
  if (dtype == kDescriptions.size() || header.find("'fortran_order': False") == header.npos)
    fail(path, "holds an array of a kind that is not supported");
  Type type{static_cast<DType>(dtype), {}};
  std::string_view shape = after(header, "'shape': (");
  shape = shape.substr(0, std::min(shape.find(')'), shape.size()));
  while (!shape.empty()) {
    size_t comma = std::min(shape.find(','), shape.size());
    std::string_view word = shape.substr(0, comma);
    shape.remove_prefix(std::min(comma + 1, shape.size()));
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    if (word.empty()) continue;
    std::optional<int64_t> extent = read_int(word);
    if (!extent) fail(path, "has a damaged header");
    type.dims.push_back(*extent);
  }
  if (type.bytes() != static_cast<int64_t>(text.size() - 10 - length)) fail(path, "is cut short");
  Tensor tensor(type);
  text.copy(reinterpret_cast<char*>(tensor.data()), static_cast<size_t>(tensor.bytes()), 10 + length);
  return tensor;
}

void write_module(const std::string& path, std::string_view text, const TensorMap& tensors) {
  std::error_code error;
  if (fs::path(path).has_parent_path()) fs::create_directories(fs::path(path).parent_path(), error);
  for (auto& [name, tensor] : tensors)
    if (!fs::exists(tensor_path(path, name))) write_npy(tensor_path(path, name), *tensor);
  write_all(path, text, "");
}

ModuleFile read_module(const std::string& path) {
  std::string text = read_all(path);
  TensorMap tensors;
  for (size_t at = text.find("@c_"); at != text.npos; at = text.find("@c_", at + 1)) {
    std::string name = text.substr(at + 1, text.find_first_not_of("c_0123456789abcdef", at + 1) - at - 1);
    std::string file = tensor_path(path, name);
    if (tensors.count(name) || !fs::exists(file)) continue;
    TensorPtr tensor = matching(read_npy(file), name);
    if (!tensor) fail(file, "does not hold the constant it is named after");
    tensors[name] = std::move(tensor);
  }
  ModuleFile out;
  for (size_t at = 0; at < text.size() && text[at] == '#';) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at + 1, end - at - 1);
    out.comments += (line.starts_with(" ") ? line.substr(1) : line) + "\n";
    at = end + 1;
  }
  try {
    out.graph = parse(text, tensors);
  } catch (const Error& e) {
    throw Error(e.code(), concat(path, ":", e.what()), path, e.hint());
  }
  return out;
}

}  // namespace mezzo::ir
