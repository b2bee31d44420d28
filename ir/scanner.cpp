#include "ir/scanner.h"

#include <algorithm>

#include "ir/spelling.h"

namespace mezzo::ir {

void Scanner::fail(const std::string& message, size_t at, const std::string& hint) const {
  at = std::min(at, text_.size());
  std::string_view before = text_.substr(0, at);
  size_t line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  size_t column = at - (before.find_last_of('\n') == before.npos ? 0 : before.find_last_of('\n') + 1) + 1;
  throw Error(ErrorCode::bad_input, concat(line, ":", column, ": ", message), "", hint);
}

void Scanner::skip_blanks() {
  while (next_ < text_.size() && (text_[next_] == ' ' || text_[next_] == '\t' || text_[next_] == '\r'))
    next_++;
}

size_t Scanner::position() {
  skip_blanks();
  return next_;
}

void Scanner::skip_lines() {
  for (;;) {
    skip_blanks();
    if (peek('#')) next_ = std::min(text_.find('\n', next_), text_.size());
    if (!peek('\n')) return;
    next_++;
  }
}

bool Scanner::at_end() {
  skip_lines();
  return next_ == text_.size();
}

void Scanner::end_line() {
  skip_blanks();
  if (next_ < text_.size() && text_[next_] != '\n') fail("expected the end of the line", next_);
  skip_lines();
}

bool Scanner::peek(char c) {
  skip_blanks();
  return next_ < text_.size() && text_[next_] == c;
}

bool Scanner::accept(char c) {
  bool is = peek(c);
  if (is) next_++;
  return is;
}

void Scanner::expect(char c, std::string_view where) {
  if (!accept(c)) fail(concat("expected '", c, "' ", where));
}

bool Scanner::peek_word(std::string_view word) {
  skip_blanks();
  std::string_view rest = text_.substr(next_);
  return rest.starts_with(word) && (rest.size() == word.size() || !is_word_char(rest[word.size()]));
}

bool Scanner::accept_word(std::string_view word) {
  bool is = peek_word(word);
  if (is) next_ += word.size();
  return is;
}

Word Scanner::name(std::string_view what) {
  size_t at = position();
  if (peek('"')) return quoted(at);
  if (at == text_.size() || !is_word_start(text_[at])) fail(concat("expected ", what), at);
  while (next_ < text_.size() && is_word_char(text_[next_])) next_++;
  while (text_[next_ - 1] == ':') next_--;  // "%x: f32" is a name and a colon
  return {std::string(text_.substr(at, next_ - at)), at};
}

Word Scanner::number(std::string_view what) {
  size_t at = position();
  while (next_ < text_.size() && (is_word_char(text_[next_]) || text_[next_] == '+') && text_[next_] != ':')
    next_++;
  if (next_ == at) fail(concat("expected ", what), at);
  return {std::string(text_.substr(at, next_ - at)), at};
}

Word Scanner::quoted(size_t at) {
  Word out{"", at, true};
  auto hex = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  for (next_++;; next_++) {
    if (next_ >= text_.size() || text_[next_] == '\n') fail("this string does not end", at);
    char c = text_[next_];
    if (c == '"') break;
    if (c != '\\') {
      out.text += c;
      continue;
    }
    char e = ++next_ < text_.size() ? text_[next_] : '\0';
    if (e == 'n')
      out.text += '\n';
    else if (e == 't')
      out.text += '\t';
    else if (e == 'r')
      out.text += '\r';
    else if (e == '"' || e == '\\')
      out.text += e;
    else if (e == 'x' && next_ + 2 < text_.size() && hex(text_[next_ + 1]) >= 0 &&
             hex(text_[next_ + 2]) >= 0) {
      out.text += static_cast<char>(hex(text_[next_ + 1]) * 16 + hex(text_[next_ + 2]));
      next_ += 2;
    } else {
      fail("unknown escape in a string", next_ - 1);
    }
  }
  next_++;
  return out;
}

}  // namespace mezzo::ir
