#include "frontend/input_shapes.h"

#include <set>

#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/tensor_reader.h"

namespace mezzo::frontend {
namespace {

constexpr std::string_view kHint = "say --batch N, or give the whole shape of the input";

InputInfo info_of(const onnx::ValueInfoProto& value) {
  InputInfo info{value.name(), 0, false, {}};
  if (!value.type().has_tensor_type()) return info;
  const auto& tensor = value.type().tensor_type();
  info.onnx_type = tensor.elem_type();
  info.ranked = tensor.has_shape();
  for (const auto& dim : tensor.shape().dim())
    info.dims.push_back({dim.has_dim_value() && dim.dim_value() >= 0 ? dim.dim_value() : -1,
                         is_clean_text(dim.dim_param()) ? dim.dim_param() : std::string()});
  return info;
}

[[noreturn]] void misuse(const std::string& why, const std::string& input) {
  throw Error(ErrorCode::usage, why, printable(input), std::string(kHint));
}

// Sizes of open dimensions by name, as they become known.
class Symbols {
 public:
  explicit Symbols(const ImportOptions& options) : sizes_(options.dims) {}
  void bind(const std::string& symbol, int64_t size, const std::string& input) {
    if (symbol.empty()) return;
    auto [it, fresh] = sizes_.emplace(symbol, size);
    if (!fresh && it->second != size)
      misuse(concat("input '", printable(input), "' makes dimension '", printable(symbol), "' ", size,
                    ", elsewhere it is ", it->second),
             input);
  }
  int64_t find(const std::string& symbol) const {
    auto it = symbol.empty() ? sizes_.end() : sizes_.find(symbol);
    return it == sizes_.end() ? -1 : it->second;
  }

 private:
  std::map<std::string, int64_t> sizes_;
};

void bind_shape(InputInfo& input, const ir::Dims& shape, Symbols& symbols) {
  if (!input.ranked) {
    input.ranked = true;
    input.dims.resize(shape.size());
  }
  if (shape.size() != input.dims.size())
    misuse(
        concat("input '", printable(input.name), "' is ", to_string(input), ", given ", ir::to_string(shape)),
        input.name);
  for (size_t i = 0; i < shape.size(); i++) {
    OpenDim& dim = input.dims[i];
    if (shape[i] < 0) continue;
    if (dim.size >= 0 && dim.size != shape[i])
      misuse(concat("input '", printable(input.name), "' is ", to_string(input), ", given ",
                    ir::to_string(shape)),
             input.name);
    symbols.bind(dim.symbol, shape[i], input.name);
    dim.size = shape[i];
  }
}

void bind_batch(std::vector<InputInfo>& inputs, int64_t batch, Symbols& symbols) {
  if (batch < 1) misuse(concat("a batch of ", batch), "");
  bool fits = inputs.empty();
  for (InputInfo& input : inputs) {
    if (input.dims.empty()) continue;
    OpenDim& first = input.dims.front();
    if (first.size < 0 && symbols.find(first.symbol) < 0) {
      symbols.bind(first.symbol, batch, input.name);
      first.size = batch;
    }
    fits |= first.size == batch || symbols.find(first.symbol) == batch;
  }
  if (!fits)
    throw Error(ErrorCode::usage,
                concat("the model is made for another batch than ", batch, ": its input is ",
                       to_string(inputs.front())),
                printable(inputs.front().name),
                "export it with a symbolic first dimension, or use its own batch");
}

}  // namespace

std::vector<InputInfo> model_inputs(const ModelFile& model) {
  const onnx::GraphProto& graph = model.proto().graph();
  std::set<std::string_view> initialized;
  for (const auto& tensor : graph.initializer()) initialized.insert(tensor.name());
  for (const auto& sparse : graph.sparse_initializer()) initialized.insert(sparse.values().name());
  std::vector<InputInfo> out;
  for (const auto& input : graph.input())
    if (!initialized.count(input.name())) out.push_back(info_of(input));
  return out;
}

std::vector<InputInfo> model_outputs(const ModelFile& model) {
  std::vector<InputInfo> out;
  for (const auto& output : model.proto().graph().output()) out.push_back(info_of(output));
  return out;
}

std::string to_string(const InputInfo& info) {
  if (info.onnx_type == 0) return "not a tensor";
  std::string out = onnx_type_name(info.onnx_type);
  if (!info.ranked) return out + "[...]";
  out += '[';
  for (size_t i = 0; i < info.dims.size(); i++) {
    const OpenDim& dim = info.dims[i];
    out += i ? "," : "";
    out += dim.size >= 0 ? std::to_string(dim.size) : dim.symbol.empty() ? "?" : printable(dim.symbol);
  }
  return out + ']';
}

std::vector<ir::Type> bind_input_types(const std::vector<InputInfo>& given, const ImportOptions& options) {
  std::vector<InputInfo> inputs = given;
  for (const InputInfo& input : inputs)
    if (!dtype_of(input.onnx_type))
      throw Error(ErrorCode::unsupported, concat("input '", printable(input.name), "' is ", to_string(input)),
                  printable(input.name), "Mezzo feeds dense tensors of floats, integers and bool");
  Symbols symbols(options);
  for (auto& [name, shape] : options.shapes) {
    auto it = std::find_if(inputs.begin(), inputs.end(), [&, &n = name](auto& i) { return i.name == n; });
    if (it == inputs.end()) misuse(concat("the model has no input '", printable(name), "'"), name);
    bind_shape(*it, shape, symbols);
  }
  if (options.batch) bind_batch(inputs, *options.batch, symbols);
  std::vector<ir::Type> types;
  for (const InputInfo& input : inputs) {
    ir::Type type{*dtype_of(input.onnx_type), {}};
    if (!input.ranked)
      misuse(concat("the shape of input '", printable(input.name), "' is not known"), input.name);
    for (const OpenDim& dim : input.dims) {
      int64_t size = dim.size >= 0 ? dim.size : symbols.find(dim.symbol);
      if (size < 0)
        misuse(concat("input '", printable(input.name), "' is ", to_string(input),
                      ": its shape is not fully known"),
               input.name);
      type.dims.push_back(size);
    }
    if (type.rank() > kMaxRank)
      misuse(concat("input '", printable(input.name), "' has more than ", kMaxRank, " dimensions"),
             input.name);
    ir::element_count(type.dims);
    types.push_back(std::move(type));
  }
  return types;
}

}  // namespace mezzo::frontend
