// The built `mezzo` command: what must fail (must_fail.txt), what the verbs write, interrupts and full disks.
#include "tests/cli/command_line.h"

#include <iostream>

namespace mezzo {
namespace {

TEST_F(CommandLine, MustFail) {
  std::ifstream table(MEZZO_SOURCE_DIR + "/tests/cli/must_fail.txt");
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

// What was trained until then is kept.
TEST_F(CommandLine, ErrorInALaterStepKeepsTheLastGoodState) {
  Outcome o = mezzo(
      "train {models}/mlp.ts17.onnx --data {tmp}/late.npz --no-shuffle --batch 4 --epochs 1 --out "
      "{tmp}/late.onnx");
  EXPECT_EQ(o.code, 3);
  EXPECT_THAT(o.err, HasSubstr("error: step 2: labels 'labels' hold 10 at position"));
  EXPECT_THAT(o.err, HasSubstr("the weights after the last complete step are in"));
  must_run(
      "train {models}/mlp.ts17.onnx --data {tmp}/late.npz --no-shuffle --batch 4 --steps 1 --out "
      "{tmp}/one.onnx");
  EXPECT_EQ(runtime::read_file(path("late.onnx")), runtime::read_file(path("one.onnx")));
}

TEST_F(CommandLine, FullDiskUnderTheLogKeepsTheLastGoodState) {
  Outcome o = mezzo(
      "train {models}/mlp.ts17.onnx --data {tmp}/good.npz --batch 4 --steps 5 --log /dev/full --out "
      "{tmp}/logged.onnx");
  EXPECT_EQ(o.code, 3);
  EXPECT_THAT(o.err, HasSubstr("error: cannot write '/dev/full': No space left on device"));
  EXPECT_THAT(o.err, HasSubstr("hint: free some space or write to another disk"));
  EXPECT_EQ(mezzo("inspect {tmp}/logged.onnx").code, 0);
}

TEST_F(CommandLine, FullDiskUnderTheOutput) {
  pid_t child = start("inspect {models}/mlp.ts17.onnx", [] {
    if (!std::freopen("/dev/full", "w", stdout)) _exit(99);
  });
  Outcome o = finish(child);
  EXPECT_EQ(o.code, 3);
  EXPECT_THAT(o.err, HasSubstr("error: cannot write to standard output"));
}

// A limit on the address space stands in for a machine without the memory.
TEST_F(CommandLine, TooLittleMemory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer reserves more addresses than the limit leaves";
#endif
  Outcome o = finish(start("bench {models}/mlp.ts17.onnx --batch 16000000 --steps 1", [] {
    rlimit small{rlim_t{3} << 30, rlim_t{3} << 30};
    ::setrlimit(RLIMIT_AS, &small);
  }));
  EXPECT_EQ(o.code, 5) << o.err;
  EXPECT_THAT(o.err, HasSubstr("hint: use a smaller batch"));
}

TEST_F(CommandLine, CheckIsOneReport) {
  Outcome text = must_run("check {models}/inference.ts17.onnx");
  EXPECT_EQ(text.err, "");
  for (const char* line :
       {"warning  folded-batchnorm\n", "    - /conv/Conv\n", "    - fc2.bias = fc1.bias\n",
        "    - onnx::MatMul_27 = transposed shared\n", "    repair: --tie-aliases", "warning  lost-dropout\n",
        "fc1.weight", "every operator between parameters and loss has a gradient\n",
        "RESULT: PASS (0 obstacles, 4 warnings, 2 notes)\n"})
    EXPECT_THAT(text.out, HasSubstr(line));
  auto json = nlohmann::json::parse(must_run("check {models}/inference.ts17.onnx --json").out);
  ASSERT_EQ(json["findings"].size(), 6u);
  EXPECT_EQ(json["findings"][0]["level"], "warning");
  EXPECT_EQ(json["findings"][0]["kind"], "folded-batchnorm");
  EXPECT_EQ(json["findings"][0]["nodes"], nlohmann::json({"/conv/Conv"}));
  EXPECT_TRUE(json["findings"][0].contains("what"));
  EXPECT_TRUE(json["findings"][0].contains("repair"));
}

// A file for three samples is examined with three.
TEST_F(CommandLine, CheckTakesTheFilesOwnBatch) {
  EXPECT_THAT(must_run("check {models}/convnext.ts13.onnx").out, HasSubstr("RESULT: PASS"));
  Outcome o = mezzo("check {models}/convnext.ts13.onnx --batch 2");
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("the model is made for another batch than 2"));
}

// What ends the examination is an error, and one finding among the others.
TEST_F(CommandLine, CheckReportsWhatItFoundBeforeAnError) {
  Outcome o = mezzo("check {models}/inference.ts17.onnx --loss output");
  EXPECT_EQ(o.code, 3);
  EXPECT_THAT(o.err, HasSubstr("error: output 'logits'"));
  EXPECT_THAT(o.out, HasSubstr("obstacle  cannot-build\n"));
  EXPECT_THAT(o.out, HasSubstr("warning  folded-batchnorm\n"));
  EXPECT_THAT(o.out, HasSubstr("RESULT: FAIL (1 obstacle, 4 warnings, 2 notes)\n"));
}

TEST_F(CommandLine, StandardOutputIsDataOnly) {
  auto check = nlohmann::json::parse(must_run("check {models}/resnet.ts17.onnx --precision bf16 --json").out);
  EXPECT_EQ(check["trainable"], true);
  EXPECT_GT(check["parameters"].size(), 10u);
  auto inspect = nlohmann::json::parse(must_run("inspect {models}/mlp.ts17.onnx --json").out);
  EXPECT_EQ(inspect["parameter_count"], 32 * 64 + 32 + 24 * 32 + 24 + 10 * 24 + 10);
  auto bench = nlohmann::json::parse(must_run("bench {models}/mlp.ts17.onnx --batch 4 --steps 3 --json").out);
  for (const char* key : {"ms_min", "ms_median", "ms_max", "compile_ms", "planned_bytes", "peak_bytes",
                          "libraries_bytes", "kernels"})
    EXPECT_TRUE(bench.contains(key)) << key;
  EXPECT_THAT(must_run("version").out, testing::StartsWith("mezzo "));
  EXPECT_TRUE(nlohmann::json::parse(must_run("doctor --json").out).is_array());
}

double children_seconds() {
  rusage used;
  ::getrusage(RUSAGE_CHILDREN, &used);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// Processor time, because other work on the machine does not count in it. The aim is 2 s cold and 0.3 s from
// the cache; the second bound leaves room for caches that others fill.
TEST_F(CommandLine, CompilationTakesLittleTime) {
#ifndef NDEBUG
  GTEST_SKIP() << "not an optimized build";
#endif
  for (const char* model : {"mlp", "lenet", "digits_cnn", "resnet"}) {
    std::string line = concat("compile {models}/", model,
                              ".ts17.onnx --batch 32 --optimizer adamw --precision bf16 --dump {tmp}/", model,
                              " --cache-dir {tmp}/cache_", model);
    double seconds[2];
    for (double& s : seconds) {
      double before = children_seconds();
      must_run(line);
      s = children_seconds() - before;
    }
    std::cout << model << ": " << seconds[0] << " s cold, " << seconds[1] << " s from the cache\n";
    EXPECT_LT(seconds[0], 2.0) << model;
    EXPECT_LT(seconds[1], 0.6) << model;
  }
}

TEST_F(CommandLine, CompileAndItsDumpCountTheSameMemory) {
  std::string command = "compile {models}/resnet.ts17.onnx --batch 4 --optimizer adam --dump {tmp}/memory";
  Outcome text = must_run(command);
  auto json = nlohmann::json::parse(must_run(command + " --json").out);
  std::string file = runtime::read_file(path("memory/memory.txt"));
  auto bytes = [&](const std::string& row) {
    size_t at = file.find('\n' + row + ' ');
    EXPECT_NE(at, std::string::npos) << row;
    return std::stoll(file.substr(at + 1 + row.size()));
  };
  EXPECT_EQ(json["arena_bytes"], bytes("arena"));
  EXPECT_EQ(json["max_live_bytes"], bytes("  most alive"));
  EXPECT_EQ(json["scratch_bytes"], bytes("scratch"));
  EXPECT_EQ(json["planned_bytes"], bytes("total"));
  EXPECT_LE(bytes("arena"), bytes("  most alive") * 11 / 10);  // of the lower bound
  EXPECT_THAT(text.out, HasSubstr(file.substr(0, file.find("most is alive at"))));
}

TEST_F(CommandLine, CompletionScriptIsCurrent) {
  EXPECT_EQ(must_run("completion bash").out,
            runtime::read_file(MEZZO_SOURCE_DIR + "/scripts/completion/mezzo.bash"))
      << "write it again: mezzo completion bash > scripts/completion/mezzo.bash";
}

}  // namespace
}  // namespace mezzo
