#include "runtime/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "mezzo/error.h"

namespace mezzo::runtime {
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
  std::string name = path_ + ".XXXXXX";
  int fd = ::mkstemp(name.data());
  if (fd < 0) throw_file_error("write", path_, errno);
  mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(fd, 0666 & ~mask);  // mkstemp makes private files; the result shall be an ordinary one
  ::close(fd);
  temporary_ = name;
}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::commit() {
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
  write_atomically(path, [&](std::ostream& out) { out << content; });
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

}  // namespace mezzo::runtime
