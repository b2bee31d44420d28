#include "frontend/model_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "frontend/limits.h"
#include "mezzo/error.h"

namespace mezzo::frontend {
namespace {

constexpr size_t kChunk = size_t{1} << 20;  // bytes read at once where all are wanted in turn

std::string text_of(const XXH128_hash_t& h) { return concat(h.high64, ":", h.low64); }

std::span<std::byte> writable(std::string& bytes) {
  return {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()};
}

}  // namespace

ModelBytes::ModelBytes(std::string held)
    : held_(std::move(held)), hash_(text_of(XXH3_128bits(held_.data(), held_.size()))), size_(held_.size()) {}

ModelBytes::ModelBytes(const std::string& path, std::string& content)
    : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (file_.fd() < 0) fail(std::strerror(errno));
  struct stat status {};
  if (::fstat(file_.fd(), &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("not a regular file");
  if (status.st_size == 0) fail("the file is empty");
  if (status.st_size > kMaxFileBytes)
    fail(concat(status.st_size, " bytes; a model file has at most ", kMaxFileBytes),
         "save the weights as external data, beside the model");
  size_ = static_cast<uint64_t>(status.st_size);
  written_ = status.st_mtim;
  content.resize(size_);
  read_file(0, writable(content));
  hash_ = text_of(XXH3_128bits(content.data(), content.size()));
}

void ModelBytes::fail(const std::string& why, std::string hint) const {
  throw Error(ErrorCode::bad_input, concat("cannot read '", path_, "': ", why), path_, std::move(hint));
}

void ModelBytes::read(uint64_t offset, std::span<std::byte> out) const {
  check(offset <= size_ && out.size() <= size_ - offset, "a range beyond the model's ", size_, " bytes");
  if (file_.fd() < 0) {
    std::copy_n(reinterpret_cast<const std::byte*>(held_.data()) + offset, out.size(), out.data());
    return;
  }
  read_file(offset, out);
  require_unchanged();
}

// Read, not mapped: a file that shrinks meanwhile is an error here and a crash there.
void ModelBytes::read_file(uint64_t offset, std::span<std::byte> out) const {
  for (size_t done = 0; done < out.size();) {
    ssize_t got =
        ::pread(file_.fd(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail(got < 0 ? std::strerror(errno) : "the file became shorter while it was read");
    done += static_cast<size_t>(got);
  }
}

// A new time stamp alone is no change.
void ModelBytes::require_unchanged() const {
  struct stat status {};
  if (::fstat(file_.fd(), &status) != 0) fail(std::strerror(errno));
  const timespec& now = status.st_mtim;
  const bool same_size = static_cast<uint64_t>(status.st_size) == size_;
  if (same_size && now.tv_sec == written_.tv_sec && now.tv_nsec == written_.tv_nsec) return;
  std::string hash;
  if (same_size) {
    struct Free {
      void operator()(XXH3_state_t* s) const { XXH3_freeState(s); }
    };
    std::unique_ptr<XXH3_state_t, Free> state(XXH3_createState());
    XXH3_128bits_reset(state.get());
    std::string chunk;
    for (uint64_t at = 0; at < size_; at += chunk.size()) {
      chunk.resize(std::min<uint64_t>(kChunk, size_ - at));
      read_file(at, writable(chunk));
      XXH3_128bits_update(state.get(), chunk.data(), chunk.size());
    }
    hash = text_of(XXH3_128bits_digest(state.get()));
  }
  if (hash != hash_)
    fail("the file was changed while the model was in use",
         "write new models beside the one that is being trained, or under its name with a rename");
}

}  // namespace mezzo::frontend
