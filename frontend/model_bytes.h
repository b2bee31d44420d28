// model_bytes.h: the bytes of a model, to be read again in parts: held, or in the file they came from.
#pragma once
#include <ctime>
#include <span>
#include <string>

#include "frontend/open_file.h"

namespace mezzo::frontend {

class ModelBytes {
 public:
  explicit ModelBytes(std::string held);
  // `content` receives the whole file once. The file stays open: what is read later is of this file also when
  // its name has come to mean another one. Throws Error(bad_input) for what cannot be read, is no regular
  // file, empty, or larger than docs/limits.md allows.
  ModelBytes(const std::string& path, std::string& content);

  // Fills `out` with the bytes from `offset` on. Throws Error(bad_input) when the file was changed after it
  // was opened.
  void read(uint64_t offset, std::span<std::byte> out) const;
  // 128 bits over all bytes, as two decimal numbers.
  const std::string& hash() const { return hash_; }

 private:
  [[noreturn]] void fail(const std::string& why, std::string hint = {}) const;
  void read_file(uint64_t offset, std::span<std::byte> out) const;
  void require_unchanged() const;

  std::string held_, path_, hash_;
  OpenFile file_;
  uint64_t size_ = 0;
  timespec written_{};  // when the file was written to last
};

}  // namespace mezzo::frontend
