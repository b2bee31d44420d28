// external_data.h: tensor payloads that stand in files beside the model. A model may name only files beneath
// its own directory (or beneath the directory its symbolic link resolves to, as model caches lay them out).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo::frontend {

struct ExternalDataOptions {
  bool enabled = true;                   // false: external data is an Error
  bool refuse_hard_links = false;        // an Error for files with more than one link
  std::vector<std::string> directories;  // further directories to look in, in order
};

// The directories that external data of one model may come from.
class ExternalData {
 public:
  // `model_path` may be empty (a model from memory): then only options.directories count.
  ExternalData(const std::string& model_path, ExternalDataOptions options);

  // Fills `out` with the bytes at `offset` of the file `location`. Throws Error naming `tensor` and the file
  // when the location leaves the directories, the file is missing or not regular, or the range does not lie
  // within it.
  void read(std::string_view tensor, const std::string& location, uint64_t offset,
            std::span<std::byte> out) const;
  // The size of that file in bytes.
  uint64_t size(std::string_view tensor, const std::string& location) const;

 private:
  int open(std::string_view tensor, const std::string& location) const;
  std::vector<std::string> roots_;  // real paths
  std::string model_directory_;     // as given, unresolved; empty for a model from memory
  ExternalDataOptions options_;
};

// Refuses a location that is empty, absolute, has a drive, a backslash, a NUL or a ".." component.
void check_location(std::string_view tensor, std::string_view location);

}  // namespace mezzo::frontend
