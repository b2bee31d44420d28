#include "frontend/export.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include "frontend/copies.h"
#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/onnx_fields.h"
#include "frontend/pieces.h"
#include "frontend/tensor_reader.h"
#include "frontend/wire.h"
#include "ir/atomic_file.h"

namespace mezzo::frontend {
namespace {

using Values = std::map<std::string, ir::TensorPtr>;

bool is_payload(uint32_t field) {
  return (field >= 4 && field <= 7) || (field >= 9 && field <= 11) || field == kTensorExternal ||
         field == kTensorLocation;
}

// A TensorProto with everything but its payload kept. Raw data takes the place of the old payload; with
// `location` set, an external reference does.
struct Range {
  std::string location;
  uint64_t offset = 0, length = 0;
};
Pieces patch_tensor(std::string_view message, ir::StartValue value, const Range* external) {
  Pieces out;
  WireReader reader(message, "the model");
  for (WireField field; reader.next(field);)
    if (!is_payload(field.number)) out.add(field.whole);
  if (!external) {
    Pieces elements;
    elements.add(std::move(value));
    out.add_field(kTensorRaw, std::move(elements));
    return out;
  }
  std::string reference;
  auto entry = [&](std::string_view key, std::string_view text) {
    std::string pair;
    append_bytes(pair, 1, key);
    append_bytes(pair, 2, text);
    append_bytes(reference, kTensorExternal, pair);
  };
  entry("location", external->location);
  entry("offset", std::to_string(external->offset));
  entry("length", std::to_string(external->length));
  append_varint(reference, kTensorLocation << 3);
  append_varint(reference, 1);
  out.add(reference);
  return out;
}

// A tensor as it was, with the payload back in its place.
Pieces restore_tensor(std::string_view message, const CutPayload& payload) {
  Pieces out, elements;
  elements.add(payload);
  out.add(message.substr(0, payload.at));
  out.add_field(kTensorRaw, std::move(elements));
  out.add(message.substr(payload.at));
  return out;
}

std::string name_of_tensor(std::string_view message) {
  std::string name;
  WireReader reader(message, "the model");
  for (WireField field; reader.next(field);)
    if (field.number == kTensorName && field.type == WireType::bytes) name = field.payload;
  return name;
}

class Patch {
 public:
  Patch(const ModelFile& model, const Values& values, bool tie_aliases) : model_(model) {
    for (const auto& tensor : model.proto().graph().initializer()) stored_[tensor.name()] = &tensor;
    for (const auto& node : model.proto().graph().node())
      if (node.op_type() == "Identity" && node.input_size() == 1 && node.output_size() == 1 &&
          stored_.count(node.input(0)) && values.count(node.output(0)))
        aliases_[node.output(0)] = stored_.at(node.input(0));
    for (auto& [name, value] : values) {
      const onnx::TensorProto* tensor = find(name);
      if (!tensor)
        throw Error(ErrorCode::usage, concat("the model has no initializer '", printable(name), "'"),
                    printable(name));
      ir::Type type = tensor_type(*tensor, name);
      if (!value || value->dims() != type.dims)
        throw Error(ErrorCode::usage,
                    concat("initializer '", printable(name), "' is ", ir::to_string(type),
                           ", its new value is ", value ? ir::to_string(value->type()) : "missing"),
                    printable(name));
      values_.emplace(name, value);
    }
    if (!tie_aliases) return;
    for (auto& [name, copy] : find_copies(model))
      if (auto weight = values.find(copy.of); weight != values.end())
        values_.emplace(name,
                        ir::StartValue({weight->second->dtype(), copy.dims},
                                       [from = weight->second, how = copy] { return copied(*from, how); }));
  }

  bool is_replaced(const std::string& name) const { return values_.count(name) > 0; }

  bool is_external(const std::string& name) const {
    auto it = stored_.find(name);
    return it != stored_.end() && it->second->data_location() == 1;
  }

  // The value of an initializer as it is to be stored: new, or as read.
  ir::StartValue value(const std::string& name) const {
    const onnx::TensorProto& tensor = *find(name);
    auto it = values_.find(name);
    if (it == values_.end()) return start_value(tensor, model_.payloads(), name);
    ir::Type stored = tensor_type(tensor, name);
    if (it->second.type().dtype == stored.dtype) return it->second;
    return {stored, [value = it->second, to = stored.dtype] { return value.share()->cast(to); }};
  }

  // `externals`: where external tensors now stand; the others are written inline.
  Pieces model(const std::map<std::string, Range>& externals) const {
    Pieces out;
    WireReader reader(model_.outline(), "the model");
    for (WireField field; reader.next(field);) {
      if (field.number == kModelGraph && field.type == WireType::bytes)
        out.add_field(kModelGraph, graph(field.payload, externals));
      else
        out.add(field.whole);
    }
    return out;
  }

 private:
  const onnx::TensorProto* find(const std::string& name) const {
    if (auto it = stored_.find(name); it != stored_.end()) return it->second;
    auto it = aliases_.find(name);
    return it == aliases_.end() ? nullptr : it->second;
  }

