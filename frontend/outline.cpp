#include "frontend/outline.h"

#include <optional>

#include "frontend/onnx_fields.h"
#include "frontend/wire.h"

namespace mezzo::frontend {
namespace {

constexpr size_t kMinCut = 1024;  // bytes; below, reading again costs more than holding

// Whether append_bytes_header would write the field's head as it is, so that it can be restored.
bool is_canonical(const WireField& field) {
  std::string header;
  append_bytes_header(header, field.number, field.payload.size());
  return field.whole.substr(0, field.whole.size() - field.payload.size()) == header;
}

// The one raw payload of a tensor, if that is large and all there is; `at`: where its field begins.
std::optional<WireField> large_payload(std::string_view tensor, size_t* at) {
  std::optional<WireField> found;
  WireReader reader(tensor, "the model");
  for (WireField field; reader.next(field);) {
    if (field.number == kTensorExternal || field.number == kTensorLocation) return std::nullopt;
    if (field.number != kTensorRaw) continue;
    if (found || field.type != WireType::bytes || !is_canonical(field)) return std::nullopt;
    found = field;
    *at = static_cast<size_t>(field.whole.data() - tensor.data());
  }
  if (found && found->payload.size() < kMinCut) found.reset();
  return found;
}

// The graph is one field: the parser would merge several.
std::optional<std::string_view> only_graph(std::string_view model) {
  std::optional<std::string_view> graph;
  WireReader reader(model, "the model");
  for (WireField field; reader.next(field);) {
    if (field.number != kModelGraph) continue;
    if (graph || field.type != WireType::bytes) return std::nullopt;
    graph = field.payload;
  }
  return graph;
}

}  // namespace

Outline outline_of(std::string_view model) {
  Outline out;
  std::optional<std::string_view> graph = only_graph(model);
  if (!graph) return {std::string(model), {}};
  std::string rest;  // of the graph
  int initializer = 0;
  WireReader graph_reader(*graph, "the model");
  for (WireField field; graph_reader.next(field);) {
    const bool tensor = field.number == kGraphInitializer && field.type == WireType::bytes;
    size_t at = 0;
    std::optional<WireField> raw =
        tensor && is_canonical(field) ? large_payload(field.payload, &at) : std::nullopt;
    if (raw) {
      append_bytes_header(rest, kGraphInitializer, field.payload.size() - raw->whole.size());
      rest.append(field.payload.substr(0, at)).append(field.payload.substr(at + raw->whole.size()));
      const auto offset = static_cast<uint64_t>(raw->payload.data() - model.data());
      out.payloads.emplace_back(initializer, CutPayload{offset, raw->payload.size(), at});
    } else {
      rest.append(field.whole);
    }
    initializer += tensor;
  }
  WireReader model_reader(model, "the model");
  for (WireField field; model_reader.next(field);) {
    if (field.number == kModelGraph)
      append_bytes(out.bytes, kModelGraph, rest);
    else
      out.bytes.append(field.whole);
  }
  return out;
}

}  // namespace mezzo::frontend
