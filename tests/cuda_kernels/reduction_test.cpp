// Reductions in sizes that make every layout: rows of a thread, a warp, a block; columns; chunks and their
// combination; row reductions that are too few to fill a GPU; sums over rows added up by teams.
#include "formulas.h"

namespace mezzo::cuda_sim {
namespace {

using ir::DType;
using ir::Value;

TEST(CudaReductions, FreeOnesOfEveryShape) {
  Formulas formulas;
  for (const ir::Dims& dims :
       {ir::Dims{5}, ir::Dims{50003}, ir::Dims{64, 10}, ir::Dims{1000, 10}, ir::Dims{10, 4000},
        ir::Dims{3, 5, 7, 11}, ir::Dims{100, 16, 30}, ir::Dims{20000, 12}, ir::Dims{2, 40000}})
    for (int64_t mask = 1; mask < (int64_t{1} << dims.size()); mask++) {
      ir::Ints axes;
      for (size_t i = 0; i < dims.size(); i++)
        if (mask >> i & 1) axes.push_back(static_cast<int64_t>(i));
      formulas.add(concat(ir::to_string(dims), " over ", ir::to_string(axes)), {{DType::f32, dims}},
                   [&](const ir::Values& x) -> ir::Values {
                     return {ir::reduce_sum(x[0] * x[0], axes) + 1.0, ir::reduce_max(x[0], axes), x[0] * 2.0};
                   });
    }
  formulas.check(39);
}

Value mean_of(Value v, const ir::Ints& axes) {
  Value sum = ir::reduce_sum(v, axes);
  return sum / (static_cast<double>(v.type().count()) / static_cast<double>(sum.type().count()));
}

TEST(CudaReductions, RowsOfEveryLength) {
  Formulas formulas;
  for (auto [rows, columns] :
       {std::pair<int64_t, int64_t>{64, 10}, {3, 8}, {5, 1}, {7, 197}, {300, 336}, {40, 4096}, {1, 50000}})
    for (DType t : {DType::f32, DType::bf16})
      formulas.add(concat("softmax ", ir::name(t), " ", rows, "x", columns), {{t, {rows, columns}}},
                   [&](const ir::Values& x) -> ir::Values {
                     Value v = ir::cast(x[0], DType::f32), e = ir::exp(v - ir::reduce_max(v, {1}));
                     Value sum = ir::reduce_sum(e, {1});
                     return {ir::cast(e / sum, t), sum};
                   });
  formulas.add("softmax over the middle", {{DType::bf16, {4, 33, 24}}},
               [](const ir::Values& x) -> ir::Values {
                 Value v = ir::cast(x[0], DType::f32), e = ir::exp(v - ir::reduce_max(v, {1}));
                 return {ir::cast(e / ir::reduce_sum(e, {1}), DType::bf16)};
               });
  formulas.check(14);
}

TEST(CudaReductions, NormsAndTheirGradients) {
  Formulas formulas;
  for (bool last : {false, true})
    for (int64_t batch : {2, 16}) {  // the larger one: few long rows, in chunks, pass by pass
      ir::Dims dims = last ? ir::Dims{batch, 64, 64, 16} : ir::Dims{batch, 16, 64, 64};
      ir::Ints axes = last ? ir::Ints{0, 1, 2} : ir::Ints{0, 2, 3};
      formulas.add(concat("batch norm ", ir::to_string(dims), last ? " channels last" : ""),
                   {{DType::f32, dims}}, [&](const ir::Values& x) -> ir::Values {
                     Value mean = mean_of(x[0], axes), centred = x[0] - mean;
                     Value rstd = 1.0 / ir::sqrt(mean_of(centred * centred, axes) + 1e-5);
                     return {centred * rstd, mean, rstd};
                   });
    }
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{37, 48}, {515, 50}, {1024, 64}, {64, 768}})
    formulas.add(concat("layer norm's gradient ", rows, "x", columns),
                 {{DType::f32, {rows, columns}},
                  {DType::f32, {rows, columns}},
                  {DType::f32, {columns}},
                  {DType::f32, {rows, 1}}},
                 [](const ir::Values& x) -> ir::Values {
                   Value h = x[0] * x[3], dh = x[1] * x[2];
                   Value dx = (dh - mean_of(dh, {1}) - h * mean_of(dh * h, {1})) * x[3];
                   return {dx, ir::reduce_sum(x[1] * h, {0}) * 0.5, ir::reduce_sum(x[1], {0})};
                 });
  formulas.check(8);
}

TEST(CudaReductions, LossesAndManyGradients) {
  Formulas formulas;
  for (int64_t rows : {4, 64, 3000})
    formulas.add(concat("cross entropy of ", rows), {{DType::f32, {rows, 50}}, {DType::i64, {rows, 1}}},
                 [&](const ir::Values& x) -> ir::Values {
                   Value top = ir::reduce_max(x[0], {1}),
                         total = ir::log(ir::reduce_sum(ir::exp(x[0] - top), {1})) + top;
                   Value hit = ir::equal(ir::iota(x[0].node->graph(), {rows, 50}, 1), x[1]);
                   Value loss = total - ir::reduce_sum(ir::where(hit, x[0], ir::constant_like(x[0], 0)), {1});
                   return {ir::reduce_sum(loss, {0}) * 0.25,
                           (ir::exp(x[0] - total) - ir::cast(hit, DType::f32)) * 0.25, loss};
                 });
  std::vector<ir::Type> gradients;
  for (int64_t n : {10, 640, 4096, 4096, 60000, 4096}) gradients.push_back({DType::f32, {n}});
  formulas.add("norms", gradients, [](const ir::Values& x) {
    ir::Values out;
    for (Value g : x) {
      out.push_back(ir::reduce_sum(g * g, {0}));
      out.push_back(ir::reduce_max(ir::cast(ir::logical_not(ir::is_finite(g)), DType::f32), {0}));
    }
    return out;
  });
  formulas.check(4);
}

}  // namespace
}  // namespace mezzo::cuda_sim
