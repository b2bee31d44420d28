// Matrix products and convolutions against the evaluator, through oneDNN and through the own loops.
#include "codegen/cpu/products.h"
#include "kernel_harness.h"

namespace mezzo::codegen::testing {
namespace {

double tolerance(DType t) { return t == DType::bf16 ? 1.0 / 64 : t == DType::f16 ? 1.0 / 500 : 1e-4; }

std::vector<Tensor> feeds(const Graph& g) {
  std::vector<Tensor> inputs;
  for (const auto& n : g.nodes())
    if (ir::is_input(*n))
      inputs.push_back(random_tensor(n->type(), static_cast<unsigned>(inputs.size()) + 1, false));
  return inputs;
}

Tensor run_launch(Launch& launch, const Graph& g, const ir::Node& n, std::vector<Tensor>& inputs) {
  std::vector<std::byte*> arguments;
  for (const Value& v : n.inputs())
    for (size_t i = 0, number = 0; i < g.nodes().size(); i++)
      if (ir::is_input(*g.nodes()[i])) {
        if (g.nodes()[i].get() == v.node) arguments.push_back(inputs[number].data());
        number++;
      }
  Tensor got(n.type()), scratch({DType::u8, {launch.scratch_bytes + 64}});
  arguments.push_back(got.data());
  auto* aligned = scratch.data() + (-reinterpret_cast<uintptr_t>(scratch.data()) & 63);
  launch.run(arguments.data(), aligned);
  return got;
}

// The whole program, and on the same nodes the own loops and the tiles where they apply.
void check_products(const Graph& g, double bound) {
  auto inputs = feeds(g);
  auto want = expected(g, inputs);
  for (int threads : {1, 2}) {
    auto program = compile_cpu(g, {.threads = threads});
    auto got = run_program(*program, g, inputs);
    for (size_t k = 0; k < want.size(); k++)
      expect_near(got[k], want[k], bound, g.outputs[k].name + " by " + program->launches()[k].detail);
  }
  for (const ir::Output& o : g.outputs) {
    const ir::Node& n = *o.value.node;
    auto kind = product_kind(n);
    ASSERT_TRUE(kind.has_value());
    DType t = n.in_type(0).dtype;
    const Tensor& wanted = want[static_cast<size_t>(&o - g.outputs.data())];
    if (t == n.type().dtype && (t == DType::f32 || t == DType::f64))
      expect_near(run_launch(*cpu::own_product(n, *kind, t, {2}), g, n, inputs), wanted, bound,
                  o.name + " by own loops");
    auto one = cpu::tiled_product(n, *kind, {1}), two = cpu::tiled_product(n, *kind, {2});
    if (!one) continue;
    Tensor result = run_launch(*one, g, n, inputs);
    expect_near(result, wanted, bound, o.name + " by tiles");
    expect_same_bits(run_launch(*two, g, n, inputs), result, o.name + " by two threads");
  }
}

TEST(Product, DotOfEveryLayout) {
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (int layout = 0; layout < 4; layout++) {
      bool ta = layout & 1, tb = layout & 2;
      Graph g;
      Value a = g.input("a", {t, ta ? ir::Dims{33, 17} : ir::Dims{17, 33}}),
            b = g.input("b", {t, tb ? ir::Dims{70, 33} : ir::Dims{33, 70}}),
            bias = g.input("bias", {ir::compute_type(t), {70}});
      g.outputs = {{"plain", ir::dot(a, b, {.trans_a = ta, .trans_b = tb})},
                   {"bias", ir::dot(a, b, {.trans_a = ta, .trans_b = tb}, bias)}};
      if (ir::is_low(t))
        g.outputs.push_back({"wide", ir::dot(a, b, {.trans_a = ta, .trans_b = tb, .out = DType::f32})});
      SCOPED_TRACE(concat(name(t), " ", layout));
      check_products(g, 4 * tolerance(t));
    }
}

TEST(Product, DotOfBatches) {
  Graph g;
  Value a = g.input("a", {DType::f32, {3, 4, 9, 20}}), b = g.input("b", {DType::f32, {3, 4, 20, 11}}),
        one = g.input("one", {DType::f32, {20, 11}}),
        shared = g.input("shared", {DType::f32, {1, 4, 11, 20}}),
        row = g.input("row", {DType::f32, {4, 1, 20}});
  g.outputs = {{"equal", ir::dot(a, b)},
               {"one", ir::dot(a, one)},
               {"shared", ir::dot(a, shared, {.trans_b = true})},
               {"row", ir::dot(row, b)}};
  check_products(g, 1e-4);
}

// Longer than the blocks of the tiles in every direction.
TEST(Product, DotOfManyBlocks) {
  for (DType t : {DType::f32, DType::bf16}) {
    Graph g;
    Value a = g.input("a", {t, {200, 650}}), b = g.input("b", {t, {1050, 650}}),
          bias = g.input("bias", {DType::f32, {1050}});
    g.outputs = {{"y", ir::dot(a, b, {.trans_b = true}, bias)}};
    check_products(g, t == DType::f32 ? 1e-3 : 0.5);
  }
}

TEST(Product, Integers) {
  Graph g;
  Value a = g.input("a", {DType::i32, {3, 5}}), b = g.input("b", {DType::i32, {5, 2}});
  g.outputs = {{"y", ir::dot(a, b)}};
  auto inputs = feeds(g);
  auto program = compile_cpu(g, {});
  expect_same_bits(run_program(*program, g, inputs)[0], expected(g, inputs)[0], "y");
}

struct Layer {
  ir::Dims x, w;  // x as N, C, spatial
  ir::ConvolutionSpec spec;
};

void check_layer(const Layer& l, DType t) {
  for (bool last : {false, true}) {
    ir::ConvolutionSpec spec = l.spec;
    spec.channels_last = last;
    ir::Dims xd = l.x;
    if (last) std::rotate(xd.begin() + 1, xd.begin() + 2, xd.end());
    Graph g;
    Value x = g.input("x", {t, xd}), w = g.input("w", {t, l.w}),
          bias = g.input("bias", {ir::compute_type(t), {l.w[0]}});
    Value y = ir::convolution(x, w, spec);
    Value dy = g.input("dy", y.type());
    ir::ConvolutionSpec wide = spec;
    wide.out = ir::compute_type(t);
    g.outputs = {{"y", y},
                 {"biased", ir::convolution(x, w, spec, bias)},
                 {"dx", ir::convolution_input_grad(dy, w, xd, spec)},
                 {"dw", ir::convolution_weight_grad(x, dy, l.w, wide)}};
    SCOPED_TRACE(
        concat(name(t), last ? " channels last " : " ", ir::to_string(l.x), " by ", ir::to_string(l.w)));
    check_products(g, 8 * tolerance(t));
  }
}

const std::vector<Layer>& layers() {
  static const std::vector<Layer> all{
      {{2, 3, 9, 8}, {8, 3, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {{2, 8, 9, 11}, {16, 8, 3, 2}, {{2, 1}, {1, 2}, {1, 0}, {0, 2}}},
      {{1, 6, 7, 7}, {6, 1, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 6}},
      {{2, 4, 6, 6}, {6, 2, 1, 1}, {{2, 2}, {1, 1}, {0, 0}, {0, 0}, 2}},
      {{2, 24, 13, 10}, {40, 24, 3, 3}, {{2, 2}, {1, 1}, {1, 1}, {1, 1}}},
      {{1, 17, 8, 8}, {9, 17, 1, 1}, {{2, 2}, {1, 1}, {0, 0}, {0, 0}}},
      {{2, 3, 32, 32}, {48, 3, 1, 1}, {{2, 2}, {1, 1}, {0, 0}, {0, 0}}},
      {{2, 3, 17}, {5, 3, 4}, {{2}, {1}, {1}, {2}}},
      {{1, 2, 5, 6, 7}, {3, 2, 2, 3, 2}, {{1, 2, 1}, {1, 1, 2}, {1, 1, 0}, {0, 1, 1}}},
  };
  return all;
}

TEST(Product, ConvolutionsF32) {
  for (const Layer& l : layers()) check_layer(l, DType::f32);
}
TEST(Product, ConvolutionsBf16) {
  for (size_t i : {0, 1, 3, 4, 5}) check_layer(layers()[i], DType::bf16);
}
TEST(Product, ConvolutionsF16AndF64) {
  check_layer(layers()[1], DType::f16);
  check_layer(layers()[2], DType::f64);
}

}  // namespace
}  // namespace mezzo::codegen::testing
