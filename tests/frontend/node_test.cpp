// node_test.cpp: runs every ONNX conformance test through the importer and the reference evaluator. The tests
// that do not pass are listed in node_expected.txt with one reason each; UPDATE_GOLDEN=1 rewrites the list.
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "ir/eval.h"
#include "tests/nodes/node_case.h"
#include "tests/paths.h"

namespace mezzo::test {
namespace {

const std::string kExpectations = MEZZO_SOURCE_DIR + "/tests/frontend/node_expected.txt";

struct Outcome {
  enum Kind { pass, fail, refused, crash } kind;
  std::string reason;
};

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  size_t colon = text.find("not supported:");
  if (colon != std::string::npos) text = text.substr(text.find_first_not_of(' ', colon + 14));
  for (size_t at; (at = text.find(node_test_root())) != std::string::npos;)
    text.erase(at, node_test_root().size() + 1);
  return text.substr(0, 160);
}

Outcome run(const std::string& folder) {
  try {
    NodeCase test = load_node_case(folder);
    frontend::Imported imported = import_case(test);
    ir::EvalResult result = ir::evaluate(imported.graph, test.inputs, ir::EvalMode::rounded);
    for (size_t i = 0; i < test.outputs.size(); i++) {
      const std::string& name = imported.graph.outputs[i].name;
      std::string why = difference(result.outputs.at(name), test.outputs[i]);
      if (!why.empty()) return {Outcome::fail, concat("output ", i, " ", why)};
    }
    return {Outcome::pass, ""};
  } catch (const Error& e) {
    return {e.code() == ErrorCode::unsupported ? Outcome::refused : Outcome::fail, one_line(e.what())};
  } catch (const std::exception& e) {
    return {Outcome::crash, one_line(e.what())};
  }
}

std::map<std::string, std::string> read_expectations() {
  std::map<std::string, std::string> out;
  std::ifstream in(kExpectations);
  for (std::string line; std::getline(in, line);) {
    size_t colon = line.find(": ");
    if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
    out[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return out;
}

struct Group {
  const char* name;
  int minimum;  // of passing tests
};
void PrintTo(const Group& group, std::ostream* out) { *out << group.name; }

class NodeTests : public testing::TestWithParam<Group> {};

TEST_P(NodeTests, PassOrAreListed) {
  if (node_test_root().empty()) GTEST_SKIP() << "libonnx-testdata is not installed";
  const std::string prefix = concat(GetParam().name, "/");
  std::map<std::string, std::string> expected = read_expectations(), now;
  std::map<int, int> counts;
  for (const std::string& name : node_test_names(GetParam().name)) {
    Outcome outcome = run(node_test_root() + "/" + prefix + name);
    counts[outcome.kind]++;
    if (outcome.kind == Outcome::pass) continue;
    const char* kind = outcome.kind == Outcome::fail      ? "wrong"
                       : outcome.kind == Outcome::refused ? "refused"
                                                          : "crash";
    now[prefix + name] = concat(kind, ": ", outcome.reason);
  }
  int total =
      counts[Outcome::pass] + counts[Outcome::fail] + counts[Outcome::refused] + counts[Outcome::crash];
  std::cout << GetParam().name << ": " << counts[Outcome::pass] << " of " << total << " pass, "
            << counts[Outcome::fail] << " wrong, " << counts[Outcome::refused] << " refused, "
            << counts[Outcome::crash] << " crash\n";
  EXPECT_GE(counts[Outcome::pass], GetParam().minimum);
  EXPECT_EQ(counts[Outcome::crash], 0);
  std::erase_if(expected, [&](auto& entry) { return entry.first.compare(0, prefix.size(), prefix) != 0; });
  if (std::getenv("UPDATE_GOLDEN")) {
    std::map<std::string, std::string> all = read_expectations();
    for (auto& [name, reason] : expected) all.erase(name);
    all.merge(now);
    std::ofstream out(kExpectations);
    out << "# ONNX conformance tests that do not pass, one reason each. Written by UPDATE_GOLDEN=1.\n";
    for (auto& [name, reason] : all) out << name << ": " << reason << "\n";
    return;
  }
  for (auto& [name, reason] : now) EXPECT_TRUE(expected.count(name)) << name << " does not pass: " << reason;
  for (auto& [name, reason] : expected)
    EXPECT_TRUE(now.count(name)) << name << " passes now; it was listed: " << reason;
}

INSTANTIATE_TEST_SUITE_P(Onnx, NodeTests,
                         testing::Values(Group{"node", 792}, Group{"pytorch-converted", 79},
                                         Group{"pytorch-operator", 35}, Group{"simple", 15}));

}  // namespace
}  // namespace mezzo::test
