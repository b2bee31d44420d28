#include "passes/plan_text.h"

#include <algorithm>
#include <map>

namespace mezzo::passes {
namespace {

std::string quoted(const std::string& name) {
  return name.find_first_of(" \t\"#") == std::string::npos && !name.empty() ? name : concat('"', name, '"');
}

// The next word of a line: up to a blank, or a quoted string.
std::string take_word(std::string_view& line) {
  size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos || line[begin] == '#') return line = {}, "";
  line.remove_prefix(begin);
  const bool in_quotes = line[0] == '"';
  if (in_quotes) line.remove_prefix(1);
  size_t end = std::min(line.find_first_of(in_quotes ? "\"" : " \t\r"), line.size());
  std::string word(line.substr(0, end));
  line.remove_prefix(std::min(end + (in_quotes ? 1 : 0), line.size()));
  return word;
}

}  // namespace

std::string write_plan(const std::vector<PlanRow>& rows, std::optional<ir::DType> low) {
  std::string out =
      concat("# precision plan, ", low ? ir::name(*low) : "fp32",
             ": value, op, dtype, rule. Edit a dtype, or add lines `override PATTERN DTYPE`.\n");
  size_t name_width = 0, op_width = 0;
  for (const PlanRow& row : rows) {
    name_width = std::max(name_width, std::min<size_t>(quoted(row.value).size(), 48));
    op_width = std::max(op_width, row.op.size());
  }
  auto padded = [](std::string text, size_t width) {
    return text.append(width > text.size() ? width - text.size() : 0, ' ');
  };
  for (const PlanRow& row : rows)
    out += concat(padded(quoted(row.value), name_width), "  ", padded(row.op, op_width), "  ",
                  padded(std::string(ir::name(row.dtype)), 4), "  # ", row.rule,
                  row.overridden ? " (overridden)" : "", "\n");
  return out;
}

std::vector<PrecisionOverride> read_plan(std::string_view text, const std::vector<PlanRow>& unedited,
                                         std::string_view file) {
  std::map<std::string_view, const PlanRow*> rows;
  for (const PlanRow& row : unedited) rows[row.value] = &row;
  std::vector<PrecisionOverride> out;
  for (int number = 1; !text.empty(); number++) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string first = take_word(line), second = take_word(line), third = take_word(line);
    if (first.empty()) continue;
    auto parse = [&](const std::string& word) {
      std::optional<ir::DType> t = ir::parse_dtype(word);
      if (!t || (*t != ir::DType::f32 && !ir::is_low(*t)))
        throw Error(ErrorCode::bad_input,
                    concat(file, ":", number, ": '", word, "' is not one of f32, bf16, f16"),
                    std::string(file), "a line is `NAME OP DTYPE` or `override PATTERN DTYPE`");
      return *t;
    };
    if (first == "override") {
      out.push_back({second, parse(third)});
      continue;
    }
    auto row = rows.find(first);
    if (row == rows.end())
      throw Error(ErrorCode::bad_input, concat(file, ":", number, ": the model has no value '", first, "'"),
                  first, "use `override PATTERN DTYPE` for patterns");
    if (ir::DType dtype = parse(third); dtype != row->second->dtype)
      out.push_back({row->second->node, dtype});
  }
  return out;
}

}  // namespace mezzo::passes
