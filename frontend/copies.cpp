#include "frontend/copies.h"

#include <cstring>
#include <vector>

#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/tensor_reader.h"

namespace mezzo::frontend {
namespace {

struct Weight {
  const onnx::TensorProto* tensor;
  ir::Type type;
};

// Transposing and repeating keep the first and the last element, so these find the few tensors worth
// comparing. Empty: less than two elements, or another type than a float.
std::string ends_of(const Weight& weight, const ModelFile& model) {
  const auto size = static_cast<size_t>(ir::byte_size(weight.type.dtype));
  const auto bytes = static_cast<size_t>(weight.type.bytes());
  if (bytes < 2 * size) return {};
  std::string ends(ir::name(weight.type.dtype));
  auto append = [&](const char* first, const char* last) { ends.append(first, size).append(last, size); };
  const onnx::TensorProto& tensor = *weight.tensor;
  if (const std::string& raw = tensor.raw_data(); raw.size() == bytes) {
    append(raw.data(), raw.data() + bytes - size);
  } else if (auto cut = model.payloads()->cut.find(&tensor);
             cut != model.payloads()->cut.end() && cut->second.size == bytes) {
    std::byte first[8], last[8];
    model.payloads()->own.read(cut->second.offset, {first, size});
    model.payloads()->own.read(cut->second.offset + bytes - size, {last, size});
    append(reinterpret_cast<const char*>(first), reinterpret_cast<const char*>(last));
  } else if (auto external = external_range(tensor, tensor.name())) {
    std::byte first[8], last[8];
    const ExternalData& files = model.payloads()->external;
    files.read(tensor.name(), external->location, external->offset, {first, size});
    files.read(tensor.name(), external->location, external->offset + bytes - size, {last, size});
    append(reinterpret_cast<const char*>(first), reinterpret_cast<const char*>(last));
  } else {
    ir::Tensor t = read_tensor(tensor, *model.payloads(), tensor.name());
    const auto* data = reinterpret_cast<const char*>(t.data());
    append(data, data + bytes - size);
  }
  return ends;
}

bool all_equal(const ir::Tensor& t) {
  const auto size = static_cast<size_t>(ir::byte_size(t.dtype()));
  return std::memcmp(t.data(), t.data() + size, static_cast<size_t>(t.bytes()) - size) == 0;
}

bool same_bytes(const ir::Tensor& a, const ir::Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

}  // namespace

ir::Tensor copied(const ir::Tensor& weight, const Copy& copy) {
  ir::Tensor out({weight.dtype(), copy.dims});
  const auto size = static_cast<size_t>(ir::byte_size(weight.dtype()));
  if (!copy.transposed) {
    const auto bytes = static_cast<size_t>(weight.bytes()), all = static_cast<size_t>(out.bytes());
    for (size_t at = 0; at < all; at += bytes) std::memcpy(out.data() + at, weight.data(), bytes);
    return out;
  }
  const auto rows = static_cast<size_t>(copy.dims[0]), columns = static_cast<size_t>(copy.dims[1]);
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++)
      std::memcpy(out.data() + (r * columns + c) * size, weight.data() + (c * rows + r) * size, size);
  return out;
}

std::map<std::string, Copy> find_copies(const ModelFile& model) {
  std::vector<Weight> made_up, others;
  for (const auto& tensor : model.proto().graph().initializer()) {
    std::optional<ir::DType> dtype = dtype_of(tensor.data_type());
    if (!dtype || !ir::is_float(*dtype)) continue;
    (is_made_up(tensor.name()) ? made_up : others).push_back({&tensor, tensor_type(tensor, tensor.name())});
  }
  std::map<std::string, Copy> copies;
  if (made_up.empty()) return copies;
  std::map<std::string, std::vector<Weight>> named;  // by their ends
  for (const Weight& weight : others)
    if (std::string ends = ends_of(weight, model); !ends.empty()) named[ends].push_back(weight);
  for (const Weight& weight : made_up) {
    auto alike = named.find(ends_of(weight, model));
    if (alike == named.end()) continue;
    const ir::Dims& dims = weight.type.dims;
    for (const Weight& of : alike->second) {
      const int64_t count = of.type.count();
      const bool repeats = weight.type.count() % count == 0;
      const bool turns = dims.size() == 2 && of.type.dims == ir::Dims{dims[1], dims[0]};
      if (!repeats && !turns) continue;
      const ir::Tensor copy = read_tensor(*weight.tensor, *model.payloads(), weight.tensor->name());
      const ir::Tensor original = read_tensor(*of.tensor, *model.payloads(), of.tensor->name());
      if (all_equal(original)) continue;
      Copy how{of.tensor->name(), turns, dims};
      bool same = turns && same_bytes(copy, copied(original, how));
      if (!same && repeats) {
        how.transposed = false;
        same = same_bytes(copy, copied(original, how));
      }
      if (!same) continue;
      copies.emplace(weight.tensor->name(), std::move(how));
      break;
    }
  }
  return copies;
}

}  // namespace mezzo::frontend
