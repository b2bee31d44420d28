// A loop over time whose step reads a constant of several elements from memory: on the device, on the CPU and
// in the evaluator.
#include "codegen/program.h"
#include "fake_device.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "passes/pipeline.h"

namespace mezzo::testing_cuda {
namespace {

using ir::Dims;
using ir::DType;
using ir::Graph;
using ir::Tensor;
using ir::Value;

constexpr int64_t kSteps = 4;
const Dims kState{3, 5};

Tensor numbers(const Dims& dims, double scale) {
  Tensor t({DType::f32, dims});
  for (int64_t i = 0; i < t.count(); i++) t.set(i, scale * static_cast<double>((i * 7 + 3) % 11 - 5));
  return t;
}

// s = tanh(s c + x), with c constant.
Graph loop_with_constant() {
  Graph g;
  auto body = std::make_unique<Graph>();
  Value s = body->input("s", {DType::f32, kState}), x = body->input("x", {DType::f32, kState});
  body->outputs = {{"s", ir::tanh(s * body->constant(numbers(kState, 0.25)) + x)}};
  const ir::Node* loop =
      g.add(ir::get_op("TimeLoop"),
            {g.input("start", {DType::f32, kState}), g.input("xs", {DType::f32, {kSteps, 3, 5}})},
            {{"steps", kSteps}, {"carried", int64_t{1}}, {"scanned", int64_t{1}}}, std::move(body));
  g.outputs = {{"last", loop->out(0)}, {"all", loop->out(1)}};
  return g;
}

std::vector<Tensor> results(codegen::Program& program, const Graph& g, std::byte* arena,
                            const std::map<std::string, Tensor>& feeds) {
  codegen::Bindings bindings;
  bindings.arena = arena;
  for (const auto& n : g.nodes())
    if (ir::is_input(*n)) bindings.inputs.push_back(feeds.at(n->s("name")).data());
  std::vector<Tensor> out;
  for (const ir::Output& o : g.outputs) out.emplace_back(o.value.type());
  for (Tensor& t : out) bindings.outputs.push_back(t.data());
  for (int k = 0; k < 3; k++) program.run(bindings);  // launch by launch, captured, replayed
  return out;
}

class TimeLoops : public OnDevice {};

TEST_F(TimeLoops, ReadConstantsOfTheirStep) {
  const Graph before = loop_with_constant();
  const Graph g = passes::run_pipeline(ir::clone(before), {}, {.training = false, .first = "expand"}).step;
  const std::map<std::string, Tensor> feeds{{"start", numbers(kState, 0.5)},
                                            {"xs", numbers({kSteps, 3, 5}, 0.125)}};
  const auto want = ir::evaluate(before, feeds, ir::EvalMode::rounded).outputs;

  auto cpu = codegen::compile_cpu(g, {.threads = 1});
  std::vector<std::byte> room(static_cast<size_t>(cpu->arena_bytes()) + 64);
  auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(room.data()) + 63) / 64 * 64);
  const std::vector<Tensor> on_cpu = results(*cpu, g, aligned, feeds);

  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  codegen::DeviceMemory arena(device, program->arena_bytes() + 64);
  const std::vector<Tensor> on_device = results(*program, g, arena.data(), feeds);
  for (size_t k = 0; k < g.outputs.size(); k++) {
    EXPECT_EQ(on_device[k], on_cpu[k]) << g.outputs[k].name;
    EXPECT_EQ(on_device[k], want.at(g.outputs[k].name)) << g.outputs[k].name;
  }
}

}  // namespace
}  // namespace mezzo::testing_cuda
