#include "runtime/session.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/atomic_file.h"
#include "tests/paths.h"
#include "tests/runtime/test_device.h"

namespace mezzo::runtime {
namespace {

using ir::DType;
using ir::Tensor;
using testing::HasSubstr;

std::shared_ptr<LoadedModel> mlp() {
  return std::make_shared<LoadedModel>(MEZZO_SOURCE_DIR + "/models/fixtures/mlp.ts17.onnx");
}

CompileOptions options(Precision precision = Precision::fp32) {
  CompileOptions o;
  o.device = test_device();
  o.precision = precision;
  o.cache_dir = "none";
  o.optimizer = SGD{.lr = 0.1, .momentum = 0.9};
  return o;
}

// Deterministic samples: values in [-1, 1], classes 0..9.
Arrays batch(int64_t n, int64_t first = 0) {
  Tensor x({DType::f32, {n, 64}}), y({DType::i64, {n}});
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::sin(0.7 * static_cast<double>(i + first * 64)));
  for (int64_t i = 0; i < n; i++) y.set_int(i, (i + first) * 7 % 10);
  return {{"input", x}, {"labels", y}};
}

Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return Error(ErrorCode::usage, "no error");
}

TEST(Session, StepsReduceTheLoss) {
  Session session(mlp(), options());
  double first = session.step({batch(8)}).loss, last = first;
  for (int i = 0; i < 20; i++) last = session.step({batch(8)}).loss;
  EXPECT_LT(last, 0.5 * first);
}

// The window's loss and gradient are means over its samples: 5 + 3 in two micro-batches move the weights as 8
// in one.
TEST(Session, WindowEqualsOneBatch) {
  Session one(mlp(), options()), two(mlp(), options());
  Arrays tail = batch(3, 5);
  for (int i = 0; i < 3; i++) {
    StepResult a = one.step({batch(8)}), b = two.step({batch(5), tail});
    EXPECT_NEAR(a.loss, b.loss, 1e-5);
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-5);
    EXPECT_EQ(b.step, i + 1);
  }
  for (auto& name : one.parameters())
    for (int64_t i = 0; i < one.parameter(name).count(); i++)
      ASSERT_NEAR(one.parameter(name).get(i), two.parameter(name).get(i), 1e-5) << name;
}

TEST(Session, QuestionsChangeNothing) {
  Session session(mlp(), options(Precision::fp16));
  session.step({batch(8)});
  auto before = session.states().all();
  session.gradients(batch(8));
  session.evaluate(batch(4));
  for (auto& [name, value] : before) EXPECT_EQ(session.states().at(name), value) << name;
}

TEST(Session, SameSeedSameBits) {
  Session a(mlp(), options(Precision::bf16)), b(mlp(), options(Precision::bf16));
  for (int i = 0; i < 3; i++) EXPECT_EQ(a.step({batch(8, i)}).loss, b.step({batch(8, i)}).loss);
  for (auto& name : a.parameters()) EXPECT_EQ(a.parameter(name), b.parameter(name)) << name;
}

// An infinity in the data makes the gradients non-finite: the whole step is skipped, and the report names the
// input.
TEST(Session, SkippedStepIsReportedAndChangesNothing) {
  Session session(mlp(), options(Precision::fp16));
  StepResult good;
  do good = session.step({batch(8)});
  while (good.skipped);
  Arrays poisoned = batch(8);
  poisoned.at("input").set(17, INFINITY);
  auto before = session.states().all();
  StepResult r = session.step({poisoned});
  EXPECT_TRUE(r.skipped);
  ASSERT_TRUE(r.overflow.has_value());
  EXPECT_THAT(r.overflow->op, HasSubstr("input"));
  EXPECT_EQ(r.overflow->phase, "forward");
  for (auto& name : session.parameters()) {
    EXPECT_EQ(session.parameter(name), before.at(name)) << name;
    EXPECT_EQ(session.states().at(name + ".momentum"), before.at(name + ".momentum")) << name;
  }
  EXPECT_EQ(session.states().at("mezzo.step"), before.at("mezzo.step"));
  EXPECT_EQ(session.states().at("mezzo.scale").get(0), good.scale / 2);
  EXPECT_FALSE(session.step({batch(8)}).skipped);
}

TEST(Session, TenSkipsInARowAreAnError) {
  Session session(mlp(), options());
  Arrays poisoned = batch(4);
  poisoned.at("input").set(0, INFINITY);
  for (int i = 0; i < 9; i++) EXPECT_TRUE(session.step({poisoned}).skipped);
  Error e = error_of([&] { session.step({poisoned}); });
  EXPECT_EQ(e.code(), ErrorCode::check_failed);
  EXPECT_THAT(e.what(), HasSubstr("10 steps in a row were skipped"));
  EXPECT_THAT(e.what(), HasSubstr("input"));
}

