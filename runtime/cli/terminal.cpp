#include "runtime/cli/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace mezzo::cli {
namespace {

bool colour() {
  const char* no = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return ::isatty(2) && !(no && *no) && !(term && std::string(term) == "dumb");
}

void labelled(const char* label, const char* code, const std::string& text) {
  if (colour())
    std::cerr << "\033[" << code << 'm' << label << ":\033[0m " << text << '\n';
  else
    std::cerr << label << ": " << text << '\n';
}

std::string duration_text(double seconds) {
  auto s = static_cast<int64_t>(seconds);
  return s < 3600 ? concat(s / 60, "m", s % 60, "s") : concat(s / 3600, "h", s / 60 % 60, "m");
}

}  // namespace

int report(const Error& error) {
  std::string text = error.what();
  // The node goes first unless the message already names it.
  if (!error.node().empty() && text.find(error.node()) == std::string::npos)
    text = error.node() + ": " + text;
  labelled("error", "1;31", text);
  if (!error.hint().empty()) labelled("hint", "1;36", error.hint());
  return static_cast<int>(error.code());
}

int report_internal(const std::string& what, const std::string& reproducer) {
  labelled("error", "1;31", "internal: " + what);
  labelled("hint", "1;36",
           reproducer.empty()
               ? "this is a defect of mezzo; please report it with the command line and the model"
               : "this is a defect of mezzo; please report it with " + reproducer);
  return 70;
}

void warn(const std::string& message) { labelled("warning", "1;33", message); }
void note(const std::string& message) { std::cerr << message << '\n'; }

std::string Table::str() const {
  std::vector<size_t> width(rows_[0].size(), 0);
  auto text = [&](size_t r, size_t c) -> std::string {
    if (c >= rows_[r].size()) return {};
    const std::string& cell = rows_[r][c];
    return r == 0 && cell.starts_with('>') ? cell.substr(1) : cell;
  };
  for (size_t r = 0; r < rows_.size(); r++)
    for (size_t c = 0; c < width.size(); c++) width[c] = std::max(width[c], text(r, c).size());
  std::string out;
  for (size_t r = 0; r < rows_.size(); r++) {
    std::string line;
    for (size_t c = 0; c < width.size(); c++) {
      std::string cell = text(r, c), space(width[c] - cell.size(), ' ');
      line += (c ? "  " : "") + (rows_[0][c].starts_with('>') ? space + cell : cell + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string bytes_text(int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto v = static_cast<double>(bytes);
  int u = 0;
  for (; v >= 1024 && u < 4; u++) v /= 1024;
  char text[64];
  std::snprintf(text, sizeof text, u ? "%.1f %s" : "%.0f %s", v, units[u]);
  return text;
}

std::string number_text(double v, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, v);
  return text;
}

Progress::Progress(int64_t total)
    : shown_(::isatty(2)), total_(total), start_(std::chrono::steady_clock::now()) {}
Progress::~Progress() { clear(); }

void Progress::clear() {
  if (shown_ && last_ != std::chrono::steady_clock::time_point{}) std::cerr << "\r\033[K" << std::flush;
}

void Progress::update(int64_t done, const std::string& text) {
  auto now = std::chrono::steady_clock::now();
  if (!shown_ || (done < total_ && now - last_ < std::chrono::milliseconds(100))) return;
  last_ = now;
  double elapsed = std::chrono::duration<double>(now - start_).count();
  std::string left = duration_text(elapsed / std::max<double>(1, static_cast<double>(done)) *
                                   static_cast<double>(total_ - done));
  auto filled = static_cast<size_t>(20 * done / std::max<int64_t>(1, total_));
  std::cerr << "\r\033[K[" << std::string(filled, '=') << std::string(20 - filled, ' ') << "] " << done << '/'
            << total_ << "  " << text << "  " << left << " left" << std::flush;
}

}  // namespace mezzo::cli
