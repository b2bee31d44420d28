// names.h: names from a file, as they may stand in messages.
#pragma once
#include <string>
#include <string_view>

namespace mezzo::frontend {

// The name as it may stand in a message: control characters and broken UTF-8 as \xNN, cut after 120 bytes.
std::string printable(std::string_view name);

// True for text without NUL that is valid UTF-8 (no overlong forms, no surrogates).
bool is_clean_text(std::string_view text);

}  // namespace mezzo::frontend
