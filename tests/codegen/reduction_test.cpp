// Kernels with reductions: within bounds of the evaluator, which sums in another order, and the same bits
// whatever the number of threads.
#include "kernel_harness.h"

namespace mezzo::codegen::testing {
namespace {

constexpr double kF32 = 2e-5;

TEST(Reduction, SoftmaxRows) {
  for (auto [rows, columns] :
       {std::pair<int64_t, int64_t>{64, 10}, {3, 8}, {5, 1}, {7, 197}, {300, 333}, {1, 50000}}) {
    Graph g;
    Value x = g.input("x", {DType::f32, {rows, columns}});
    Value e = ir::exp(x - ir::reduce_max(x, {1}));
    g.outputs = {{"y", e / ir::reduce_sum(e, {1})}};
    SCOPED_TRACE(concat(rows, "x", columns));
    check_near(g, {random_tensor({DType::f32, {rows, columns}}, 1, false)}, kF32);
  }
}

TEST(Reduction, SoftmaxOfBf16OverTheMiddleAxis) {
  Graph g;
  Value x = ir::cast(g.input("x", {DType::bf16, {4, 33, 19}}), DType::f32);
  Value e = ir::exp(x - ir::reduce_max(x, {1}));
  Value sum = ir::reduce_sum(e, {1});
  g.outputs = {{"y", ir::cast(e / sum, DType::bf16)}, {"sum", sum}};
  check_near(g, {random_tensor({DType::bf16, {4, 33, 19}}, 1, false)}, 1.0 / 128);
}

Value mean_of(Value v, const ir::Ints& axes) {
  Value sum = ir::reduce_sum(v, axes);
  return sum / (static_cast<double>(v.type().count()) / static_cast<double>(sum.type().count()));
}

// mean, variance, normalised, and their use: three passes over the row.
Value layer_norm(Value x, Value& mean, Value& rstd, const ir::Ints& axes) {
  mean = mean_of(x, axes);
  Value centered = x - mean;
  rstd = 1.0 / ir::sqrt(mean_of(centered * centered, axes) + 1e-5);
  return centered * rstd;
}

TEST(Reduction, LayerNormForward) {
  for (int64_t columns : {16, 50, 768}) {
    Graph g;
    Value x = g.input("x", {DType::f32, {37, columns}}), w = g.input("w", {DType::f32, {columns}}),
          b = g.input("b", {DType::f32, {columns}}), mean, rstd;
    Value y = layer_norm(x, mean, rstd, {1}) * w + b;
    g.outputs = {{"y", y}, {"mean", mean}, {"rstd", rstd}};
    check_near(
        g,
        {random_tensor({DType::f32, {37, columns}}, 1, false),
         random_tensor({DType::f32, {columns}}, 2, false), random_tensor({DType::f32, {columns}}, 3, false)},
        kF32);
  }
}

TEST(Reduction, LayerNormBackwardWithColumnSums) {
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{37, 48}, {515, 50}, {2048, 64}}) {
    Graph g;
    Value x = g.input("x", {DType::f32, {rows, columns}}), dy = g.input("dy", {DType::f32, {rows, columns}}),
          w = g.input("w", {DType::f32, {columns}}), mean = g.input("mean", {DType::f32, {rows, 1}}),
          rstd = g.input("rstd", {DType::f32, {rows, 1}});
    Value h = (x - mean) * rstd, dh = dy * w;
    Value dx = (dh - mean_of(dh, {1}) - h * mean_of(dh * h, {1})) * rstd;
    g.outputs = {{"dx", dx}, {"dw", ir::reduce_sum(dy * h, {0}) * 0.5}, {"db", ir::reduce_sum(dy, {0})}};
    SCOPED_TRACE(concat(rows, "x", columns));
    check_near(
        g,
        {random_tensor({DType::f32, {rows, columns}}, 1, false),
         random_tensor({DType::f32, {rows, columns}}, 2, false),
         random_tensor({DType::f32, {columns}}, 3, false), random_tensor({DType::f32, {rows, 1}}, 4, false),
         random_tensor({DType::f32, {rows, 1}}, 5, false)},
        2e-3);
  }
}

TEST(Reduction, BatchNormStatistics) {
  for (bool last : {false, true}) {
    ir::Dims dims = last ? ir::Dims{8, 7, 9, 21} : ir::Dims{8, 21, 7, 9},
             one = last ? ir::Dims{21} : ir::Dims{21, 1, 1};
    Graph g;
    Value x = g.input("x", {DType::f32, dims}), w = g.input("w", {DType::f32, one}), mean, rstd;
    Value y = layer_norm(x, mean, rstd, last ? ir::Ints{0, 1, 2} : ir::Ints{0, 2, 3}) * w;
    g.outputs = {{"y", ir::where(ir::less(y, ir::constant_like(y, 0)), ir::constant_like(y, 0), y)},
                 {"mean", mean}};
    SCOPED_TRACE(last ? "channels last" : "channels first");
    check_near(g, {random_tensor({DType::f32, dims}, 1, false), random_tensor({DType::f32, one}, 2, false)},
               kF32);
  }
}

