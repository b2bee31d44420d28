// wire.h: the protobuf wire format itself, for what has to happen before or beside parsing: bounding a
// hostile file and patching a file while every other byte stays.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mezzo::frontend {

enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::varint;
  uint64_t value = 0;        // varint and fixed types
  std::string_view payload;  // WireType::bytes
  std::string_view whole;    // tag and all
};

// Walks over the fields of one message. Throws Error(bad_input) naming `what` for a truncated or malformed
// one.
class WireReader {
 public:
  WireReader(std::string_view message, std::string_view what) : rest_(message), what_(what) {}
  bool next(WireField& field);  // false at the end
  // Bytes not read yet.
  size_t left() const { return rest_.size(); }

 private:
  uint64_t varint();
  [[noreturn]] void fail(std::string_view why) const;
  std::string_view rest_, what_;
};

void append_varint(std::string& out, uint64_t value);
// A length-delimited field.
void append_bytes(std::string& out, uint32_t number, std::string_view payload);
// Tag and length of a length-delimited field whose payload follows.
void append_bytes_header(std::string& out, uint32_t number, uint64_t size);

// Refuses what would make the parser recurse or allocate without bound: nesting of graphs and counts of
// docs/limits.md, before anything is built from the file.
void check_wire_limits(std::string_view model);

}  // namespace mezzo::frontend
