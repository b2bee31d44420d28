// `--device cuda` on the fake driver: the whole command, and what doctor says about it.
#include "tests/cli/command_line.h"

namespace mezzo {
namespace {

TEST_F(CommandLine, TrainsOnTheFakeDevice) {
  const std::string fake = "MEZZO_CUDA_PATH={fake} ";
  const std::string train =
      "train {models}/mlp.ts17.onnx --data {tmp}/large.npz --batch 64 --steps 6 --optimizer adamw --lr 1e-2 "
      "--precision fp16 --eval {tmp}/good.npz --log {tmp}/d.jsonl --out {tmp}/d.onnx --device ";
  auto losses = [&] {
    std::vector<double> out;
    std::ifstream log(path("d.jsonl"));
    for (std::string line; std::getline(log, line);) {
      auto row = nlohmann::json::parse(line);
      out.push_back(row.contains("eval_loss") ? row["eval_loss"] : row["loss"]);
    }
    return out;
  };
  must_run(fake + train + "cuda");
  auto cuda = losses();
  must_run(fake + "run {tmp}/d.onnx --feed {tmp}/feed.npz --out {tmp}/r.npz --device cuda");
  must_run(train + "cpu");
  auto cpu = losses();
  ASSERT_EQ(cuda.size(), cpu.size());
  for (size_t i = 0; i < cpu.size(); i++) EXPECT_NEAR(cuda[i], cpu[i], 1e-2 * cpu[i]) << i;
  auto doctor = [&](const std::string& variables) {
    std::map<std::string, nlohmann::json> by_name;
    for (auto& f : nlohmann::json::parse(must_run(variables + "doctor --json").out)) by_name[f["what"]] = f;
    return by_name;
  };
  auto by_name = doctor(fake);
  EXPECT_EQ(by_name["CUDA driver"]["found_by"], "MEZZO_CUDA_PATH");
  EXPECT_EQ(by_name["NVRTC"]["state"], "13.0");
  EXPECT_THAT(by_name["cuda device"]["state"].get<std::string>(),
              HasSubstr("Fake GPU, compute capability 9.0"));
  EXPECT_EQ(by_name["cuDNN"]["state"], "not found");
  EXPECT_THAT(by_name["cuDNN"]["lost"].get<std::string>(), HasSubstr("own kernels"));
  by_name = doctor(fake + "MEZZO_DEBUG= ");
  EXPECT_EQ(by_name["cuDNN"]["state"], "9.19.0");
  EXPECT_EQ(by_name["cuDNN"]["found_by"], "MEZZO_CUDA_PATH");
}

}  // namespace
}  // namespace mezzo
