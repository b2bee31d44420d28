#include "frontend/external_data.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/open_file.h"
#include "mezzo/error.h"

namespace mezzo::frontend {
namespace {

std::optional<std::string> real_path(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (!resolved) return std::nullopt;
  return std::string(resolved.get());
}

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Opens root/relative without ever leaving root, following links only as long as they stay beneath it.
// Non-blocking, so that a pipe in place of a file cannot hang us. Returns -1 with errno set.
int open_beneath(const std::string& root, const std::string& relative) {
  OpenFile directory(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd() < 0) return -1;
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  auto fd = static_cast<int>(::syscall(SYS_openat2, directory.fd(), relative.c_str(), &how, sizeof how));
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
  // A kernel without openat2: resolve, compare, open without following the last link, and compare again what
  // was opened.
  std::optional<std::string> resolved = real_path(root + "/" + relative);
  if (!resolved) return -1;
  if (resolved->compare(0, root.size() + 1, root == "/" ? "/" : root + "/") != 0) {
    errno = EXDEV;
    return -1;
  }
  OpenFile file(::open(resolved->c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (file.fd() < 0) return -1;
  struct stat opened {
  }, named{};
  std::optional<std::string> again = real_path(root + "/" + relative);
  if (::fstat(file.fd(), &opened) != 0 || again != resolved || ::stat(resolved->c_str(), &named) != 0 ||
      opened.st_ino != named.st_ino || opened.st_dev != named.st_dev) {
    errno = EXDEV;
    return -1;
  }
  return file.release();
}

struct stat status_of(int fd, std::string_view tensor, const std::string& location) {
  struct stat status {};
  if (::fstat(fd, &status) != 0)
    throw Error(ErrorCode::bad_input,
                concat("cannot read '", printable(location), "': ", std::strerror(errno)), printable(tensor));
  return status;
}

}  // namespace

void check_location(std::string_view tensor, std::string_view location) {
  auto refuse = [&](std::string_view why) {
    throw Error(ErrorCode::bad_input, concat("external data location '", printable(location), "' ", why),
                printable(tensor), "a location must be a relative path beneath the model's own directory");
  };
  if (location.empty()) refuse("is empty");
  if (location.size() > static_cast<size_t>(kMaxNameBytes)) refuse("is too long");
  if (location.front() == '/') refuse("is absolute");
  if (location.size() > 1 && location[1] == ':') refuse("names a drive");
  if (location.find('\0') != std::string_view::npos) refuse("contains a NUL");
  if (location.find('\\') != std::string_view::npos) refuse("contains a backslash");
  for (size_t at = 0; at <= location.size();) {
    size_t end = std::min(location.find('/', at), location.size());
    if (location.substr(at, end - at) == "..") refuse("leaves the model's directory");
    at = end + 1;
  }
}

ExternalData::ExternalData(const std::string& model_path, ExternalDataOptions options)
    : options_(std::move(options)) {
  auto add = [&](const std::string& directory) {
    if (auto real = real_path(directory)) roots_.push_back(*real);
  };
  if (!model_path.empty()) {
    model_directory_ = directory_of(model_path);
    add(model_directory_);
    // A model cache keeps links in one directory and the files, under other names, in another: what the link
    // beside the model resolves to is fine when the model itself resolves to the same directory.
    if (auto real = real_path(model_path)) add(directory_of(*real));
  }
  for (const std::string& directory : options_.directories) add(directory);
}

int ExternalData::open(std::string_view tensor, const std::string& location) const {
  if (!options_.enabled)
    throw Error(ErrorCode::bad_input,
                concat("'", printable(tensor), "' stands in external file '", printable(location), "'"),
                printable(tensor), "external data is switched off; load the model without that option");
  check_location(tensor, location);
  bool escapes = false;
  int reason = ENOENT;
  auto attempt = [&](const std::string& root, const std::string& relative) {
    int fd = open_beneath(root, relative);
    if (fd < 0 && (errno == EXDEV || errno == ELOOP)) escapes = true;
    if (fd < 0 && errno != ENOENT) reason = errno;
    return fd;
  };
  int fd = -1;
  for (size_t i = 0; i < roots_.size() && fd < 0; i++) fd = attempt(roots_[i], location);
  if (fd < 0 && escapes && !model_directory_.empty()) {
    // The link's target, if that lies beneath an allowed directory.
    if (auto resolved = real_path(model_directory_ + "/" + location))
      for (size_t i = 0; i < roots_.size() && fd < 0; i++) {
        std::string prefix = roots_[i] == "/" ? "/" : roots_[i] + "/";
        if (resolved->compare(0, prefix.size(), prefix) == 0)
          fd = attempt(roots_[i], resolved->substr(prefix.size()));
      }
  }
  if (fd < 0)
    throw Error(ErrorCode::bad_input,
                concat("external data file '", printable(location), "' ",
                       escapes ? "is a link out of the model's directory"
                               : concat("cannot be opened: ", std::strerror(reason))),
                printable(tensor),
                "keep the data file beside the model, or name its directory with --external-data-dir");
  return fd;
}

uint64_t ExternalData::size(std::string_view tensor, const std::string& location) const {
  OpenFile file(open(tensor, location));
  struct stat status = status_of(file.fd(), tensor, location);
  return static_cast<uint64_t>(std::max<off_t>(status.st_size, 0));
}

void ExternalData::read(std::string_view tensor, const std::string& location, uint64_t offset,
                        std::span<std::byte> out) const {
  OpenFile file(open(tensor, location));
  struct stat status = status_of(file.fd(), tensor, location);
  auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::bad_input, concat("external data file '", printable(location), "' ", why),
                printable(tensor));
  };
  if (!S_ISREG(status.st_mode)) refuse("is not a regular file");
  if (options_.refuse_hard_links && status.st_nlink > 1) refuse("has more than one hard link");
  auto size = static_cast<uint64_t>(status.st_size);
  if (offset > size || out.size() > size - offset)
    refuse(
        concat("has ", size, " bytes; '", printable(tensor), "' wants ", out.size(), " at offset ", offset));
  // Read, not mapped: a file that shrinks meanwhile is an error here and a crash there.
  for (size_t done = 0; done < out.size();) {
    ssize_t got = ::pread(file.fd(), out.data() + done, std::min<size_t>(out.size() - done, size_t{1} << 30),
                          static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      refuse(got < 0 ? concat("cannot be read: ", std::strerror(errno)) : "became shorter while it was read");
    done += static_cast<size_t>(got);
  }
}

}  // namespace mezzo::frontend
