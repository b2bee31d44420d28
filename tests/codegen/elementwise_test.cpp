// Elementwise kernels: generated code equals the evaluator bit for bit.
#include "kernel_harness.h"

namespace mezzo::codegen::testing {
namespace {

using ir::apply;

// Every scalar op that takes `type` in all inputs, in one kernel, on vectors with a tail.
void all_scalar_ops(DType type) {
  Graph g;
  ir::Dims dims{3, 37};
  Value x = g.input("x", {type, dims}), y = g.input("y", {type, dims}), z = g.input("z", {type, dims});
  int made = 0;
  for (const ir::OpDef* op : ir::all_ops()) {
    if (op->meaning != ir::Meaning::scalar || op->scalar.code == ir::Code::cast) continue;
    ir::Values operands;
    for (int i = 0; i < op->min_inputs; i++) operands.push_back(i == 0 ? x : i == 1 ? y : z);
    if (op->scalar.code == ir::Code::select) operands[0] = ir::equal(x, y);
    ir::Node* n = nullptr;
    try {
      n = g.add(*op, operands);
    } catch (const Error&) {
      continue;  // not for this type
    }
    g.outputs.push_back({std::string(op->name), n->out()});
    made++;
  }
  EXPECT_GT(made, type == DType::boolean ? 3 : 8);
  check_exact(
      g, {random_tensor({type, dims}, 1), random_tensor({type, dims}, 2), random_tensor({type, dims}, 3)});
}

TEST(Elementwise, AllScalarOpsF32) { all_scalar_ops(DType::f32); }
TEST(Elementwise, AllScalarOpsF64) { all_scalar_ops(DType::f64); }
TEST(Elementwise, AllScalarOpsI32) { all_scalar_ops(DType::i32); }
TEST(Elementwise, AllScalarOpsI64) { all_scalar_ops(DType::i64); }
TEST(Elementwise, AllScalarOpsI8) { all_scalar_ops(DType::i8); }
TEST(Elementwise, AllScalarOpsU32) { all_scalar_ops(DType::u32); }
TEST(Elementwise, AllScalarOpsU8) { all_scalar_ops(DType::u8); }
TEST(Elementwise, AllScalarOpsBool) { all_scalar_ops(DType::boolean); }

TEST(Elementwise, AllCasts) {
  for (int from = 0; from < ir::kDTypeCount; from++) {
    auto t = static_cast<DType>(from);
    Graph g;
    ir::Dims dims{91};
    Value x = g.input("x", {t, dims});
    for (int to = 0; to < ir::kDTypeCount; to++)
      if (from != to)
        g.outputs.push_back({std::string(name(static_cast<DType>(to))), ir::cast(x, static_cast<DType>(to))});
    SCOPED_TRACE(std::string(name(t)));
    check_exact(g, {random_tensor({t, dims}, 7)});
  }
}

TEST(Elementwise, EveryRoundingOfF32To16Bits) {
  // Floats around every boundary: all exponents, significands near ties.
  std::vector<double> values;
  for (uint32_t e = 0; e < 256; e++)
    for (uint32_t m : {0u, 1u, 0x0fffu, 0x1000u, 0x1001u, 0x2fffu, 0x3000u, 0x7fffu, 0x8000u, 0x8001u,
                       0x17fffu, 0x18000u, 0x400000u, 0x7fffffu})
      for (uint32_t sign : {0u, 1u}) values.push_back(std::bit_cast<float>((sign << 31) | (e << 23) | m));
  Graph g;
  ir::Dims dims{static_cast<int64_t>(values.size())};
  Value x = g.input("x", {DType::f32, dims});
  g.outputs = {{"bf16", ir::cast(x, DType::bf16)},
               {"f16", ir::cast(x, DType::f16)},
               {"back", ir::cast(ir::cast(x, DType::f16), DType::f32) +
                            ir::cast(ir::cast(x, DType::bf16), DType::f32)}};
  check_exact(g, {Tensor::of(dims, values)});
}

TEST(Elementwise, LowPrecisionChainKeepsEveryRounding) {
  for (DType low : {DType::bf16, DType::f16}) {
    Graph g;
    ir::Dims dims{5, 129};
    Value x = g.input("x", {low, dims}), b = g.input("b", {DType::f32, {129}});
    Value h = ir::cast(ir::tanh(ir::cast(x, DType::f32) + b), low);
    Value y = ir::cast(ir::cast(h, DType::f32) * ir::cast(x, DType::f32), low);
    g.outputs = {{"h", h}, {"y", y}};
    check_exact(g, {random_tensor({low, dims}, 3), random_tensor({DType::f32, {129}}, 4)});
  }
}

TEST(Elementwise, Broadcasting) {
  Graph g;
  Value a = g.input("a", {DType::f32, {4, 3, 5, 7}}), c = g.input("c", {DType::f32, {3, 1, 1}}),
        w = g.input("w", {DType::f32, {7}}), s = g.input("s", {DType::f32, {}}),
        h = g.input("h", {DType::f32, {5, 1}});
  g.outputs = {{"y", (a + c) * w - s / h}};
  check_exact(g, {random_tensor({DType::f32, {4, 3, 5, 7}}, 1), random_tensor({DType::f32, {3, 1, 1}}, 2),
                  random_tensor({DType::f32, {7}}, 3), random_tensor({DType::f32, {}}, 4),
                  random_tensor({DType::f32, {5, 1}}, 5)});
}

TEST(Elementwise, ScalarsOnly) {
  Graph g;
  Value s = g.input("s", {DType::f32, {}}), n = g.input("n", {DType::i64, {}});
  g.outputs = {{"t", ir::exp(s) * 2.0}, {"m", n + 1.0}};
  check_exact(g, {Tensor::scalar(0.7), Tensor::scalar(41, DType::i64)});
}

TEST(Elementwise, SegmentsOfDifferentShapes) {
  Graph g;
  Value lr = g.input("lr", {DType::f32, {}});
  std::vector<Tensor> inputs{Tensor::scalar(0.1)};
  int64_t sizes[] = {1, 7, 8, 64, 1000, 70001};
  for (int64_t n : sizes) {
    Value p = g.input(concat("p", n), {DType::f32, {n}}), d = g.input(concat("d", n), {DType::f32, {n}});
    g.outputs.push_back({concat("q", n), p - lr * d});
    g.outputs.push_back({concat("l", n), ir::cast(p - lr * d, DType::bf16)});
    inputs.push_back(random_tensor({DType::f32, {n}}, static_cast<unsigned>(n)));
    inputs.push_back(random_tensor({DType::f32, {n}}, static_cast<unsigned>(n) + 1));
  }
  check_exact(g, inputs);
}

TEST(Elementwise, Movement) {
  for (DType t : {DType::f32, DType::bf16, DType::i64, DType::boolean}) {
    Graph g;
    ir::Dims dims{6, 10, 4};
    Value x = g.input("x", {t, dims});
    g.outputs = {{"transpose", ir::transpose(x, {2, 0, 1})},
                 {"slice", ir::slice(x, {5, 1}, {0, 9}, {0, 1}, {-1, 3})},
                 {"pad", ir::pad(x, {1, 0, 2}, {0, 3, 1}, 1)},
                 {"crop", ir::pad(x, {-1, 0, 1}, {2, -3, -1})},
                 {"concat", ir::concat({x, ir::slice(x, {0}, {3}, {1}, {1}), x}, 1)},
                 {"reshape", ir::reshape(ir::transpose(x, {1, 0, 2}), {8, 30})},
                 {"unslice", ir::unslice(x, {12, 10, 4}, {1}, {0}, {2})},
                 {"expand", ir::expand(ir::slice(x, {2}, {3}, {1}, {1}), {3, 6, 5, 4})}};
    check_exact(g, {random_tensor({t, dims}, 11)});
  }
}

TEST(Elementwise, Windows) {
  Graph g;
  Value x = g.input("x", {DType::f32, {2, 3, 9, 8}});
  ir::WindowSpec spec{{3, 2}, {2, 1}, {1, 2}, {1, 1}, {5, 8}};
  Value w = ir::window(x, spec, -1);
  Value dy = g.input("dy", {DType::f32, {2, 3, 5, 8, 3, 2}});
  g.outputs = {{"window", w}, {"product", w * dy}, {"unwindow", ir::unwindow(dy, spec, {9, 8})}};
  check_exact(
      g, {random_tensor({DType::f32, {2, 3, 9, 8}}, 1), random_tensor({DType::f32, {2, 3, 5, 8, 3, 2}}, 2)});
}

TEST(Elementwise, PositionsAndMasks) {
  Graph g;
  Value x = g.input("x", {DType::f32, {5, 33}});
  Value row = ir::iota(g, {5, 33}, 0), column = ir::iota(g, {5, 33}, 1, DType::i32);
  Value causal = ir::less_equal(ir::cast(column, DType::i64), row * 7.0);
  g.outputs = {{"masked", ir::where(causal, x, ir::constant_like(x, -1e9))},
               {"column", ir::cast(column, DType::f32)}};
  check_exact(g, {random_tensor({DType::f32, {5, 33}}, 1)});
}

}  // namespace
}  // namespace mezzo::codegen::testing
