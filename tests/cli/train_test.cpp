// `mezzo train`: data of other kinds than .npz, schedules, evaluation, and going on after an interruption.
#include "tests/cli/command_line.h"

namespace mezzo {
namespace {

using nlohmann::json;

struct Log {
  std::vector<json> steps, evaluations;
};

class Train : public CommandLine {
 protected:
  static Log read_log(const std::string& name) {
    Log log;
    std::ifstream in(path(name));
    for (std::string line; std::getline(in, line);) {
      json row = json::parse(line);
      row.erase("ms");
      (row.contains("eval_loss") ? log.evaluations : log.steps).push_back(row);
    }
    return log;
  }

  static std::string big_endian(std::initializer_list<uint32_t> values) {
    std::string out;
    for (uint32_t v : values)
      for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(v >> shift & 0xff);
    return out;
  }

  // 8 x 8 pictures whose class is the bright row.
  static void write_mnist(const std::string& part, uint32_t count) {
    std::string pictures = big_endian({0x803, count, 8, 8}), labels = big_endian({0x801, count});
    for (uint32_t n = 0; n < count; n++) {
      const uint32_t label = n * 5 % 8;
      for (uint32_t p = 0; p < 64; p++)
        pictures += static_cast<char>(p / 8 == label ? 200 + n % 50 : n * p % 40);
      labels += static_cast<char>(label);
    }
    std::filesystem::create_directories(tmp_ / "mnist");
    runtime::write_atomically(path("mnist/" + part + "-images-idx3-ubyte"), pictures);
    runtime::write_atomically(path("mnist/" + part + "-labels-idx1-ubyte"), labels);
  }

