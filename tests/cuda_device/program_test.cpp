// Programs on the device: what a run asks of the driver, capture and replay, results, and what happens when
// any call fails.
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "codegen/program.h"
#include "fake_device.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"

namespace mezzo::testing_cuda {
namespace {

using codegen::Bindings;
using codegen::DeviceMemory;
using ir::DType;
using ir::Graph;
using ir::Tensor;
using ir::Value;
using ::testing::HasSubstr;

// p -= rate * g, count += 1, the mean of p before; q takes the old p.
Graph step(int64_t n) {
  Graph g;
  Value grad = g.input("grad", {DType::f32, {n}}),
        p = g.state("p", {DType::f32, {n}}, ir::StateKind::parameter),
        q = g.state("q", {DType::f32, {n}}, ir::StateKind::slot),
        count = g.state("count", {DType::i64, {}}, ir::StateKind::counter),
        rate = g.state("rate", {DType::f64, {}}, ir::StateKind::scaler);
  auto kernel = [&](std::vector<Value> in, auto body_of) {
    Graph body;
    std::vector<Value> inside;
    for (size_t i = 0; i < in.size(); i++) inside.push_back(body.input(concat("i", i), in[i].type()));
    body.outputs.push_back({"o", body_of(inside)});
    return g.add(ir::get_op("Kernel"), in, {}, std::make_unique<Graph>(std::move(body)))->out();
  };
  Value next = kernel({p, grad, rate}, [](auto& v) { return v[0] - v[1] * ir::cast(v[2], DType::f32); });
  Value counted = kernel({count}, [](auto& v) { return v[0] + 1; });
  Value total = kernel({p}, [](auto& v) { return ir::reduce_sum(v[0], {0}); });
  g.outputs = {{"total", ir::reshape(total, {})}};
  g.updates = {{p.node, next}, {q.node, p}, {count.node, counted}};
  return g;
}

// A program with everything it runs on.
struct Running {
  Running(const Graph& graph, std::shared_ptr<codegen::cuda::CudaDevice> on, std::string cache = "")
      : g(ir::clone(graph)), device(on), program(codegen::compile_cuda(g, {on, cache, "", 1})) {
    arena = DeviceMemory(device, program->arena_bytes() + 64);
    for (const auto& n : g.nodes())
      if (ir::is_state(*n)) {
        host.push_back(ir::initial_value(g, *n));
        states.emplace_back(device, n->type().bytes());
        device->upload(states.back().data(), host.back().data(), host.back().bytes());
      }
  }
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs) {
    Bindings b;
    b.arena = arena.data();
    for (const Tensor& t : inputs) b.inputs.push_back(t.data());
    for (size_t i = 0; i < host.size(); i++) {
      b.states.push_back(states[i].data());
      b.state_copies.push_back(host[i].count() == 1 ? host[i].data() : nullptr);
    }
    std::vector<Tensor> out;
    for (const ir::Output& o : g.outputs) out.emplace_back(o.value.type());
    for (Tensor& t : out) b.outputs.push_back(t.data());
    program->run(b);
    return out;
  }
  Tensor state(size_t i) {
    Tensor t(host[i].type());
    device->download(t.data(), states[i].data(), t.bytes());
    return t;
  }