TEST(Session, BadFeedsAreNamedAndLeaveTheStateAlone) {
  Session session(mlp(), options());
  session.step({batch(4)});
  auto before = session.states().all();
  auto error = [&](const std::function<void(Arrays&)>& spoil) {
    Arrays feeds = batch(4);
    spoil(feeds);
    return error_of([&] { session.step({feeds}); });
  };
  Error e = error([](Arrays& f) { f.at("labels").set_int(2, 10); });
  EXPECT_EQ(e.code(), ErrorCode::bad_input);
  EXPECT_THAT(e.what(),
              HasSubstr("step 2: labels 'labels' hold 10 at position 2, the model has classes 0 to 9"));
  e = error([](Arrays& f) { f.at("labels").set_int(2, -1); });
  EXPECT_THAT(e.what(), HasSubstr("hold -1"));
  e = error([](Arrays& f) { f.at("labels") = f.at("labels").cast(DType::f32); });
  EXPECT_THAT(e.what(), HasSubstr("labels 'labels' hold f32, class ids are integers"));
  e = error([](Arrays& f) { f.erase("input"); });
  EXPECT_THAT(e.what(), HasSubstr("input 'input' is missing"));
  e = error([](Arrays& f) { f.insert({"inptu", Tensor::scalar(1)}); });
  EXPECT_THAT(e.hint(), HasSubstr("did you mean 'input'?"));
  e = error([](Arrays& f) { f.at("input").set(3, NAN); });
  EXPECT_THAT(e.what(), HasSubstr("array 'input' holds NaN at position 3 of 256"));
  e = error([](Arrays& f) { f.at("input") = Tensor({DType::f32, {4, 63}}); });
  EXPECT_THAT(e.what(), HasSubstr("[4,63]"));
  for (auto& [name, value] : before) EXPECT_EQ(session.states().at(name), value) << name;
}

TEST(Session, IgnoredLabelsDoNotCount) {
  Session session(mlp(), options());
  Arrays six = batch(6), four = batch(4);
  six.at("labels").set_int(4, -100);
  six.at("labels").set_int(5, -100);
  EXPECT_NEAR(session.gradients(six).loss, session.gradients(four).loss, 1e-6);
}

TEST(Session, EvaluationCountsHits) {
  Session session(mlp(), options());
  for (int i = 0; i < 30; i++) session.step({batch(8)});
  EvalOutcome e = session.evaluate(batch(8));
  EXPECT_EQ(e.hits.counted, 8);
  EXPECT_EQ(e.hits.right, 8);
  EXPECT_NEAR(e.loss, session.gradients(batch(8)).loss, 1e-5);
  Arrays unlabelled = batch(8);
  unlabelled.erase("labels");
  EXPECT_EQ(session.evaluate(unlabelled).outputs.at("logits"), e.outputs.at("logits"));
}

TEST(Session, SavedModelGivesTheSameOutputs) {
  Session session(mlp(), options());
  for (int i = 0; i < 3; i++) session.step({batch(8)});
  std::string path = testing::TempDir() + "mezzo_saved_" + std::to_string(::getpid()) + ".onnx";
  session.save_onnx(path);
  Arrays input = batch(8);
  input.erase("labels");
  Arrays outputs = infer(LoadedModel(path), input, options());
  EXPECT_EQ(outputs.at("logits"), session.evaluate(input).outputs.at("logits"));
  std::filesystem::remove(path);
}

// Two sessions in two threads give the bits that they give one after the other.
TEST(Session, TwoThreads) {
  auto train = [](int64_t first) {
    Session session(mlp(), options());
    for (int i = 0; i < 5; i++) session.step({batch(8, first + i)});
    return session.parameter("fc1.weight");
  };
  Tensor a = train(0), b = train(100), a2, b2;
  std::thread left([&] { a2 = train(0); }), right([&] { b2 = train(100); });
  left.join();
  right.join();
  EXPECT_EQ(a, a2);
  EXPECT_EQ(b, b2);
}

TEST(Session, FrozenWeightsStay) {
  CompileOptions o = options();
  o.freeze = {"fc1.*"};
  Session session(mlp(), o);
  session.step({batch(8)});
  EXPECT_THAT(session.parameters(), testing::ElementsAre("fc2.bias", "fc2.weight", "fc3.bias", "fc3.weight"));
  o.freeze = {"fc9.*"};
  EXPECT_EQ(error_of([&] { Session(mlp(), o).step({batch(8)}); }).code(), ErrorCode::usage);
}

TEST(Session, DumpHoldsTheStagesOfOneCompilation) {
  CompileOptions o = options(Precision::bf16);
  o.dump_dir = testing::TempDir() + "mezzo_dump_" + std::to_string(::getpid());
  std::filesystem::create_directories(o.dump_dir);
  for (const char* file :
       {"17-earlier.ir", "window-03-earlier.ir", "kernels.99.ll", "mine.ir", "kernels.txt"})
    std::ofstream(o.dump_dir + "/" + file) << "text";
  Session(mlp(), o).step({batch(4)});
  EXPECT_THAT(read_file(o.dump_dir + "/plan.txt"), HasSubstr("bf16"));
  EXPECT_THAT(read_file(o.dump_dir + "/memory.txt"), HasSubstr("most is alive at"));
  EXPECT_TRUE(std::filesystem::exists(o.dump_dir + "/00-import.ir"));
  for (const char* file : {"17-earlier.ir", "window-03-earlier.ir", "kernels.99.ll"})
    EXPECT_FALSE(std::filesystem::exists(o.dump_dir + "/" + file)) << file;
  for (const char* file : {"mine.ir", "kernels.txt"})
    EXPECT_TRUE(std::filesystem::exists(o.dump_dir + "/" + file)) << file;
  std::filesystem::remove_all(o.dump_dir);
}

}  // namespace
}  // namespace mezzo::runtime
