// glob.h: name patterns as users write them: * any run of characters, ? one character, everything else itself.
#pragma once
#include <string_view>

namespace mezzo::ir {

bool matches_glob(std::string_view text, std::string_view pattern);

}  // namespace mezzo::ir
