// The tiled attention kernels against the evaluator: every layout, mask and type, across the borders of
// tiles.
#include "ir/attention.h"
#include "kernel_harness.h"

namespace mezzo::codegen::testing {
namespace {

struct Shape {
  int64_t batch, heads, kv_heads, queries, keys, head, value;
};

struct Form {
  DType dtype = DType::f32;
  ir::Attrs attrs = {};
  std::optional<Type> mask = {};
};

// Y, the gradients of Q, K, V and, of a float mask, the scores' for an arbitrary dY.
Graph attention(const Shape& s, const Form& f) {
  ir::Ints inner;
  if (auto it = f.attrs.find("inner_heads"); it != f.attrs.end()) inner = std::get<ir::Ints>(it->second);
  auto dims = [&](int64_t operand, ir::Dims d) {
    if (std::find(inner.begin(), inner.end(), operand) != inner.end()) std::swap(d[1], d[2]);
    return d;
  };
  Graph g;
  auto input = [&](const char* name, ir::Dims d) { return g.input(name, {f.dtype, std::move(d)}); };
  Value q = input("q", dims(0, {s.batch, s.heads, s.queries, s.head}));
  Value k = input("k", dims(1, {s.batch, s.kv_heads, s.keys, s.head}));
  Value v = input("v", dims(2, {s.batch, s.kv_heads, s.keys, s.value}));
  Value dy = input("dy", dims(3, {s.batch, s.heads, s.queries, s.value}));
  ir::Values operands{q, k, v};
  if (f.mask) operands.push_back(g.input("mask", *f.mask));
  Value key;
  if (f.attrs.count("ratio")) {
    key = g.input("key", {DType::u32, {2}});
    operands.resize(ir::AttentionInput::forward_key);
    operands.push_back(key);
  }
  auto forward = ir::apply_all("ScaledDotProductAttention", operands, f.attrs);
  ir::Attrs attrs = f.attrs;
  const bool scores = f.mask && ir::is_float(f.mask->dtype);
  if (scores) attrs["scores"] = int64_t{1};
  auto d =
      ir::apply_all("ScaledDotProductAttentionGrad",
                    {q, k, v, forward[0], forward[1], dy, f.mask ? operands[3] : Value{}, {}, key}, attrs);
  g.outputs = {{"y", forward[0]}, {"dq", d[0]}, {"dk", d[1]}, {"dv", d[2]}};
  if (scores) g.outputs.push_back({"dscores", d[3]});
  return g;
}

void check_attention(const Shape& shape, const Form& form) {
  Graph g = attention(shape, form);
  std::vector<Tensor> inputs;
  for (const auto& n : g.nodes())
    if (ir::is_input(*n))
      inputs.push_back(random_tensor(n->type(), static_cast<unsigned>(inputs.size()) + 3, false));
  auto want = expected(g, inputs);
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3}) {
    auto program = compile_cpu(g, {.threads = threads});
    for (auto& launch : program->launches()) EXPECT_EQ(launch.detail.rfind("tiled", 0), 0u) << launch.detail;
    auto got = run_program(*program, g, inputs);
    const double bound = form.dtype == DType::bf16 ? 1.0 / 64 : form.dtype == DType::f16 ? 1.0 / 500 : 1e-4;
    for (size_t k = 0; k < want.size(); k++) expect_near(got[k], want[k], bound, g.outputs[k].name);
    if (threads == 1)
      first = std::move(got);
    else
      for (size_t k = 0; k < want.size(); k++)
        EXPECT_TRUE(got[k] == first[k]) << g.outputs[k].name << " with " << threads << " threads";
  }
}

TEST(Attention, TypesAcrossTiles) {
  for (DType t : {DType::f32, DType::bf16, DType::f16}) {
    SCOPED_TRACE(name(t));
    check_attention({1, 2, 2, 150, 300, 16, 24}, {t, {{"scale", 0.25}}});
  }
}

