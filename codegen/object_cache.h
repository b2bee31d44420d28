// object_cache.h: compiled code on disk, by the hash of what it was made from.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mezzo::codegen {

// One file per entry: a checksum, then the content. Entries are written to a temporary name and renamed, so
// readers see all or nothing; a damaged one counts as missing. A folder that cannot be used only costs the
// time to compile again.
class ObjectCache {
 public:
  // Empty `folder`: keeps nothing. When entries exceed `limit` bytes together, the oldest go.
  explicit ObjectCache(std::string folder, int64_t limit = int64_t{512} << 20)
      : folder_(std::move(folder)), limit_(limit) {}
  bool keeps() const { return !folder_.empty(); }
  // The key of a text: 128 bits in hexadecimal.
  static std::string key(std::string_view text);
  std::optional<std::string> load(const std::string& key) const;
  void store(const std::string& key, std::string_view content) const;
  // What the folder holds; reads every entry.
  struct Content {
    int64_t entries = 0, bytes = 0, damaged = 0;
  };
  Content content() const;

 private:
  void trim() const;
  std::string folder_;
  int64_t limit_;
};

}  // namespace mezzo::codegen
