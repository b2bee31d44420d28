// spelling.h: how the text form writes names and numbers, and reads them back. Shared by printer and parser.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "ir/tensor.h"

namespace mezzo::ir {

// Letters, digits and _ . / : - may stand without quotes; a word begins with a letter, _ or /.
bool is_word_char(char c);
bool is_word_start(char c);
// The name itself where it is a word (not ending in a colon, none that the grammar uses behind names), else
// quoted.
std::string spell_name(std::string_view name);
// In double quotes, with \n \t \r \" \\ and \xHH for other control characters.
std::string quote(std::string_view text);

// The shortest decimal that reads back to the same number; inf, -inf, nan.
std::string spell(double v);
std::optional<double> read_double(std::string_view text);
std::optional<int64_t> read_int(std::string_view text);

// One element of a tensor. NaNs with a payload are written as the bits in hex, so reading back is exact.
std::string spell_element(const Tensor& tensor, int64_t i);
bool read_element(std::string_view text, Tensor& tensor, int64_t i);  // false: not a number of that type

}  // namespace mezzo::ir