TEST(Attention, CausalBandsSkipTiles) {
  check_attention({1, 2, 1, 300, 300, 8, 8}, {.attrs = {{"scale", 0.3}, {"upper", int64_t{0}}}});
  check_attention({1, 1, 1, 150, 520, 8, 8}, {.attrs = {{"lower", int64_t{-20}}, {"upper", int64_t{30}}}});
  // Some queries see nothing.
  check_attention({1, 1, 1, 140, 20, 8, 8}, {.attrs = {{"upper", int64_t{-7}}}});
}

TEST(Attention, GroupedHeadsInEveryLayout) {
  for (const ir::Ints& inner : {ir::Ints{}, ir::Ints{0, 1, 2, 3}, ir::Ints{1}, ir::Ints{0, 3}}) {
    SCOPED_TRACE(ir::to_string(inner));
    check_attention({2, 6, 2, 9, 17, 8, 4}, {.attrs = {{"scale", 0.4}, {"inner_heads", inner}}});
    check_attention({2, 2, 1, 9, 17, 8, 4}, {DType::bf16, {{"scale", 0.4}, {"inner_heads", inner}}});
  }
}

TEST(Attention, Masks) {
  const Shape s{2, 3, 3, 130, 260, 8, 8};
  for (const ir::Dims& dims :
       {ir::Dims{1, 1, 130, 260}, ir::Dims{2, 1, 1, 260}, ir::Dims{2, 3, 130, 260}, ir::Dims{1, 3, 130, 1}}) {
    SCOPED_TRACE(ir::to_string(dims));
    check_attention(s, {.attrs = {{"scale", 0.4}}, .mask = Type{DType::f32, dims}});
    check_attention(s, {.attrs = {{"upper", int64_t{100}}}, .mask = Type{DType::boolean, dims}});
  }
  check_attention(s, {DType::bf16, {{"softcap", 3.0}}, Type{DType::f32, {1, 1, 130, 260}}});
}

// The mask is drawn again backward, across the borders of tiles; ratio 1 keeps nothing.
TEST(Attention, DropoutOfTheWeights) {
  for (DType t : {DType::f32, DType::bf16})
    check_attention({2, 2, 1, 150, 300, 16, 8},
                    {t, {{"scale", 0.25}, {"ratio", 0.3}, {"stream", int64_t{2}}}});
  check_attention({1, 3, 3, 130, 260, 8, 8},
                  {.attrs = {{"ratio", 0.5}, {"upper", int64_t{0}}, {"inner_heads", ir::Ints{0, 1, 2, 3}}},
                   .mask = Type{DType::f32, {1, 1, 130, 260}}});
  check_attention({1, 1, 1, 9, 17, 8, 4}, {.attrs = {{"ratio", 1.0}}});
}

// Scores far apart, and a row whose only keys are -inf by the float mask.
TEST(Attention, ExtremeScoresStayFinite) {
  Graph g = attention({1, 1, 1, 3, 4, 2, 2}, {.mask = Type{DType::f32, {1, 1, 3, 4}}});
  const double inf = INFINITY;
  std::vector<Tensor> inputs{
      Tensor::of({1, 1, 3, 2}, {300, 1, -300, 2, 1, 1}),
      Tensor::of({1, 1, 4, 2}, {300, 0, -300, 1, 0, 2, 1, 1}),
      Tensor::of({1, 1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}), Tensor::of({1, 1, 3, 2}, {1, 1, 1, 1, 1, 1}),
      Tensor::of({1, 1, 3, 4}, {0, 0, 0, 0, 0, -1e9, -3e38, 0, -inf, -inf, -inf, -inf})};
  auto got = run_program(*compile_cpu(g, {.threads = 1}), g, inputs);
  auto want = expected(g, inputs);
  for (size_t k = 0; k < want.size(); k++) {
    expect_near(got[k], want[k], 1e-5, g.outputs[k].name);
    for (int64_t i = 0; i < got[k].count(); i++)
      EXPECT_TRUE(std::isfinite(got[k].get(i))) << g.outputs[k].name;
  }
  EXPECT_EQ(got[0].get(4), 0);
  EXPECT_EQ(got[1].get(5), 0);
}

}  // namespace
}  // namespace mezzo::codegen::testing
