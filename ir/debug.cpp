#include "ir/debug.h"

#include <cstdlib>

namespace mezzo::ir {

Debug::Debug(std::string_view text) {
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    size_t equals = std::min(word.find('='), word.size());
    if (!word.empty())
      words_[std::string(word.substr(0, equals))] = word.substr(std::min(equals + 1, word.size()));
  }
}

std::string Debug::get(std::string_view word) const {
  auto it = words_.find(word);
  return it == words_.end() ? "" : it->second;
}

const Debug& debug() {
  static const Debug from_environment([] {
    const char* text = std::getenv("MEZZO_DEBUG");
    return std::string_view(text ? text : "");
  }());
  return from_environment;
}

}  // namespace mezzo::ir
