// Pass tests are files: tests/golden/passes/PASS/CASE.ir holds the input, a line "----", and the output.
// Options of the pass stand in a first line "# options low=bf16". UPDATE_GOLDEN=1 rewrites the outputs;
// review the diff.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "passes/option_text.h"
#include "passes/pipeline.h"
#include "tests/paths.h"

namespace mezzo::passes {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSeparator = "----\n";

fs::path root() { return fs::path(MEZZO_SOURCE_DIR) / "tests/golden/passes"; }

std::vector<std::string> cases() {
  std::vector<std::string> out;
  for (auto& entry : fs::recursive_directory_iterator(root()))
    if (entry.path().extension() == ".ir") out.push_back(fs::relative(entry.path(), root()).generic_string());
  std::sort(out.begin(), out.end());
  return out;
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct Case {
  std::string pass, input, expected;
};
Case load(const std::string& file) {
  std::string text = read(root() / file);
  size_t at = text.find(kSeparator);
  Case c{fs::path(file).parent_path().string(), text.substr(0, at), ""};
  if (at != text.npos) c.expected = text.substr(at + kSeparator.size());
  return c;
}

Options options_in(const std::string& input) {
  std::string comments;
  for (size_t at = 0; input.compare(at, 2, "# ") == 0; at = input.find('\n', at) + 1)
    comments += input.substr(at + 2, input.find('\n', at) + 1 - at - 2);
  return options_of_comments(comments);
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, OutputIsAsWritten) {
  Case c = load(GetParam());
  Graph graph = ir::parse(c.input);
  run_pass(graph, find_pass(c.pass), options_in(c.input));
  std::string output = print(graph);
  if (std::getenv("UPDATE_GOLDEN")) {
    std::ofstream(root() / GetParam(), std::ios::binary) << c.input << kSeparator << output;
    return;
  }
  EXPECT_EQ(output, c.expected) << "in " << GetParam() << "; UPDATE_GOLDEN=1 accepts the new output";
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string out = info.param.substr(0, info.param.size() - 3);
  for (char& c : out)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return out;
}

INSTANTIATE_TEST_SUITE_P(Passes, Golden, testing::ValuesIn(cases()), test_name);

TEST(GoldenFiles, EveryPassHasACaseThatChangesAndOneThatStays) {
  std::set<std::string> changing, staying;
  for (const std::string& file : cases()) {
    Case c = load(file);
    (print(ir::parse(c.input)) == c.expected ? staying : changing).insert(c.pass);
  }
  for (const PassRow& row : pipeline()) {
    if (!row.function || row.name.ends_with("-2")) continue;
    EXPECT_TRUE(changing.count(std::string(row.name))) << "no changing case of " << row.name;
    EXPECT_TRUE(staying.count(std::string(row.name))) << "no unchanged case of " << row.name;
  }
}

}  // namespace
}  // namespace mezzo::passes
