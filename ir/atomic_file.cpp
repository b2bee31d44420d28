#include "ir/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "mezzo/error.h"

namespace mezzo::ir {
namespace {

std::string hint_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return "free some space or write to another disk";
    case EFBIG: return "the file size limit of this process (ulimit -f) is too small";
    case ENOENT: return "check the path and that its directory exists";
    case EACCES:
    case EPERM:
    case EROFS: return "check the permissions of the file and its directory";
    case EISDIR: return "the path is a directory; name a file in it";
    default: return {};
  }
}

// fsync of a file or directory. Some file systems cannot sync a directory; that is no error of ours.
void sync_path(const std::string& path, const std::string& reported, bool directory) {
  int fd = ::open(path.c_str(), (directory ? O_RDONLY | O_DIRECTORY : O_RDWR) | O_CLOEXEC);
  if (fd < 0) {
    if (directory) return;
    throw_file_error("write", reported, errno);
  }
  int result = ::fsync(fd), error_number = errno;
  ::close(fd);
  if (result != 0 && !directory && error_number != EINVAL) throw_file_error("write", reported, error_number);
}

}  // namespace

void throw_file_error(const std::string& action, const std::string& path, int error_number) {
  throw Error(ErrorCode::bad_input, concat("cannot ", action, " '", path, "': ", std::strerror(error_number)),
              path, hint_for(error_number));
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  if (std::filesystem::is_directory(path_)) throw_file_error("write", path_, EISDIR);
  temporary_ = path_ + ".XXXXXX";
  fd_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (fd_ < 0) throw_file_error("write", path_, errno);
  mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(fd_, 0666 & ~mask);  // mkostemp makes private files; the result shall be an ordinary one
}

AtomicFile::~AtomicFile() {
  ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_file_error("write", path_, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void AtomicFile::commit() {
  // By name: who fills the file by its name may have put another one in its place.
  sync_path(temporary_, path_, false);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw_file_error("write", path_, errno);
  committed_ = true;
  std::string directory = std::filesystem::path(path_).parent_path().string();
  sync_path(directory.empty() ? "." : directory, path_, true);
}

void write_atomically(const std::string& path, const std::function<void(std::ostream&)>& write) {
  AtomicFile file(path);
  errno = 0;
  std::ofstream out(file.temporary(), std::ios::binary | std::ios::trunc);
  write(out);
  out.close();
  if (!out) throw_file_error("write", path, errno ? errno : EIO);
  file.commit();
}

void write_atomically(const std::string& path, const std::string& content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

std::string read_file(const std::string& path) {
  if (std::filesystem::is_directory(path)) throw_file_error("read", path, EISDIR);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw_file_error("read", path, errno ? errno : EIO);
  std::ostringstream content;
  content << in.rdbuf();
  return std::move(content).str();
}

}  // namespace mezzo::ir
