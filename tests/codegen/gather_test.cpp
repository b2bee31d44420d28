// Kernels that read at computed indices: generated code equals the evaluator bit for bit.
#include "ir/indexing.h"
#include "kernel_harness.h"

namespace mezzo::codegen::testing {
namespace {

using ir::apply;
using ir::take_along_axis;

// Indices from beyond one end to beyond the other, so that counting from the end and clamping are seen.
Tensor indices(ir::Dims dims, int64_t extent, DType type = DType::i64, unsigned seed = 3) {
  std::mt19937 gen(seed);
  Tensor t({type, std::move(dims)});
  for (int64_t i = 0; i < t.count(); i++)
    t.set_int(i, static_cast<int64_t>(gen() % static_cast<uint64_t>(2 * extent + 5)) - extent - 2);
  return t;
}

TEST(Gather, RowsOfATable) {
  for (DType type : {DType::f32, DType::bf16, DType::i64}) {
    Graph g;
    Value table = g.input("table", {type, {11, 37}}), rows = g.input("rows", {DType::i64, {6, 1}});
    g.outputs.push_back({"y", take_along_axis(table, rows, 0)});
    check_exact(g, {random_tensor({type, {11, 37}}, 1), indices({6, 1}, 11)});
  }
}

TEST(Gather, AlongTheLanes) {
  for (DType type : {DType::f32, DType::bf16, DType::f64, DType::boolean}) {
    Graph g;
    Value x = g.input("x", {type, {3, 29}}), at = g.input("at", {DType::i32, {3, 41}});
    g.outputs.push_back({"y", take_along_axis(x, at, 1)});
    check_exact(g, {random_tensor({type, {3, 29}}, 1), indices({3, 41}, 29, DType::i32)});
  }
}

TEST(Gather, SumOfTwoTablesNormalisedPerRow) {
  Graph g;
  Value table = g.input("table", {DType::f32, {11, 40}}),
        positions = g.input("positions", {DType::f32, {7, 40}});
  Value rows = g.input("rows", {DType::i64, {6, 1}}), places = g.input("places", {DType::i64, {6, 1}});
  Value x = take_along_axis(table, rows, 0) + take_along_axis(positions, places, 0);
  Value centred = x - ir::reduce_sum(x, {1}) / 40.0;
  g.outputs.push_back({"y", centred / ir::sqrt(ir::reduce_sum(centred * centred, {1}) / 40.0 + 1e-5)});
  check_near(g,
             {random_tensor({DType::f32, {11, 40}}, 1, false), random_tensor({DType::f32, {7, 40}}, 2, false),
              indices({6, 1}, 11), indices({6, 1}, 7)},
             1e-5);
}

TEST(Gather, ThroughOtherMovement) {
  Graph g;
  Value x = g.input("x", {DType::f32, {6, 5, 4}}), at = g.input("at", {DType::i64, {1, 9, 1}});
  Value turned = ir::reshape(ir::transpose(x, {2, 0, 1}), {2, 12, 5});
  Value y = ir::pad(take_along_axis(turned, at, 1), {0, 1, 2}, {0, 1, 0}, 0.5);
  g.outputs.push_back({"y", ir::transpose(y, {2, 0, 1})});
  check_exact(g, {random_tensor({DType::f32, {6, 5, 4}}, 1), indices({1, 9, 1}, 12)});
}

TEST(Gather, ByComputedAndGatheredIndices) {
  Graph g;
  Value x = g.input("x", {DType::f32, {4, 33}}), at = g.input("at", {DType::i64, {4, 17}});
  Value places = g.input("places", {DType::i64, {4, 50}});
  Value twice = take_along_axis(at, places, 1) * ir::constant_like(at, 2) + ir::iota(g, {4, 50}, 1);
  g.outputs.push_back({"y", take_along_axis(x, twice, 1) * 2.0});
  check_exact(g, {random_tensor({DType::f32, {4, 33}}, 1), indices({4, 17}, 9), indices({4, 50}, 17)});
}

TEST(Gather, IndicesBroadcastOverBothSides) {
  Graph g;
  Value x = g.input("x", {DType::f32, {5, 6, 7}}), at = g.input("at", {DType::i64, {5, 4, 1}});
  Value one = g.input("one", {DType::i64, {1, 1, 1}});
  g.outputs.push_back({"y", take_along_axis(x, at, 1) + take_along_axis(x, one, 1)});
  check_exact(g, {random_tensor({DType::f32, {5, 6, 7}}, 1), indices({5, 4, 1}, 6), indices({1, 1, 1}, 6)});
}

// One scatter: the program against the evaluator, with one thread and with three.
void scatter(DType type, const ir::Dims& updates, const ir::Dims& at, int64_t axis, int64_t extent,
             const std::string& how, bool onto, DType index_type = DType::i64) {
  SCOPED_TRACE(concat(how, " ", name(type), " ", ir::to_string(updates), " at ", ir::to_string(at)));
  Graph g;
  Value u = g.input("u", {type, updates}), i = g.input("i", {index_type, at}), data;
  ir::Dims dims = updates;
  dims[static_cast<size_t>(axis)] = extent;
  std::vector<Tensor> inputs{random_tensor({type, updates}, 1, false), indices(at, extent, index_type)};
  if (onto) {
    data = g.input("data", {type, dims});
    inputs.push_back(random_tensor({type, dims}, 2, false));
  }
  g.outputs.push_back({"y", ir::scatter_along_axis(data, i, u, axis, extent, how)});
  const std::vector<Tensor> want = expected(g, inputs);
  for (int threads : {1, 3}) {
    auto program = compile_cpu(g, {.threads = threads});
    EXPECT_EQ(program->launches().back().detail, "scatter");
    expect_same_bits(run_program(*program, g, inputs)[0], want[0], concat(threads, " threads"));
  }
}

TEST(Scatter, EveryReductionAndType) {
  for (const char* how : {"none", "add", "mul", "min", "max"})
    for (DType type : {DType::f32, DType::f64, DType::i32, DType::u8}) {
      scatter(type, {9, 5}, {9, 1}, 0, 4, how, true);
      scatter(type, {2, 9, 3}, {2, 9, 3}, 1, 4, how, false, DType::i32);
    }
  scatter(DType::bf16, {9, 5}, {9, 1}, 0, 4, "none", true);
  scatter(DType::boolean, {9, 5}, {9, 1}, 0, 4, "none", false);
}

// As in the gradient of an embedding: long rows, ids that are negative, out of range, frequent and absent.
TEST(Scatter, LongRows) {
  for (const char* how : {"none", "add", "mul", "min", "max"})
    for (bool onto : {false, true})
      for (DType type : {DType::f32, DType::i32}) {
        scatter(type, {40, 70}, {40, 1}, 0, 9, how, onto);
        scatter(type, {3, 11, 64}, {3, 11, 1}, 1, 6, how, onto, DType::i32);
        scatter(type, {2, 5, 8, 9}, {2, 5, 1, 1}, 1, 4, how, onto);
      }
  scatter(DType::f32, {1, 64}, {1, 1}, 0, 1, "add", false);
  scatter(DType::f32, {500, 96}, {500, 1}, 0, 30522, "add", false);  // most rows get nothing
  scatter(DType::f32, {3000, 64}, {3000, 1}, 0, 7, "add", true);     // all get much
}

// Enough work to be shared out: by outer rows, by columns, and along the axis.
TEST(Scatter, ThreadsChangeNothing) {
  scatter(DType::f32, {800, 256}, {800, 1}, 0, 50, "add", false);
  scatter(DType::f32, {40000, 2}, {40000, 1}, 0, 3000, "add", false);
  scatter(DType::f32, {30, 4000}, {30, 4000}, 1, 600, "add", true);
  scatter(DType::f32, {200000}, {200000}, 0, 7, "add", false);
}

}  // namespace
}  // namespace mezzo::codegen::testing
