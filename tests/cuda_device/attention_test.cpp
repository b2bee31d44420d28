// Attention whose weights may be narrow: cuDNN's fused kernels; the fake library computes the very graphs
// that describe them, operation by operation. With strict weights, shared heads, a mask or dropout it is our
// own.
#include "device_run.h"
#include "ir/eval.h"

namespace mezzo::testing_cuda {
namespace {

using ir::Dims;
using ir::DType;
using ir::Graph;
using ir::Tensor;

struct Form {
  const char* name;
  DType type;
  bool causal, inner_heads;
  int64_t narrow = 1, length = 64, row = 32, kv_heads = 3;
  bool mask = false;
  double ratio = 0;
};

// Y, the logarithms of the sums, and all gradients.
Graph attention(const Form& f) {
  constexpr int64_t kBatch = 2, kHeads = 3;
  auto rows = [&](int64_t heads) {
    return f.inner_heads ? Dims{kBatch, f.length, heads, f.row} : Dims{kBatch, heads, f.length, f.row};
  };
  Graph g;
  auto input = [&](const char* name, int64_t heads) { return g.input(name, {f.type, rows(heads)}); };
  ir::Values in{input("q", kHeads), input("k", f.kv_heads), input("v", f.kv_heads)};
  ir::Attrs attrs{{"scale", 1 / std::sqrt(static_cast<double>(f.row))}, {"narrow_weights", f.narrow}};
  ir::Value mask, key;
  if (f.mask) mask = g.input("mask", {DType::f32, {kBatch, 1, 1, f.length}});
  if (f.ratio > 0) {
    attrs["ratio"] = f.ratio, attrs["stream"] = int64_t{3};
    key = g.input("key", {DType::u32, {2}});
  }
  if (f.causal) attrs["upper"] = int64_t{0};
  if (f.inner_heads) attrs["inner_heads"] = ir::Ints{0, 1, 2, 3};
  const ir::Node* forward =
      g.add(ir::get_op("ScaledDotProductAttention"), {in[0], in[1], in[2], mask, key}, attrs);
  for (ir::Value v : {forward->out(0), forward->out(1), input("dy", kHeads), mask, {}, key}) in.push_back(v);
  const ir::Node* backward = g.add(ir::get_op("ScaledDotProductAttentionGrad"), in, attrs);
  g.outputs = {{"y", forward->out(0)}, {"sums", forward->out(1)}};
  for (int k = 0; k < 3; k++) g.outputs.push_back({concat("d", "qkv"[k]), backward->out(k)});
  return g;
}

class AttentionTest : public OnDevice, public ::testing::WithParamInterface<Form> {};

TEST_P(AttentionTest, EqualsTheEvaluator) {
  Graph g = attention(GetParam());
  place_results(g);
  auto device = open();
  auto program = codegen::compile_cuda(g, {device, "", "", 1});
  const Form& f = GetParam();
  const bool library = f.narrow && !f.mask && f.ratio == 0 && f.kv_heads == 3;
  for (const codegen::LaunchInfo& info : program->launches())
    EXPECT_TRUE(kReal || info.detail.starts_with(library ? "cuDNN attention" : "own attention"))
        << info.name << ": " << info.detail;
  DeviceRun on_device(g, *program, device, [seed = 1u](int64_t) mutable {
    return static_cast<double>((seed = seed * 1664525 + 1013904223) >> 8) / (1 << 23) - 1;
  });
  const auto want = ir::evaluate(g, on_device.feeds, ir::EvalMode::rounded).outputs;
  for (int run = 0; run < 3; run++) {
    on_device.run();
    for (size_t k = 0; k < g.outputs.size(); k++) {
      const Tensor &got = on_device.outputs[k], &expected = want.at(g.outputs[k].name);
      double error = 0, norm = 0;
      for (int64_t i = 0; i < expected.count(); i++) {
        error += std::pow(got.get(i) - expected.get(i), 2);
        norm += std::pow(expected.get(i), 2);
      }
      EXPECT_LE(std::sqrt(error / norm), 1e-2) << g.outputs[k].name << ", run " << run;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, AttentionTest,
    ::testing::Values(Form{"bf16", DType::bf16, false, false},
                      Form{"bf16_causal_heads_inside", DType::bf16, true, true},
                      Form{"f16_causal", DType::f16, true, false},
                      Form{"f16_heads_inside", DType::f16, false, true},
                      Form{"bf16_strict", DType::bf16, true, true, 0, 150, 64},
                      Form{"f16_strict_long_rows", DType::f16, false, false, 0, 70, 128},
                      Form{"bf16_strict_mask_shared", DType::bf16, false, false, 0, 100, 40, 1, true},
                      Form{"bf16_dropout", DType::bf16, true, true, 1, 100, 64, 3, false, 0.2},
                      Form{"f16_strict_dropout", DType::f16, false, true, 0, 100, 64, 1, true, 0.2}),
    [](const auto& form) { return std::string(form.param.name); });

}  // namespace
}  // namespace mezzo::testing_cuda
