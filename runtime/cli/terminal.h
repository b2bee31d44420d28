// terminal.h: what the command line writes: data on stdout, messages on stderr, a progress bar on terminals
// only.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "mezzo/error.h"

namespace mezzo::cli {

// "error: ..." and "hint: ..." on stderr; the exit code that belongs to the error.
int report(const Error& error);
int report_internal(const std::string& what, const std::string& reproducer);
// "warning: ..." or a plain message on stderr.
void warn(const std::string& message);
void note(const std::string& message);

// Text in columns two spaces apart. Numbers (columns whose header starts with '>') are right-aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : rows_{std::move(headers)} {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string bytes_text(int64_t bytes);              // "1.5 MiB"
std::string number_text(double v, int digits = 4);  // %.{digits}g

// One line on stderr that is rewritten in place, at most 10 times a second. Silent where stderr is no
// terminal.
class Progress {
 public:
  explicit Progress(int64_t total);
  ~Progress();
  void update(int64_t done, const std::string& text);
  // Removes the line, so that other messages can be written.
  void clear();

 private:
  bool shown_;
  int64_t total_;
  std::chrono::steady_clock::time_point start_, last_{};
};

}  // namespace mezzo::cli
