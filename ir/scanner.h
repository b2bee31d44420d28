// scanner.h: the characters and words of the text form, with positions for messages.
#pragma once
#include <string>
#include <string_view>

#include "mezzo/error.h"

namespace mezzo::ir {

struct Word {
  std::string text;
  size_t at = 0;  // offset in the source
  bool quoted = false;
};

// Reads one text from front to back. Blanks between tokens are skipped, newlines are not: they end
// statements.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // Throws Error "line:column: message".
  [[noreturn]] void fail(const std::string& message, size_t at, const std::string& hint = {}) const;
  [[noreturn]] void fail(const std::string& message) { fail(message, position()); }

  size_t position();    // of the next token
  bool at_end();        // nothing but blank and comment lines is left
  bool peek(char c);    // is c the next character?
  bool accept(char c);  // takes it if so
  void expect(char c, std::string_view where);
  bool peek_word(std::string_view word);
  bool accept_word(std::string_view word);
  Word name(std::string_view what);  // a word or a quoted string
  Word number(std::string_view what);
  void end_line();    // one newline at least; skips blank and comment lines behind it
  void skip_lines();  // blank and comment lines

 private:
  void skip_blanks();
  Word quoted(size_t at);
  std::string_view text_;
  size_t next_ = 0;
};

}  // namespace mezzo::ir
