// atomic_writer.h: a file that appears complete or not at all.
#pragma once
#include <string>
#include <string_view>

namespace mezzo::frontend {

// Writes to a temporary file beside `path`; commit() syncs and renames it. Without commit nothing is left
// behind. Every failure (full disk, missing directory, no permission) is an Error(bad_input) naming `path`.
class AtomicWriter {
 public:
  explicit AtomicWriter(std::string path);
  ~AtomicWriter();
  AtomicWriter(const AtomicWriter&) = delete;
  AtomicWriter& operator=(const AtomicWriter&) = delete;
  void write(std::string_view bytes);
  void commit();

 private:
  [[noreturn]] void fail(const char* doing) const;
  std::string path_, temporary_;
  int fd_ = -1;
};

}  // namespace mezzo::frontend
