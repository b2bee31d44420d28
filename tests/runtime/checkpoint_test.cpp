#include "runtime/checkpoint.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "runtime/atomic_file.h"
#include "tests/paths.h"
#include "tests/runtime/test_device.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;
using ir::DType;
using ir::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

std::shared_ptr<LoadedModel> net(const std::string& name) {
  return std::make_shared<LoadedModel>(concat(MEZZO_SOURCE_DIR, "/models/fixtures/", name, ".ts17.onnx"));
}

CompileOptions options() {
  CompileOptions o;
  o.device = test_device();
  o.cache_dir = "none";
  o.precision = Precision::fp16;
  o.optimizer = AdamW{.lr = 1e-2};
  o.loss_scale = LossScale::dynamic(1024, 3);
  o.schedule = {.kind = Schedule::Kind::linear, .warmup = 2, .total = 20};
  return o;
}

Arrays batch(int64_t k, int64_t n = 6) {
  Tensor x({DType::f32, {n, 64}}), y({DType::i64, {n}});
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::sin(0.3 * static_cast<double>(i + k * 77)));
  for (int64_t i = 0; i < n; i++) y.set_int(i, (i * 3 + k) % 10);
  return {{"input", x}, {"labels", y}};
}

class Checkpoints : public testing::Test {
 protected:
  Checkpoints() { fs::create_directories(dir_); }
  ~Checkpoints() override { fs::remove_all(dir_); }
  std::string path(const std::string& name) const { return (dir_ / name).string(); }
  fs::path dir_ = fs::path(testing::TempDir()) / concat("mezzo_checkpoints_", ::getpid());
};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "no error";
}

// Cut anywhere, a run goes on with the same bits: losses, norms, learning rates, every state.
TEST_F(Checkpoints, ARunGoesOnBitForBit) {
  Session whole(net("mlp"), options());
  std::vector<StepResult> results;
  for (int64_t k = 0; k < 10; k++) {
    results.push_back(whole.step({batch(k)}));
    write_checkpoint(path(concat(k)), whole, concat("after ", k));
  }
  EXPECT_LT(results[0].lr, results[2].lr);
  EXPECT_GT(results[2].lr, results[9].lr);
  for (int64_t cut : {0, 3, 8}) {
    Session rest(net("mlp"), options());
    EXPECT_EQ(read_checkpoint(path(concat(cut)), rest), concat("after ", cut));
    for (int64_t k = cut + 1; k < 10; k++) {
      const StepResult r = rest.step({batch(k)}), &want = results[static_cast<size_t>(k)];
      ASSERT_EQ(r.step, want.step);
      ASSERT_EQ(r.loss, want.loss) << cut << ' ' << k;
      ASSERT_EQ(r.grad_norm, want.grad_norm);
      ASSERT_EQ(r.lr, want.lr);
      ASSERT_EQ(r.scale, want.scale);
    }
    EXPECT_EQ(rest.states().all(), whole.states().all());
    EXPECT_EQ(rest.names().trained, whole.names().trained);
  }
  // Without another step the trained names are there, too.
  Session none(net("mlp"), options());
  read_checkpoint(path("9"), none);
  none.save_onnx(path("a.onnx"));
  whole.save_onnx(path("b.onnx"));
  EXPECT_EQ(read_file(path("a.onnx")), read_file(path("b.onnx")));
}

