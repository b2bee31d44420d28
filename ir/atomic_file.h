// atomic_file.h: output files that are either complete or absent, whatever happens on the way.
#pragma once
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace mezzo::ir {

// A temporary file in the directory of `path`, filled by write() or by its name. commit() makes its content
// durable (fsync of file and directory) and renames it to `path`; without a commit the destructor removes it,
// so an exception leaves no partial file and an older `path` stays as it was. Errors (no such directory, no
// space, no permission) are Error(bad_input) naming `path`.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  const std::string& temporary() const { return temporary_; }
  void write(std::string_view bytes);
  void commit();

 private:
  std::string path_, temporary_;
  int fd_ = -1;
  bool committed_ = false;
};

// Writes what `write` puts into the stream to `path`, atomically.
void write_atomically(const std::string& path, const std::function<void(std::ostream&)>& write);
void write_atomically(const std::string& path, const std::string& content);

// The Error for a system call that failed on `path`: its message carries the reason, its hint what to do
// about it.
[[noreturn]] void throw_file_error(const std::string& action, const std::string& path, int error_number);

// The whole of a file; Error(bad_input) when it cannot be read.
std::string read_file(const std::string& path);

}  // namespace mezzo::ir