TEST(Reduction, FreeSumsOfEveryShape) {
  for (ir::Dims dims :
       {ir::Dims{5}, ir::Dims{100003}, ir::Dims{64, 10}, ir::Dims{1000, 10}, ir::Dims{10, 10000},
        ir::Dims{3, 5, 7, 11}, ir::Dims{200, 16, 30}, ir::Dims{40000, 12}, ir::Dims{2, 200000}}) {
    auto rank = static_cast<int64_t>(dims.size());
    for (int64_t mask = 1; mask < (int64_t{1} << rank); mask++) {
      ir::Ints axes;
      for (int64_t i = 0; i < rank; i++)
        if (mask >> i & 1) axes.push_back(i);
      Graph g;
      Value x = g.input("x", {DType::f32, dims});
      g.outputs = {{"sum", ir::reduce_sum(x * x, axes) + 1.0},
                   {"max", ir::reduce_max(x, axes)},
                   {"min", ir::reduce_min(ir::abs(x), axes)}};
      SCOPED_TRACE(ir::to_string(dims) + " over " + ir::to_string(axes));
      check_near(g, {random_tensor({DType::f32, dims}, 1, false)}, 0x1p-23);  // sums are rounded once
    }
  }
}

TEST(Reduction, RowLossSummedOverRows) {
  for (int64_t rows : {4, 64, 5000}) {
    Graph g;
    Value x = g.input("x", {DType::f32, {rows, 10}}), labels = g.input("labels", {DType::i64, {rows, 1}});
    Value top = ir::reduce_max(x, {1});
    Value lse = ir::log(ir::reduce_sum(ir::exp(x - top), {1})) + top;
    Value hit = ir::equal(ir::iota(g, {rows, 10}, 1), labels);
    Value picked = ir::reduce_sum(ir::where(hit, x, ir::constant_like(x, 0)), {1});
    Value loss = lse - picked;
    Value dx = (ir::exp(x - lse) - ir::cast(hit, DType::f32)) * 0.25;
    g.outputs = {{"loss", ir::reduce_sum(loss, {0}) * 0.25}, {"dx", dx}, {"rows", loss}};
    Tensor ids({DType::i64, {rows, 1}});
    for (int64_t i = 0; i < rows; i++) ids.set_int(i, i % 10);
    check_near(g, {random_tensor({DType::f32, {rows, 10}}, 1, false), ids}, 1e-4);
  }
}

TEST(Reduction, MaxPoolForwardAndBackward) {
  for (bool last : {false, true}) {
    ir::WindowSpec spec{{2, 2}, {2, 2}, {1, 1}, {0, 0}, {4, 4}};
    ir::Dims in = last ? ir::Dims{3, 8, 8, 16} : ir::Dims{3, 16, 8, 8},
             out = last ? ir::Dims{3, 4, 4, 16} : ir::Dims{3, 16, 4, 4};
    if (last) spec.first_axis = 1;
    ir::Dims kept = out;
    kept.insert(kept.end(), {1, 1});
    SCOPED_TRACE(last ? "channels last" : "channels first");
    {
      Graph g;
      Value x = g.input("x", {DType::f32, in});
      g.outputs = {{"y", ir::reduce_max(ir::window(x, spec, -INFINITY), {4, 5})}};
      check_exact(g, {random_tensor({DType::f32, in}, 1)});
    }
    Graph g;
    Value x = g.input("x", {DType::f32, in}), y = g.input("y", {DType::f32, kept}),
          dy = g.input("dy", {DType::f32, kept});
    Value hit = ir::equal(ir::window(x, spec, -INFINITY), y);
    Value spread = ir::where(hit, dy, ir::constant_like(dy, 0));
    g.outputs = {{"dx", ir::reduce_sum(ir::unwindow(spread, spec, {8, 8}), {4, 5})}};
    check_near(g,
               {random_tensor({DType::f32, in}, 1, false), random_tensor({DType::f32, kept}, 2, false),
                random_tensor({DType::f32, kept}, 3, false)},
               kF32);
  }
}

TEST(Reduction, SpecialNumbersAndOtherTypes) {
  Graph g;
  ir::Dims dims{6, 45};
  Value x = g.input("x", {DType::f32, dims}), n = g.input("n", {DType::i64, dims}),
        f = g.input("f", {DType::boolean, dims});
  Value h = g.input("h", {DType::bf16, dims});
  g.outputs = {{"max", ir::reduce_max(x, {1})},  {"min", ir::reduce_min(x, {1})},
               {"sum", ir::reduce_sum(n, {1})},  {"top", ir::reduce_max(n, {1})},
               {"low", ir::reduce_min(n, {1})},  {"prod", ir::reduce_prod(n, {1})},
               {"half", ir::reduce_max(h, {1})}, {"any", ir::reduce_max(ir::cast(f, DType::i32), {1})}};
  check_exact(g, {random_tensor({DType::f32, dims}, 1), random_tensor({DType::i64, dims}, 2),
                  random_tensor({DType::boolean, dims}, 3), random_tensor({DType::bf16, dims}, 4)});
}

TEST(Reduction, NormAndFiniteCheckOfManyGradients) {
  Graph g;
  std::vector<Tensor> inputs;
  for (int64_t n : {10, 640, 4096, 100000}) {
    Value x = g.input(concat("g", n), {DType::f32, {n}});
    g.outputs.push_back({concat("sq", n), ir::reduce_sum(x * x, {0})});
    g.outputs.push_back(
        {concat("bad", n), ir::reduce_max(ir::cast(ir::logical_not(ir::is_finite(x)), DType::f32), {0})});
    inputs.push_back(random_tensor({DType::f32, {n}}, static_cast<unsigned>(n), n == 640));
  }
  check_near(g, inputs, 1e-4);
}

}  // namespace
}  // namespace mezzo::codegen::testing