  Pieces graph(std::string_view message, const std::map<std::string, Range>& externals) const {
    Pieces out;
    WireReader reader(message, "the model");
    int initializer = 0;
    for (WireField field; reader.next(field);) {
      if (field.type == WireType::bytes && field.number == kGraphInitializer)
        add_initializer(out, field, initializer++, externals);
      else if (field.type != WireType::bytes || field.number != kGraphNode ||
               !is_replaced_alias(field.payload))
        out.add(field.whole);
    }
    for (auto& [name, tensor] : aliases_) append_alias(out, name, *tensor);
    return out;
  }

  void add_initializer(Pieces& out, const WireField& field, int number,
                       const std::map<std::string, Range>& externals) const {
    std::string name = name_of_tensor(field.payload);
    auto moved = externals.find(name);
    const auto& all = model_.proto().graph().initializer();
    const auto& payloads = model_.payloads()->cut;
    auto cut = number < all.size() ? payloads.find(&all[number]) : payloads.end();
    if (moved != externals.end())
      out.add_field(kGraphInitializer, patch_tensor(field.payload, {}, &moved->second));
    else if (is_replaced(name))
      out.add_field(kGraphInitializer, patch_tensor(field.payload, value(name), nullptr));
    else if (cut != payloads.end())
      out.add_field(kGraphInitializer, restore_tensor(field.payload, cut->second));
    else
      out.add(field.whole);
  }

  bool is_replaced_alias(std::string_view message) const {
    onnx::NodeProto node;
    return node.ParseFromArray(message.data(), static_cast<int>(message.size())) &&
           node.op_type() == "Identity" && node.output_size() == 1 && aliases_.count(node.output(0));
  }

  void append_alias(Pieces& out, const std::string& name, const onnx::TensorProto& tensor) const {
    onnx::TensorProto own;
    *own.mutable_dims() = tensor.dims();
    own.set_data_type(tensor.data_type());
    own.set_name(name);
    out.add_field(kGraphInitializer, patch_tensor(own.SerializeAsString(), value(name), nullptr));
    if (model_.proto().ir_version() >= 4) return;
    onnx::ValueInfoProto input;  // before IR version 4 every initializer is a graph input too
    input.set_name(name);
    auto* type = input.mutable_type()->mutable_tensor_type();
    type->set_elem_type(tensor.data_type());
    for (int64_t d : tensor.dims()) type->mutable_shape()->add_dim()->set_dim_value(d);
    Pieces declared;
    declared.add(input.SerializeAsString());
    out.add_field(kGraphInput, std::move(declared));
  }

  const ModelFile& model_;
  std::map<std::string, ir::StartValue> values_;  // those given, and the copies of them
  std::map<std::string, const onnx::TensorProto*> stored_;
  std::map<std::string, const onnx::TensorProto*> aliases_;  // by the alias's name: the tensor it copies
};

bool same_directory(const std::string& a, const std::string& b) {
  std::error_code problem;
  auto directory = [&](const std::string& path) {
    auto parent = std::filesystem::path(path).parent_path();
    return std::filesystem::weakly_canonical(parent.empty() ? "." : parent, problem);
  };
  return !a.empty() && directory(a) == directory(b) && !problem;
}

}  // namespace

std::string patch_model(const ModelFile& model, const Values& values, bool tie_aliases) {
  std::string out;
  Patch(model, values, tie_aliases).model({}).write(model.payloads()->own, [&](std::string_view bytes) {
    out += bytes;
  });
  return out;
}

void export_model(const ModelFile& model, const Values& values, const std::string& path, bool tie_aliases) {
  Patch patch(model, values, tie_aliases);
  std::vector<std::string> external;
  bool move = !same_directory(model.path(), path);
  for (const auto& tensor : model.proto().graph().initializer()) {
    if (tensor.data_location() != 1) continue;
    external.push_back(tensor.name());
    move |= patch.is_replaced(tensor.name());
  }
  std::map<std::string, Range> ranges;
  if (!external.empty() && move) {
    // A data file of the same name may be the one being read: the new one only replaces it at the end.
    std::string data_path = path + ".data";
    ir::AtomicFile data(data_path);
    uint64_t offset = 0;
    for (const std::string& name : external) {
      ir::TensorPtr value = patch.value(name).share();
      constexpr uint64_t kPage = 4096;  // so that readers can map each tensor by itself
      std::string gap((kPage - offset % kPage) % kPage, '\0');
      data.write(gap);
      data.write(bytes_of(*value));
      offset += gap.size();
      ranges[name] = {std::filesystem::path(data_path).filename().string(), offset,
                      static_cast<uint64_t>(value->bytes())};
      offset += static_cast<uint64_t>(value->bytes());
    }
    ir::AtomicFile file(path);
    patch.model(ranges).write(model.payloads()->own, [&](std::string_view bytes) { file.write(bytes); });
    data.commit();
    file.commit();
    return;
  }
  const Pieces pieces = patch.model({});
  if (pieces.size() > static_cast<uint64_t>(kMaxFileBytes))
    throw Error(ErrorCode::unsupported,
                concat("'", path, "' would have ", pieces.size(), " bytes, more than a model file can"),
                path);
  ir::AtomicFile file(path);
  pieces.write(model.payloads()->own, [&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}

}  // namespace mezzo::frontend