TEST_F(Checkpoints, EveryDamagedBitIsFound) {
  Session session(net("mlp"), options());
  session.step({batch(0)});
  write_checkpoint(path("c"), session, "text");
  const std::string good = read_file(path("c"));
  std::mt19937 random(1);
  int same = 0;
  for (int i = 0; i < 1500; i++) {
    std::string bytes = good;
    // The header is short beside the tensors; half of the flips go there.
    const size_t at = random() % (i % 2 ? good.size() : std::min<size_t>(good.size(), 4000));
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    write_atomically(path("d"), bytes);
    Session other(net("mlp"), options());
    const std::string message = message_of([&] { read_checkpoint(path("d"), other); });
    if (message == "no error") {  // nothing that matters: the same states all the same
      same++;
      EXPECT_EQ(other.states().all(), session.states().all()) << at;
    } else {
      EXPECT_TRUE(other.states().all().empty());
    }
  }
  EXPECT_LT(same, 15);
  for (size_t keep : {size_t{0}, size_t{7}, good.size() / 2, good.size() - 1}) {
    write_atomically(path("d"), good.substr(0, keep));
    EXPECT_THAT(message_of([&] { read_checkpoint(path("d"), session); }), HasSubstr("safetensors"));
  }
}

TEST_F(Checkpoints, OfAnotherModel) {
  Session mlp(net("mlp"), options()), lenet(net("lenet"), options());
  mlp.step({batch(0)});
  write_checkpoint(path("c"), mlp, "");
  EXPECT_THAT(message_of([&] { read_checkpoint(path("c"), lenet); }), HasSubstr("belongs to another model"));
}

TEST_F(Checkpoints, TheNewestThatIsWhole) {
  CheckpointFolder folder(path("f"), 3);
  Session session(net("mlp"), options());
  std::vector<std::string> complaints;
  auto complain = [&](const std::string& e) { complaints.push_back(e); };
  EXPECT_FALSE(folder.read_newest(session, complain));
  for (int64_t k = 1; k <= 12; k++) {
    session.step({batch(k)});
    folder.write(k, session, concat("run ", k));
  }
  std::vector<std::string> names;
  for (auto& entry : fs::directory_iterator(path("f"))) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  EXPECT_THAT(names, ElementsAre("step-10.safetensors", "step-11.safetensors", "step-12.safetensors"));

  Session other(net("mlp"), options());
  EXPECT_EQ(folder.read_newest(other, complain), "run 12");
  EXPECT_THAT(complaints, ElementsAre());
  const std::string newest = read_file(path("f/step-12.safetensors"));
  write_atomically(path("f/step-12.safetensors"), newest.substr(0, newest.size() - 100));
  EXPECT_EQ(folder.read_newest(other, complain), "run 11");
  EXPECT_THAT(complaints, ElementsAre(HasSubstr("step-12.safetensors")));
}

// The loss and its gradient by torch's definition of label_smoothing, from the scores.
TEST(LabelSmoothing, LossAndGradient) {
  constexpr double kPart = 0.1;
  CompileOptions o = options();
  o.precision = Precision::fp32;
  o.loss = Loss::cross_entropy(kPart);
  Session session(net("mlp"), o);
  Arrays feeds = batch(1);
  feeds.at("labels").set_int(2, -100);
  const GradientOutcome g = session.gradients(feeds);
  const Tensor& scores = g.outputs.at("logits");
  double loss = 0;
  std::vector<double> bias(10);
  for (int64_t i = 0; i < 6; i++) {
    const int64_t label = feeds.at("labels").get_int(i);
    if (label < 0) continue;
    double sum = 0;
    for (int64_t c = 0; c < 10; c++) sum += std::exp(scores.get(i * 10 + c));
    for (int64_t c = 0; c < 10; c++) {
      const double target = kPart / 10 + (c == label ? 1 - kPart : 0);
      loss -= target * (scores.get(i * 10 + c) - std::log(sum)) / 5;
      bias[static_cast<size_t>(c)] += (std::exp(scores.get(i * 10 + c)) / sum - target) / 5;
    }
  }
  EXPECT_NEAR(g.loss, loss, 1e-5);
  for (int64_t c = 0; c < 10; c++)
    EXPECT_NEAR(g.gradients.at("fc3.bias").get(c), bias[static_cast<size_t>(c)], 1e-6);
  for (int64_t i = 0; i < 6; i++) feeds.at("labels").set_int(i, -100);
  EXPECT_EQ(session.gradients(feeds).loss, 0);
}

}  // namespace
}  // namespace mezzo::runtime
