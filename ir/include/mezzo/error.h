// error.h: the two kinds of error, for users of the library and for everything inside it.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace mezzo {

// What went wrong, in the terms of the command line's exit codes.
enum class ErrorCode {
  check_failed = 1,   // a comparison or a check the caller asked for did not hold
  usage = 2,          // a flag or an API option is wrong
  bad_input = 3,      // a model, data file or feed is wrong
  unsupported = 4,    // the input is valid, Mezzo cannot do it
  out_of_memory = 5,  // the plan does not fit
  interrupted = 130,  // the user asked to stop
};

// An error a user can cause and mend. `node` is the ONNX node, file or flag concerned (may be empty), `hint` says what
// to do about it (may be empty).
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, std::string message, std::string node = {}, std::string hint = {})
      : std::runtime_error(message), code_(code), node_(std::move(node)), hint_(std::move(hint)) {}
  ErrorCode code() const { return code_; }
  const std::string& node() const { return node_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorCode code_;
  std::string node_, hint_;
};

// A defect of Mezzo itself. `reproducer` is the path of an .ir file that shows it (may be empty).
class InternalError : public std::logic_error {
 public:
  explicit InternalError(const std::string& message, std::string reproducer = {})
      : std::logic_error(message), reproducer_(std::move(reproducer)) {}
  const std::string& reproducer() const { return reproducer_; }

 private:
  std::string reproducer_;
};

// concat("rank ", 3, " > ", 2) -> "rank 3 > 2"
template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// Throws Error(bad_input) with the concatenated message unless `ok`.
template <class... Args>
void require(bool ok, const Args&... message) {
  if (!ok) throw Error(ErrorCode::bad_input, concat(message...));
}

// Throws InternalError with the concatenated message unless `ok`.
template <class... Args>
void check(bool ok, const Args&... message) {
  if (!ok) throw InternalError(concat(message...));
}

}  // namespace mezzo
