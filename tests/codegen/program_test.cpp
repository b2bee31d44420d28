// Whole programs: states and their updates, aliases, copies; and the cache of compiled objects.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "codegen/cpu/generator_fingerprint.h"
#include "codegen/cpu/jit.h"
#include "codegen/loops.h"
#include "codegen/object_cache.h"
#include "ir/text.h"
#include "kernel_harness.h"
#include "passes/pipeline.h"

namespace mezzo::codegen::testing {
namespace {

namespace fs = std::filesystem;

// p -= 0.5 * g as a kernel; q takes the old p.
Graph step() {
  Graph g;
  Value grad = g.input("grad", {DType::f32, {4, 5}}),
        p = g.state("p", {DType::f32, {4, 5}}, ir::StateKind::parameter),
        q = g.state("q", {DType::f32, {4, 5}}, ir::StateKind::slot);
  Graph body;
  Value bp = body.input("p", p.type()), bg = body.input("g", grad.type());
  Value next = bp - bg * 0.5;
  body.outputs = {{"next", next}, {"low", ir::cast(next, DType::bf16)}};
  ir::Node* k = g.add(ir::get_op("Kernel"), {p, grad}, {}, std::make_unique<Graph>(std::move(body)));
  Value flat = ir::reshape(k->out(0), {20});
  g.outputs = {{"low", k->out(1)}, {"flat", flat}, {"old", p}};
  g.updates = {{p.node, k->out(0)}, {q.node, p}};
  return g;
}

void check_step(bool in_place, bool interpret) {
  Graph g = step();
  for (const auto& n : g.nodes())
    if (ir::is_kernel(*n)) n->offsets = {in_place ? -2 : 256, 0};
  g.arena_bytes = 512;
  std::vector<Tensor> inputs{random_tensor({DType::f32, {4, 5}}, 1, false)},
      states{random_tensor({DType::f32, {4, 5}}, 2, false), Tensor({DType::f32, {4, 5}})};
  Tensor before = states[0];
  auto want =
      ir::evaluate(g, {{"grad", inputs[0]}, {"p", states[0]}, {"q", states[1]}}, ir::EvalMode::rounded);
  auto program = compile_cpu(g, {.interpret = interpret});
  auto got = run_program(*program, g, inputs, &states);
  for (size_t k = 0; k < got.size(); k++)
    expect_same_bits(got[k], want.outputs.at(g.outputs[k].name), g.outputs[k].name);
  expect_same_bits(states[0], want.updates.at("p"), "p");
  expect_same_bits(states[1], before, "q");
}

TEST(Program, UpdatesByCopy) { check_step(false, false); }
TEST(Program, UpdatesInPlace) { check_step(true, false); }
TEST(Program, Interpreted) {
  check_step(false, true);
  check_step(true, true);
}

// A product that adds to a state, as plan_epilogues makes it, is one launch and writes over that state.
TEST(Program, ProductsAccumulateInPlace) {
  const Graph before = ir::parse(R"(graph main {
  input %x : f32[8,16]
  input %dy : f32[8,24]
  state $sum kind="accumulator" : f32[16,24]
  %0 = Constant 8 : f32[]
  %1 = Dot(%x, %dy) trans_a=1 : f32[16,24]
  %2 = Mul(%1, %0) : f32[16,24]
  %3 = Add($sum, %2) : f32[16,24]
  update $sum = %3 unconditional
}
)");
  const Graph g =
      passes::run_pipeline(ir::clone(before), {}, {.training = false, .first = "plan_epilogues"}).step;
  for (bool interpret : {false, true}) {
    auto program = compile_cpu(g, {.interpret = interpret});
    EXPECT_EQ(program->launches().size(), 1u) << "no kernel of its own and no copy";
    std::vector<Tensor> inputs, states;
    for (const auto& n : g.nodes())
      if (ir::is_input(*n) || ir::is_state(*n)) {
        Tensor t(n->type());  // of numbers whose sums are exact
        for (int64_t i = 0; i < t.count(); i++) t.set(i, static_cast<double>((i * 7 + 3) % 17 - 8) / 8);
        (ir::is_input(*n) ? inputs : states).push_back(std::move(t));
      }
    Tensor want = states[0];
    for (int k = 0; k < 3; k++) {
      run_program(*program, g, inputs, &states);
      want = ir::evaluate(before, {{"x", inputs[0]}, {"dy", inputs[1]}, {"sum", want}}, ir::EvalMode::rounded)
                 .updates.at("sum");
      expect_same_bits(states[0], want, "sum");
    }
  }
}

TEST(Program, TimesEveryLaunch) {
  Graph g = step();
  auto program = compile_cpu(g, {});
  std::vector<int64_t> ns;
  Tensor arena({DType::u8, {program->arena_bytes()}}), grad({DType::f32, {4, 5}}), p = grad, q = grad;
  Bindings b{arena.data(), {grad.data()}, {p.data(), q.data()}, {nullptr, nullptr, nullptr}};
  program->run_timed(b, ns);
  ASSERT_EQ(ns.size(), program->launches().size());
  EXPECT_GT(ns[0], 0);
  EXPECT_EQ(program->launches()[0].bytes, 20 * (4 + 4 + 4 + 2));
}

TEST(Program, AliasedOutputsAreWrittenAfterTheLastRead) {
  // y overwrites x, and the row is read twice: sum first, then the division.
  Graph g;
  Value x = g.state("x", {DType::f32, {6, 50}}, ir::StateKind::slot);
  Graph body;
  Value bx = body.input("x", x.type());
  Value twice = bx * 2.0;
  body.outputs = {{"twice", twice}, {"part", bx / ir::reduce_sum(bx, {1})}};
  ir::Node* k = g.add(ir::get_op("Kernel"), {x}, {}, std::make_unique<Graph>(std::move(body)));
  k->offsets = {-2, 0};
  g.arena_bytes = 6 * 50 * 4;
  g.updates = {{x.node, k->out(0)}};
  g.outputs = {{"part", k->out(1)}};
  std::vector<Tensor> states{random_tensor(x.type(), 3, false)};
  auto want = ir::evaluate(g, {{"x", states[0]}}, ir::EvalMode::rounded);
  auto program = compile_cpu(g, {});
  auto got = run_program(*program, g, {}, &states);
  expect_near(got[0], want.outputs.at("part"), 1e-4, "part");
  expect_same_bits(states[0], want.updates.at("x"), "x");
}

TEST(Program, EqualKernelsShareCode) {
  Graph body;
  std::vector<Tensor> inputs;
  for (int i = 0; i < 40; i++) {
    Value x = body.input(concat("x", i), {DType::f32, {33}});
    body.outputs.push_back({concat("y", i), ir::exp(x)});
    inputs.push_back(random_tensor(x.type(), static_cast<unsigned>(i)));
  }
  auto segments = find_segments(body, false);
  ASSERT_EQ(segments.size(), 40u);
  for (const Segment& s : segments) EXPECT_EQ(segment_text(body, s), segment_text(body, segments[0]));
  check_exact(body, inputs);
}

TEST(Program, BodiesOutsideTheContractAreInterpreted) {
  Graph g = [&] {
    Graph only;
    Value v = only.input("x", {DType::f32, {4, 6}});
    only.outputs = {{"y", ir::transpose(ir::reduce_sum(v, {1}), {1, 0}) * 2.0}};
    return around(only);
  }();
  auto program = compile_cpu(g, {});
  EXPECT_EQ(program->launches()[0].detail.substr(0, 11), "interpreted");
  std::vector<Tensor> inputs{random_tensor({DType::f32, {4, 6}}, 1, false)};
  auto want = ir::evaluate(g, {{"x", inputs[0]}}, ir::EvalMode::rounded);
  expect_same_bits(run_program(*program, g, inputs)[0], want.outputs.at("y"), "y");
}

class CacheFolder : public ::testing::Test {
 protected:
  CacheFolder() : path_(fs::temp_directory_path() / concat("mezzo-cache-test-", getpid())) {
    fs::remove_all(path_);
  }
  ~CacheFolder() override { fs::remove_all(path_); }
  fs::path path_;
};

TEST_F(CacheFolder, KeepsChecksAndTrims) {
  ObjectCache cache(path_.string(), 100);
  std::string key = ObjectCache::key("a");
  EXPECT_NE(key, ObjectCache::key("b"));
  EXPECT_FALSE(cache.load(key));
  cache.store(key, "content");
  EXPECT_EQ(cache.load(key), "content");
  for (const auto& e : fs::directory_iterator(path_)) std::ofstream(e.path(), std::ios::app) << "x";
  EXPECT_FALSE(cache.load(key)) << "a damaged entry counts as missing";
  for (int i = 0; i < 20; i++) cache.store(ObjectCache::key(concat(i)), std::string(20, 'x'));
  int64_t total = 0;
  for (const auto& e : fs::directory_iterator(path_)) total += static_cast<int64_t>(e.file_size());
  EXPECT_LE(total, 100);
  EXPECT_FALSE(ObjectCache("").load(key));
  ObjectCache("/proc/nowhere").store(key, "content");  // no folder, no cache, no error
}

TEST_F(CacheFolder, CodeIsCompiledOnce) {
  if (!cpu::jit_available()) GTEST_SKIP() << "built without MEZZO_CPU_JIT";
  auto compile = [&](int emitted_text) {
    cpu::KernelSource s{"f", concat("text", emitted_text), [](cpu::LoopEmitter& e, const std::string& name) {
                          e.open_function(name, 1, 0, 1);
                          e.store(0, DType::f32, 0, e.constant(DType::f32, {7, 0}));
                          e.close_function();
                        }};
    auto code = cpu::compile_kernels({s}, {.cache_dir = path_.string()});
    float out = 0;
    std::byte* buffers[] = {reinterpret_cast<std::byte*>(&out)};
    code->find("f")(buffers, 0, 1);
    EXPECT_EQ(out, 7);
    return code->cache_hits();
  };
  EXPECT_EQ(compile(1), 0);
  EXPECT_EQ(compile(1), 1);
  EXPECT_EQ(compile(2), 0) << "another text";
  for (const auto& e : fs::directory_iterator(path_)) fs::resize_file(e.path(), 20);
  EXPECT_EQ(compile(1), 0) << "damaged";
  EXPECT_EQ(compile(1), 1);
}

// A constant key part (an empty hash, a forgotten list of files) would let cached code of another build through.
TEST(GeneratorFingerprint, IsAHashOfSources) {
  const std::string fingerprint = cpu::kGeneratorFingerprint;
  EXPECT_EQ(fingerprint.size(), 64U);
  EXPECT_EQ(fingerprint.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(fingerprint, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");  // of nothing
}

}  // namespace
}  // namespace mezzo::codegen::testing
