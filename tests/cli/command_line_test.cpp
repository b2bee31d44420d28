// The built `mezzo` command: what must fail (must_fail.txt), what the verbs write, interrupts and full disks.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/atomic_file.h"
#include "runtime/npz.h"
#include "tests/paths.h"

namespace mezzo {
namespace {

using ir::DType;
using ir::Tensor;
using runtime::Arrays;
using testing::HasSubstr;

const std::string kModels = std::string(MEZZO_SOURCE_DIR) + "/models/fixtures";

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

Arrays batch(int64_t n = 4) {
  Tensor x({DType::f32, {n, 64}}), y({DType::i64, {n}});
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::sin(0.7 * static_cast<double>(i)));
  for (int64_t i = 0; i < n; i++) y.set_int(i, i * 7 % 10);
  return {{"input", x}, {"labels", y}};
}

struct Outcome {
  int code = -1;  // exit code; 128 + signal when it was killed
  std::string out, err;
};

class CommandLine : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tmp_ = std::filesystem::path(testing::TempDir()) / concat("mezzo_cli_", ::getpid());
    std::filesystem::create_directories(tmp_);
    auto save = [](const std::string& name, const std::function<void(Arrays&)>& change) {
      Arrays arrays = batch();
      change(arrays);
      runtime::write_npz(path(name), arrays);
    };
    save("good.npz", [](Arrays&) {});
    save("feed.npz", [](Arrays& a) { a.erase("labels"); });
    save("wrong_name.npz", [](Arrays& a) {
      a.emplace("inputs", a.at("input"));
      a.erase("input");
    });
    save("wrong_shape.npz", [](Arrays& a) { a.at("input") = Tensor({DType::f32, {4, 63}}); });
    save("float_labels.npz", [](Arrays& a) { a.at("labels") = a.at("labels").cast(DType::f32); });
    save("label_range.npz", [](Arrays& a) { a.at("labels").set_int(1, 10); });
    save("nan.npz", [](Arrays& a) { a.at("input").set(5, NAN); });
    save("infinite.npz", [](Arrays& a) { a.at("input").set(5, INFINITY); });
    save("uneven.npz", [](Arrays& a) { a.at("labels") = Tensor({DType::i64, {3}}); });
    runtime::write_npz(path("large.npz"), batch(512));
    std::string npz = runtime::read_file(path("good.npz")),
                onnx = runtime::read_file(kModels + "/mlp.ts17.onnx");
    runtime::write_atomically(path("truncated.npz"), npz.substr(0, npz.size() / 2));
    runtime::write_atomically(path("truncated.onnx"), onnx.substr(0, onnx.size() / 2));
    runtime::write_atomically(path("empty.onnx"), std::string());
    runtime::write_atomically(path("text.onnx"), std::string("this is no model\n"));
    runtime::write_atomically(path("module.ir"), std::string("graph main {\n}\n"));
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(tmp_); }

  static std::string path(const std::string& name) { return (tmp_ / name).string(); }

  static std::vector<std::string> words(const std::string& line) {
    std::istringstream in(replace_all(replace_all(line, "{tmp}", tmp_.string()), "{models}", kModels));
    std::vector<std::string> out;
    for (std::string w; in >> w;) out.push_back(w);
    return out;
  }

  // Starts `mezzo LINE` with its output in files; `prepare` runs in the child.
  static pid_t start(
      const std::string& line, const std::function<void()>& prepare = [] {}) {
    std::vector<std::string> args = words(line);
    args.insert(args.begin(), MEZZO_BINARY_DIR "/mezzo");
    std::vector<char*> argv;
    for (auto& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid_t child = ::fork();
    if (child != 0) return child;
    if (!std::freopen(path("stdout").c_str(), "w", stdout) ||
        !std::freopen(path("stderr").c_str(), "w", stderr))
      _exit(99);
    ::setenv("XDG_CACHE_HOME", path("cache").c_str(), 1);
    prepare();
    ::execv(argv[0], argv.data());
    _exit(99);
  }
  static Outcome finish(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            runtime::read_file(path("stdout")), runtime::read_file(path("stderr"))};
  }
  static Outcome mezzo(const std::string& line) { return finish(start(line)); }
  static Outcome must_run(const std::string& line) {
    Outcome o = mezzo(line);
    EXPECT_EQ(o.code, 0) << line << '\n' << o.err;
    return o;
  }

  inline static std::filesystem::path tmp_;
};

TEST_F(CommandLine, MustFail) {
  std::ifstream table(std::string(MEZZO_SOURCE_DIR) + "/tests/cli/must_fail.txt");
  ASSERT_TRUE(table.good());
  Outcome outcome;
  std::string command;
  int cases = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.starts_with("$ ")) {
      command = line.substr(2);
      for (const char* leftover : {"o.npz", "o.onnx"}) std::filesystem::remove(path(leftover));
      outcome = mezzo(command);
      cases++;
      EXPECT_THAT(outcome.err, HasSubstr("error: ")) << command;
      EXPECT_EQ(outcome.out, "") << command;
      EXPECT_FALSE(std::filesystem::exists(path("o.npz")) || std::filesystem::exists(path("o.onnx")))
          << command;
    } else if (line.starts_with("exit ")) {
      EXPECT_EQ(outcome.code, std::stoi(line.substr(5))) << command << '\n' << outcome.err;
    } else if (line.starts_with("| ")) {
      EXPECT_THAT(outcome.err, HasSubstr(replace_all(line.substr(2), "{tmp}", tmp_.string()))) << command;
    } else {
      EXPECT_TRUE(line.empty() || line.starts_with("#")) << line;
    }
  }
  EXPECT_GE(cases, 40);
}