  // Waits until the log of a running command has `bytes`.
  static void wait_for(const std::string& log, uintmax_t bytes) {
    for (int i = 0; i < 3000; i++) {
      ::usleep(10000);
      if (std::filesystem::exists(path(log)) && std::filesystem::file_size(path(log)) > bytes) return;
    }
    ADD_FAILURE() << log << " does not grow";
  }
};

TEST_F(Train, OnMnistFilesWithScheduleGroupsAndBestModel) {
  write_mnist("train", 200);
  write_mnist("t10k", 40);
  const std::string common =
      "train {models}/mlp.ts17.onnx --data {tmp}/mnist --eval {tmp}/mnist --batch 20 --epochs 6 --optimizer "
      "adamw --lr "
      "1e-2 --schedule linear --warmup 10% --label-smoothing 0.1 --no-decay-on-vectors --group "
      "fc1.*:lr_scale=0.5 --eval-every "
      "2e --json ";
  Outcome o = must_run(common + "--best {tmp}/best.onnx --log {tmp}/m.jsonl --out {tmp}/m.onnx");
  Log log = read_log("m.jsonl");
  ASSERT_EQ(log.steps.size(), 60u);
  for (int t = 0; t < 60; t++) {
    const double factor = t < 6 ? t / 6.0 : 1 - (t - 6) / 54.0;
    EXPECT_NEAR(log.steps[static_cast<size_t>(t)]["lr"].get<double>(), 1e-2 * factor, 1e-12) << t;
  }
  ASSERT_EQ(log.evaluations.size(), 3u);
  EXPECT_EQ(log.evaluations[0]["epoch"], 2);
  EXPECT_EQ(log.evaluations[2]["step"], 60);
  EXPECT_GE(log.evaluations[2]["eval_top1"].get<double>(), 0.9);
  EXPECT_GE(log.evaluations[2]["eval_top5"].get<double>(), log.evaluations[2]["eval_top1"].get<double>());
  const json summary = json::parse(o.out);
  double best = 0;
  for (const json& e : log.evaluations) best = std::max(best, e["eval_top1"].get<double>());
  EXPECT_EQ(summary["best_top1"], best);
  EXPECT_EQ(mezzo("inspect {tmp}/best.onnx").code, 0);
  // Reading ahead changes nothing.
  must_run(common + "--prefetch 0 --log {tmp}/n.jsonl --out {tmp}/n.onnx");
  EXPECT_EQ(runtime::read_file(path("n.onnx")), runtime::read_file(path("m.onnx")));
}

// What the largest step will hold is told once, before it runs, and not on stdout, which is for data.
TEST_F(Train, TellsTheMemoryPlan) {
  const Outcome o = must_run(
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --batch 30 --accumulate 2 --optimizer adam "
      "--precision bf16 --epochs 1 --out {tmp}/plan.onnx");
  EXPECT_EQ(o.out, "");
  const size_t at = o.err.find("memory plan: ");
  ASSERT_NE(at, std::string::npos) << o.err;
  EXPECT_LT(at, o.err.find("epoch 1"));
  EXPECT_EQ(o.err.find("memory plan: ", at + 1), std::string::npos) << o.err;
  const std::string line = o.err.substr(at, o.err.find('\n', at) - at);
  for (const char* part : {"parameters ", "copies ", "slots ", "accumulators ", "inputs ", "arena "})
    EXPECT_THAT(line, HasSubstr(part));
}

// Interrupted, killed, cut in the middle of an epoch: the log and the model end with the same bits.
TEST_F(Train, ResumedRunsEndWithTheSameBits) {
  const std::string flags =
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --eval {tmp}/good.npz --batch 30 --precision fp16 "
      "--optimizer "
      "adam --lr 1e-3 --schedule step --lr-period 25 --seed 3 --eval-every 7 ";
  must_run(flags + "--steps 60 --log {tmp}/whole.jsonl --out {tmp}/whole.onnx");
  const std::string resumable =
      flags +
      "--checkpoint {tmp}/run --checkpoint-every 4 --resume --log {tmp}/r.jsonl --out "
      "{tmp}/r.onnx ";
  Outcome first = must_run(resumable + "--steps 18");
  EXPECT_THAT(first.err, HasSubstr("no checkpoint in"));
  std::filesystem::remove(path("run/step-18.safetensors"));  // as if killed after step 17
  Outcome rest = must_run(resumable + "--steps 60");
  EXPECT_THAT(rest.err, HasSubstr("resumes after step 16"));
  const Log want = read_log("whole.jsonl"), got = read_log("r.jsonl");
  EXPECT_EQ(got.steps, want.steps);
  ASSERT_EQ(got.evaluations.size(), want.evaluations.size());
  EXPECT_EQ(got.evaluations, want.evaluations);
  EXPECT_EQ(runtime::read_file(path("r.onnx")), runtime::read_file(path("whole.onnx")));
}

TEST_F(Train, KilledRunsGoOn) {
  const std::string flags =
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --batch 8 --lr 0.01 --momentum 0.9 --seed 5 "
      "--checkpoint-every 3 ";
  const std::string run = flags + "--checkpoint {tmp}/k --resume --log {tmp}/k.jsonl --out {tmp}/k.onnx ";
  int64_t bytes = 3000;
  for (int signal : {SIGKILL, SIGINT, SIGKILL}) {
    pid_t child = start(run + "--steps 100000000");
    wait_for("k.jsonl", static_cast<uintmax_t>(bytes));
    ::kill(child, signal);
    EXPECT_EQ(finish(child).code, signal == SIGINT ? 130 : 128 + SIGKILL);
    bytes = static_cast<int64_t>(std::filesystem::file_size(path("k.jsonl"))) + 3000;
  }
  int64_t newest = 0;
  for (auto& entry : std::filesystem::directory_iterator(path("k"))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-")) newest = std::max<int64_t>(newest, std::stoll(name.substr(5)));
  }
  ASSERT_GT(newest, 0);
  const std::string steps = concat("--steps ", newest + 20);
  must_run(run + steps);
  must_run(flags + "--log {tmp}/whole.jsonl --out {tmp}/whole.onnx " + steps);
  EXPECT_EQ(read_log("k.jsonl").steps, read_log("whole.jsonl").steps);
  EXPECT_EQ(runtime::read_file(path("k.onnx")), runtime::read_file(path("whole.onnx")));
}

TEST_F(Train, ResumeSaysWhatIsDifferent) {
  const std::string run =
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --batch 64 --checkpoint {tmp}/d --resume --out "
      "{tmp}/d.onnx ";
  must_run(run + "--steps 3");
  Outcome o = mezzo(run + "--steps 6 --optimizer adam");
  EXPECT_EQ(o.code, 2);
  EXPECT_THAT(o.err, HasSubstr("--optimizer was \"sgd\" and is \"adam\" now"));
  o = mezzo(
      "train {models}/lenet.ts17.onnx --data {tmp}/large.npz --batch 64 --checkpoint {tmp}/d --resume "
      "--steps 6 --out "
      "{tmp}/d.onnx");
  EXPECT_EQ(o.code, 3) << o.err;
}

}  // namespace
}  // namespace mezzo
