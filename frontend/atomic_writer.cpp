#include "frontend/atomic_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "mezzo/error.h"

namespace mezzo::frontend {

AtomicWriter::AtomicWriter(std::string path) : path_(std::move(path)), temporary_(path_ + ".XXXXXX") {
  fd_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (fd_ < 0) fail("create");
  mode_t mask = ::umask(0);  // mkostemp makes the file private; a model is as readable as any other new file
  ::umask(mask);
  ::fchmod(fd_, 0666 & ~mask);
}

AtomicWriter::~AtomicWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicWriter::fail(const char* doing) const {
  throw Error(ErrorCode::bad_input, concat("cannot ", doing, " '", path_, "': ", std::strerror(errno)), path_,
              errno == ENOSPC ? "the disk is full; nothing was changed" : "nothing was changed");
}

void AtomicWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void AtomicWriter::commit() {
  if (::fsync(fd_) != 0) fail("write");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace");
  ::close(fd_);
  fd_ = -1;
}

}  // namespace mezzo::frontend