TEST_F(CommandLine, GradWritesLossOutputsAndGradients) {
  must_run("grad {models}/mlp.ts17.onnx --feed {tmp}/good.npz --precision fp16 --out {tmp}/g.npz");
  Arrays g = runtime::read_npz(path("g.npz"));
  EXPECT_EQ(g.at("loss").type(), (ir::Type{DType::f32, {}}));
  EXPECT_EQ(g.at("output:logits").type(), (ir::Type{DType::f32, {4, 10}}));
  EXPECT_EQ(g.at("grad:fc1.weight").type(), (ir::Type{DType::f32, {32, 64}}));
  EXPECT_EQ(g.size(), 8u);
}

TEST_F(CommandLine, TrainLogsAndSaves) {
  Outcome o = must_run(
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --batch 100 --epochs 2 --accumulate 4 --optimizer "
      "adamw --lr 1e-3 "
      "--eval {tmp}/good.npz --log {tmp}/l.jsonl --out {tmp}/trained.onnx --json");
  std::ifstream log(path("l.jsonl"));
  std::vector<nlohmann::json> steps, evaluations;
  for (std::string line; std::getline(log, line);) {
    auto row = nlohmann::json::parse(line);
    (row.contains("eval_loss") ? evaluations : steps).push_back(row);
  }
  ASSERT_EQ(steps.size(), 4u);  // 512 samples: windows of 400 and 112
  ASSERT_EQ(evaluations.size(), 2u);
  for (const char* key : {"step", "loss", "lr", "grad_norm", "scale", "skipped", "ms"})
    EXPECT_TRUE(steps[3].contains(key)) << key;
  EXPECT_EQ(steps[3]["step"], 4);
  EXPECT_EQ(steps[3]["lr"], 1e-3);
  EXPECT_EQ(evaluations[1]["epoch"], 2);
  EXPECT_EQ(evaluations[1]["step"], 4);
  auto summary = nlohmann::json::parse(o.out);
  EXPECT_EQ(summary["steps"], 4);
  must_run("run {tmp}/trained.onnx --feed {tmp}/feed.npz --out {tmp}/r.npz");
  EXPECT_EQ(runtime::read_npz(path("r.npz")).at("logits").type(), (ir::Type{DType::f32, {4, 10}}));
}

TEST_F(CommandLine, InterruptKeepsTheLastGoodState) {
  pid_t child = start(
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --batch 8 --steps 100000000 --log {tmp}/i.jsonl "
      "--out {tmp}/interrupted.onnx");
  for (int i = 0; i < 1000; i++) {  // until it has made some steps
    ::usleep(20000);
    if (std::filesystem::exists(path("i.jsonl")) && std::filesystem::file_size(path("i.jsonl")) > 500) break;
  }
  ::kill(child, SIGINT);
  Outcome o = finish(child);
  EXPECT_EQ(o.code, 130);
  EXPECT_THAT(o.err, HasSubstr("interrupted; the weights after the last complete step are in"));
  EXPECT_EQ(mezzo("inspect {tmp}/interrupted.onnx").code, 0);
}

// A limit on file sizes stands in for a full disk: the model (13 kB) does not fit.
TEST_F(CommandLine, FullDiskLeavesNoPartialFile) {
  Outcome o =
      finish(start("train {models}/mlp.ts17.onnx --data {tmp}/good.npz --batch 4 --steps 1 --cache-dir none "
                   "--out {tmp}/full.onnx",
                   [] {
                     rlimit small{4096, 4096};
                     ::setrlimit(RLIMIT_FSIZE, &small);
                   }));
  EXPECT_EQ(o.code, 3) << o.err;
  EXPECT_THAT(o.err, HasSubstr("File too large"));
  for (auto& entry : std::filesystem::directory_iterator(tmp_))
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr("full.onnx")));
}

TEST_F(CommandLine, StandardOutputIsDataOnly) {
  auto check = nlohmann::json::parse(must_run("check {models}/resnet.ts17.onnx --precision bf16 --json").out);
  EXPECT_EQ(check["trainable"], true);
  EXPECT_GT(check["parameters"].size(), 10u);
  auto inspect = nlohmann::json::parse(must_run("inspect {models}/mlp.ts17.onnx --json").out);
  EXPECT_EQ(inspect["parameter_count"], 32 * 64 + 32 + 24 * 32 + 24 + 10 * 24 + 10);
  auto bench = nlohmann::json::parse(must_run("bench {models}/mlp.ts17.onnx --batch 4 --steps 3 --json").out);
  for (const char* key :
       {"ms_min", "ms_median", "ms_max", "compile_ms", "planned_bytes", "peak_bytes", "kernels"})
    EXPECT_TRUE(bench.contains(key)) << key;
  EXPECT_THAT(must_run("version").out, testing::StartsWith("mezzo "));
  EXPECT_TRUE(nlohmann::json::parse(must_run("doctor --json").out).is_array());
}

TEST_F(CommandLine, CompletionScriptIsCurrent) {
  EXPECT_EQ(must_run("completion bash").out,
            runtime::read_file(std::string(MEZZO_SOURCE_DIR) + "/scripts/completion/mezzo.bash"))
      << "write it again: mezzo completion bash > scripts/completion/mezzo.bash";
}

}  // namespace
}  // namespace mezzo
