#include "frontend/wire.h"

#include <vector>

#include "frontend/limits.h"
#include "mezzo/error.h"

namespace mezzo::frontend {

void WireReader::fail(std::string_view why) const {
  throw Error(ErrorCode::bad_input, concat(what_, " is not a valid ONNX file: ", why), "",
              "the file may be truncated, or not an ONNX model at all");
}

uint64_t WireReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (rest_.empty()) fail("a number is cut off");
    auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << (shift < 64 ? shift : 63);
    if (!(byte & 0x80)) return value;
  }
  fail("a number has more than 10 bytes");
}

bool WireReader::next(WireField& field) {
  if (rest_.empty()) return false;
  std::string_view start = rest_;
  uint64_t tag = varint();
  if (tag >> 32 || tag >> 3 == 0) fail("a field has an invalid number");
  field = {};
  field.number = static_cast<uint32_t>(tag >> 3);
  field.type = static_cast<WireType>(tag & 7);
  auto fixed = [&](size_t size) {
    if (rest_.size() < size) fail("a number is cut off");
    for (size_t i = 0; i < size; i++)
      field.value |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[i])) << (8 * i);
    rest_.remove_prefix(size);
  };
  switch (field.type) {
    case WireType::varint: field.value = varint(); break;
    case WireType::fixed64: fixed(8); break;
    case WireType::fixed32: fixed(4); break;
    case WireType::bytes: {
      uint64_t size = varint();
      if (size > rest_.size()) fail("a field is longer than what is left of the file");
      field.payload = rest_.substr(0, size);
      rest_.remove_prefix(size);
      break;
    }
    default: fail("a field has an unknown wire type");
  }
  field.whole = start.substr(0, start.size() - rest_.size());
  return true;
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void append_bytes_header(std::string& out, uint32_t number, uint64_t size) {
  append_varint(out, static_cast<uint64_t>(number) << 3 | static_cast<uint64_t>(WireType::bytes));
  append_varint(out, size);
}

void append_bytes(std::string& out, uint32_t number, std::string_view payload) {
  append_bytes_header(out, number, payload.size());
  out.append(payload);
}

namespace {

// Which messages the limit walk enters; everything else in a file is a leaf to it.
enum class Message : uint8_t { model, graph, node, attribute, function, tensor, leaf };

Message child(Message parent, uint32_t number) {
  switch (parent) {
    case Message::model:
      return number == 7 ? Message::graph : number == 25 ? Message::function : Message::leaf;
    case Message::graph: return number == 1 ? Message::node : number == 5 ? Message::tensor : Message::leaf;
    case Message::function:
      return number == 7 ? Message::node : number == 11 ? Message::attribute : Message::leaf;
    case Message::node: return number == 5 ? Message::attribute : Message::leaf;
    case Message::attribute:
      if (number == 6 || number == 11) return Message::graph;
      return number == 5 || number == 10 ? Message::tensor : Message::leaf;
    default: return Message::leaf;
  }
}

}  // namespace

void check_wire_limits(std::string_view model) {
  struct Level {
    WireReader reader;
    Message kind;
    int graphs;  // graphs around this message, itself included
  };
  std::vector<Level> stack{{WireReader(model, "the model"), Message::model, 0}};
  int64_t nodes = 0, fields = 0;
  while (!stack.empty()) {
    Level& top = stack.back();
    WireField field;
    if (!top.reader.next(field)) {
      stack.pop_back();
      continue;
    }
    if (field.type != WireType::bytes) continue;
    Message kind = child(top.kind, field.number);
    int graphs = top.graphs + (kind == Message::graph ? 1 : 0);
    nodes += kind == Message::node;
    require(++fields <= kMaxFields, "the file has more than ", kMaxFields, " fields");
    require(nodes <= kMaxNodes, "the model has more than ", kMaxNodes, " nodes");
    require(graphs <= kMaxGraphDepth, "graphs are nested more than ", kMaxGraphDepth, " deep");
    if (kind != Message::leaf) stack.push_back({WireReader(field.payload, "the model"), kind, graphs});
  }
}

}  // namespace mezzo::frontend
