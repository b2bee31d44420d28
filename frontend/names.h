// names.h: names from a file: as they may stand in messages, and what they say about an initializer.
#pragma once
#include <string>
#include <string_view>

namespace mezzo::frontend {

// The name as it may stand in a message: control characters and broken UTF-8 as \xNN, cut after 120 bytes.
std::string printable(std::string_view name);

// True for text without NUL that is valid UTF-8 (no overlong forms, no surrogates).
bool is_clean_text(std::string_view text);

// Names that exporters make up: onnx::Conv_12 and val_3, slice_1, /layer/Constant_2. Weights keep the dotted
// names of the program they come from, unless the exporter rewrote them (transposed, sliced, gathered).
bool is_made_up(std::string_view name);

// Made-up names that rewritten weights have, too: val_N and onnx::X_N. Others say which computation was
// folded.
bool may_be_weight(std::string_view name);

}  // namespace mezzo::frontend
