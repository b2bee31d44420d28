// What README.md claims: its commands run as they stand there, its examples are the code that other tests
// compile.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "passes/pipeline.h"
#include "runtime/atomic_file.h"
#include "runtime/npz.h"
#include "tests/paths.h"

namespace mezzo {
namespace {

using testing::HasSubstr;

const std::string kRoot = MEZZO_SOURCE_DIR;

std::string readme() { return runtime::read_file(kRoot + "/README.md"); }

// The text from `from` up to `to`, both left out.
std::string between(const std::string& text, const std::string& from, const std::string& to) {
  size_t begin = text.find(from);
  if (begin == std::string::npos) return "(no " + from + ")";
  begin += from.size();
  return text.substr(begin, text.find(to, begin) - begin);
}

// The first indented block of a section, without the indentation.
std::string block_of(const std::string& section) {
  std::istringstream in(between(readme(), "\n## " + section + "\n", "\n## "));
  std::string out, blank;
  for (std::string line; std::getline(in, line);) {
    bool code = line.starts_with("    ");
    if (!code && !line.empty() && !out.empty()) break;
    if (line.empty() && !out.empty()) blank += '\n';
    if (code) {
      out += blank + line.substr(4) + '\n';
      blank.clear();
    }
  }
  return out;
}

class Folder {
 public:
  Folder() {
    std::string pattern = testing::TempDir() + "mezzo_readme_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  int shell(const std::string& script) const {
    runtime::write_atomically(*this / "script.sh", script);
    std::string line = concat("cd '", path_, "' && PATH='", MEZZO_BINARY_DIR,
                              "':\"$PATH\" XDG_CACHE_HOME=cache bash -eu script.sh >out.txt 2>err.txt");
    return std::system(line.c_str());
  }

 private:
  std::string path_;
};

void write_samples(const std::string& path, int64_t n) {
  ir::Tensor x({ir::DType::f32, {n, 64}}), y({ir::DType::i64, {n}});
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::sin(0.7 * static_cast<double>(i)));
  for (int64_t i = 0; i < n; i++) y.set_int(i, i * 7 % 10);
  runtime::write_npz(path, {{"input", x}, {"labels", y}});
}

TEST(Readme, CommandsRunAndRepeatBitForBit) {
  std::string trained[2];
  for (std::string& bytes : trained) {
    Folder folder;
    std::filesystem::copy_file(kRoot + "/models/fixtures/mlp.ts17.onnx", folder / "model.onnx");
    write_samples(folder / "train.npz", 200);
    write_samples(folder / "test.npz", 50);
    write_samples(folder / "batch.npz", 8);
    std::string commands = block_of("Command line");
    for (const char* verb : {"check", "train", "grad", "compile", "opt"})
      EXPECT_THAT(commands, HasSubstr(concat("mezzo ", verb, " ")));
    EXPECT_EQ(folder.shell(commands), 0) << commands << runtime::read_file(folder / "err.txt");
    for (const char* file : {"log.jsonl", "grads.npz", "dump/plan.txt", "dump/memory.txt"})
      EXPECT_TRUE(std::filesystem::exists(folder / file)) << file;
    bytes = runtime::read_file(folder / "trained.onnx");
  }
  EXPECT_EQ(trained[0], trained[1]);
}

// The lines it shows of a report are lines of the report, in this order.
TEST(Readme, OutputIsReal) {
  std::string shown = between(readme(), "    $ mezzo check ", "\n\n");
  Folder folder;
  std::string file = shown.substr(0, shown.find('\n'));
  ASSERT_EQ(folder.shell(concat("mezzo check '", kRoot, "/", file, "'")), 0);
  std::istringstream lines(shown.substr(shown.find('\n') + 1));
  std::string report = runtime::read_file(folder / "out.txt");
  size_t at = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line == "    ...") continue;
    size_t found = report.find(line.substr(4) + "\n", at);
    EXPECT_NE(found, std::string::npos) << line;
    if (found != std::string::npos) at = found;
  }
  EXPECT_GT(at, 0u);
}

TEST(Readme, VerbsItNamesExist) {
  Folder folder;
  for (const char* verb : {"run", "inspect", "bench", "doctor"}) {
    EXPECT_THAT(between(readme(), "\n## Command line\n", "\n## "), HasSubstr(concat('`', verb, '`')));
    EXPECT_EQ(folder.shell(concat("mezzo ", verb, " --help")), 0) << verb;
  }
}

TEST(Readme, ScriptsAndDocumentsItNamesExist) {
  std::string text = readme();
  for (size_t at = 0; (at = text.find("](", at)) != std::string::npos; at++) {
    std::string target = text.substr(at + 2, text.find(')', at) - at - 2);
    if (target.find(' ') != std::string::npos) continue;  // a lambda, not a link
    EXPECT_TRUE(target.starts_with("http") || std::filesystem::exists(kRoot + "/" + target)) << target;
  }
  for (const char* script : {"scripts/demo.sh", "scripts/test.sh"}) {
    EXPECT_THAT(text, HasSubstr(std::string("bash ") + script));
    EXPECT_TRUE(std::filesystem::exists(kRoot + "/" + script)) << script;
  }
}

TEST(Readme, ExampleIsTheTestedOne) {
  std::string code = runtime::read_file(kRoot + "/tests/runtime/readme_example.cpp");
  EXPECT_EQ(block_of("C++"), between(code, "// README: begin\n", "// README: end\n"));
}

TEST(Readme, OpIsTheTestedOne) {
  std::string code = runtime::read_file(kRoot + "/tests/passes/readme_op_test.cpp");
  EXPECT_EQ(block_of("Adding an op"),
            between(code, "// README: begin\n", "// README: end\n") + "MEZZO_REGISTER_OP(softsign);\n");
}

TEST(Readme, PassesStandInTheOrderOfThePipeline) {
  std::vector<std::string> named;
  std::istringstream in(block_of("From file to kernels"));
  for (std::string line; std::getline(in, line);) {
    size_t at = line.find("| passes ");
    if (at == std::string::npos) continue;
    std::istringstream words(line.substr(at + 9));
    for (std::string w; words >> w;)
      if (w != "->") named.push_back(w);
  }
  ASSERT_GE(named.size(), 12u);
  size_t next = 0;
  for (const passes::PassRow& row : passes::pipeline())
    if (next < named.size() && row.name == named[next]) next++;
  EXPECT_EQ(next, named.size()) << "not in order: " << named[std::min(next, named.size() - 1)];
}

}  // namespace
}  // namespace mezzo