  Graph g;
  std::shared_ptr<codegen::cuda::CudaDevice> device;
  std::unique_ptr<codegen::Program> program;
  DeviceMemory arena;
  std::vector<DeviceMemory> states;
  std::vector<Tensor> host;
};

Tensor counting(int64_t n, double first) {
  Tensor t({DType::f32, {n}});
  for (int64_t i = 0; i < n; i++) t.set(i, first + static_cast<double>(i));
  return t;
}

class ProgramTest : public OnFakeDevice {};
class ProgramOnDevice : public OnDevice {};

TEST_F(ProgramOnDevice, RunsEqualTheEvaluator) {
  Graph g = step(1000);
  Running run(g, open());
  Tensor rate({DType::f64, {}});
  rate.set(0, 0.5);
  run.device->upload(run.states[3].data(), rate.data(), 8);
  std::map<std::string, Tensor> states{{"p", Tensor({DType::f32, {1000}})},
                                       {"q", Tensor({DType::f32, {1000}})},
                                       {"count", Tensor({DType::i64, {}})},
                                       {"rate", rate}};
  for (int k = 0; k < 5; k++) {  // the first directly, the second is captured, then replays
    Tensor grad = counting(1000, k);
    auto feeds = states;
    feeds.emplace("grad", grad);
    ir::EvalResult want = ir::evaluate(g, feeds, ir::EvalMode::rounded);
    auto got = run({grad});
    EXPECT_NEAR(got[0].get(0), want.outputs.at("total").get(0), 1e-2);
    for (auto& [name, value] : want.updates) states.at(name) = value;
    EXPECT_EQ(run.state(0), states.at("p")) << k;
    EXPECT_EQ(run.state(1), states.at("q")) << k;
    EXPECT_EQ(run.host[2].get_int(0), k + 1) << "the counter came back with the results";
  }
}

TEST_F(ProgramTest, AStepIsOneCopyAndOneGraph) {
  reset_calls();
  Running run(step(1000), open());
  Tensor grad = counting(1000, 0);
  run({grad});
  EXPECT_EQ(calls("cuGraphLaunch"), 0);
  run({grad});
  reset_calls();
  for (int k = 0; k < 10; k++) run({grad});
  EXPECT_EQ(calls("cuGraphLaunch"), 10);
  EXPECT_EQ(calls("cuMemcpyHtoDAsync_v2"), 10);
  EXPECT_EQ(waits(), 0);
  EXPECT_EQ(calls(""), 10 * 4) << "and entering the context twice";
  EXPECT_EQ(run.host[2].get_int(0), 12);
}

TEST_F(ProgramTest, OtherMemoryIsCapturedAgain) {
  Running run(step(64), open());
  Tensor grad = counting(64, 0);
  for (int k = 0; k < 3; k++) run({grad});
  DeviceMemory other(run.device, run.program->arena_bytes() + 64);
  std::swap(run.arena, other);
  other.reset();
  reset_calls();
  for (int k = 0; k < 3; k++) run({grad});
  EXPECT_EQ(calls("cuStreamBeginCapture_v2"), 1);
  EXPECT_EQ(calls("cuGraphLaunch"), 3);
  EXPECT_EQ(run.host[2].get_int(0), 6);
}

TEST_F(ProgramOnDevice, LargeResultsAreCopied) {
  Graph g;
  Value x = g.input("x", {DType::f32, {5000}});
  Graph body;
  Value bx = body.input("x", x.type());
  body.outputs = {{"y", bx * 2.0}};
  g.outputs = {{"y", g.add(ir::get_op("Kernel"), {x}, {}, std::make_unique<Graph>(std::move(body)))->out()}};
  Running run(g, open());
  for (int k = 0; k < 4; k++) {
    Tensor y = run({counting(5000, k)})[0];
    EXPECT_EQ(y.get(4999), 2.0 * (4999 + k));
  }
}

TEST_F(ProgramTest, LaunchesAreTimed) {
  Running run(step(64), open());
  Bindings b;
  Tensor grad = counting(64, 0), total({DType::f32, {}});
  b.arena = run.arena.data();
  b.inputs = {grad.data()};
  for (auto& s : run.states) b.states.push_back(s.data());
  b.outputs = {total.data()};
  std::vector<int64_t> ns;
  run.program->run_timed(b, ns);
  ASSERT_EQ(ns.size(), run.program->launches().size());
  for (int64_t t : ns) EXPECT_GT(t, 0);
}

// Every call of the driver from compilation to the third step fails once: an error with a name, and nothing
// is lost or kept.
TEST_F(ProgramTest, EveryCallMayFail) {
  auto device = open();
  Graph g = step(64);
  Tensor grad = counting(64, 0);
  auto everything = [&] {
    Running run(g, device);
    for (int k = 0; k < 3; k++) run({grad});
  };
  reset_calls();
  everything();
  const long total = calls("");
  int errors = 0;
  for (long n = 1; n <= total; n++)
    for (int error : {2, 700}) {
      fail("", n, error);
      try {
        everything();
      } catch (const Error& e) {
        errors++;
        EXPECT_EQ(e.code(), ErrorCode::out_of_memory) << e.what();
      } catch (const InternalError& e) {
        errors++;
        EXPECT_THAT(std::string(e.what()), ::testing::Not(::testing::IsEmpty()));
      }
      fail_nothing();
      fresh_context();
    }
  std::printf("%ld calls, each failing in two ways: %d errors\n", total, errors);
  EXPECT_GT(errors, total);
  everything();
}

// The same for allocations: out of memory at each, nothing leaks, and the next attempt works.
TEST_F(ProgramTest, OutOfMemoryAtEveryAllocation) {
  auto device = open();
  Graph g = step(64);
  Tensor grad = counting(64, 0);
  auto everything = [&] {
    Running run(g, device);
    for (int k = 0; k < 3; k++) run({grad});
  };
  int allocations = 0;
  for (const char* function :
       {"cuMemAlloc_v2", "cuMemHostAlloc", "cuModuleLoadDataEx", "cuGraphInstantiateWithFlags"}) {
    reset_calls();
    everything();
    const long total = calls(function), before = live();
    for (long n = 1; n <= total; n++, allocations++) {
      fail(function, n, 2);
      try {
        everything();
        ADD_FAILURE() << function << " " << n << " of " << total << " failed unnoticed";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::out_of_memory) << e.what();
        EXPECT_THAT(e.hint(), HasSubstr("smaller batch"));
      }
      EXPECT_EQ(live(), before) << function << " " << n;
    }
  }
  std::printf("out of memory at each of %d allocations\n", allocations);
  EXPECT_GE(allocations, 10);
  everything();
}

TEST_F(ProgramTest, CodeTheDriverRefusesIsCompiledAgain) {
  auto device = open();
  auto folder = std::filesystem::path(::testing::TempDir()) / concat("mezzo_refused_", ::getpid());
  Graph g = step(64);
  Tensor grad = counting(64, 0);
  { Running run(g, device, folder.string()); }
  fail("cuModuleLoadDataEx", 1, 200);  // the code from disk
  Running again(g, device, folder.string());
  again({grad});
  EXPECT_EQ(again.host[2].get_int(0), 1);
  fail("cuModuleLoadDataEx", 1, 200);
  EXPECT_THROW(Running(g, device, ""), InternalError);  // fresh code that is refused is a defect
  std::filesystem::remove_all(folder);
}

TEST_F(ProgramOnDevice, OtherThreadsMayRunIt) {
  Running run(step(64), open());
  Tensor grad = counting(64, 0);
  run({grad});
  std::thread([&] { run({grad}); }).join();
  EXPECT_EQ(run.host[2].get_int(0), 2);
}

}  // namespace
}  // namespace mezzo::testing_cuda
