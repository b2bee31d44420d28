// outline.h: a model's bytes without the payloads of its large initializers.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/payloads.h"

namespace mezzo::frontend {

struct Outline {
  std::string bytes;                                 // a message of the same type
  std::vector<std::pair<int, CutPayload>> payloads;  // by number of the initializer
};
// Putting the payloads back where they stood gives the model again, byte for byte. Throws Error(bad_input)
// for what is no message.
Outline outline_of(std::string_view model);

}  // namespace mezzo::frontend
