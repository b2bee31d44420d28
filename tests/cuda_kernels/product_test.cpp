// Own matrix products and convolutions in sizes that the op cases do not have: several tiles and ends of
// tiles, every layout, batches, depths that are split, groups and dilations in both storage orders.
#include <array>

#include "formulas.h"

namespace mezzo::cuda_sim {
namespace {

using ir::DType;
using ir::Value;

// The nodes as they are, not planned.
class Products : public Formulas {
 public:
  template <class F>
  void add(const std::string& what, const std::vector<ir::Type>& types, F build) {
    Formulas::add(what, types, build, false);
  }
};

TEST(CudaProducts, MatricesOfEveryLayout) {
  Products products;
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (int layout = 0; layout < 4; layout++) {
      bool ta = layout & 1, tb = layout & 2;
      // 72 and 40 are multiples of every vector, 71 and 37 of none.
      for (auto [m, n, k] : {std::array<int64_t, 3>{72, 136, 40}, {71, 67, 37}})
        products.add(concat(ir::name(t), " ", m, "x", n, "x", k, " layout ", layout),
                     {{t, ta ? ir::Dims{k, m} : ir::Dims{m, k}},
                      {t, tb ? ir::Dims{n, k} : ir::Dims{k, n}},
                      {ir::compute_type(t), {n}}},
                     [&](const ir::Values& x) -> ir::Values {
                       ir::Values y{ir::dot(x[0], x[1], {.trans_a = ta, .trans_b = tb}, x[2])};
                       if (ir::is_low(t))
                         y.push_back(ir::dot(x[0], x[1], {.trans_a = ta, .trans_b = tb, .out = DType::f32}));
                       return y;
                     });
    }
  products.check(40);
}

TEST(CudaProducts, BatchesAndLongDepths) {
  Products products;
  for (DType t : {DType::f32, DType::bf16}) {
    products.add(concat(ir::name(t), " batches"),
                 {{t, {2, 3, 9, 20}}, {t, {2, 3, 20, 12}}, {t, {20, 12}}, {t, {1, 3, 12, 20}}},
                 [](const ir::Values& x) -> ir::Values {
                   return {ir::dot(x[0], x[1]), ir::dot(x[0], x[2]), ir::dot(x[0], x[3], {.trans_b = true})};
                 });
    products.add(
        concat(ir::name(t), " long"), {{t, {2100, 24}}, {t, {2100, 40}}, {ir::compute_type(t), {40}}},
        [](const ir::Values& x) -> ir::Values { return {ir::dot(x[0], x[1], {.trans_a = true}, x[2])}; });
    // Enough tiles for the large ones.
    products.add(concat(ir::name(t), " many"), {{t, {140, 130, 8}}, {t, {140, 8, 10}}},
                 [](const ir::Values& x) -> ir::Values { return {ir::dot(x[0], x[1])}; });
  }
  products.check(10);
}

TEST(CudaProducts, Convolutions) {
  struct Layer {
    ir::Dims x, w;  // x as N, C, spatial
    ir::ConvolutionSpec spec;
  };
  const std::vector<Layer> layers{
      {{2, 8, 9, 11}, {16, 8, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {{2, 3, 9, 8}, {5, 3, 3, 2}, {{2, 1}, {1, 2}, {1, 0}, {0, 2}}},
      {{1, 6, 7, 7}, {6, 1, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 6}},
      {{2, 16, 6, 6}, {32, 8, 1, 1}, {{2, 2}, {1, 1}, {0, 0}, {0, 0}, 2}},
      {{9, 4, 17}, {70, 4, 4}, {{2}, {1}, {1}, {2}}},
      {{1, 2, 5, 6, 7}, {3, 2, 2, 3, 2}, {{1, 2, 1}, {1, 1, 2}, {1, 1, 0}, {0, 1, 1}}},
  };
  Products products;
  for (DType t : {DType::f32, DType::bf16})
    for (const Layer& l : layers)
      for (bool last : {false, true}) {
        ir::ConvolutionSpec spec = l.spec;
        spec.channels_last = last;
        ir::Dims xd = l.x;
        if (last) std::rotate(xd.begin() + 1, xd.begin() + 2, xd.end());
        ir::Graph sizes;
        ir::Dims yd = ir::convolution(sizes.input("x", {t, xd}), sizes.input("w", {t, l.w}), spec).dims();
        products.add(concat(ir::name(t), last ? " channels last " : " ", ir::to_string(l.x), " by ",
                            ir::to_string(l.w)),
                     {{t, xd}, {t, l.w}, {ir::compute_type(t), {l.w[0]}}, {t, yd}},
                     [&](const ir::Values& x) -> ir::Values {
                       ir::ConvolutionSpec wide = spec;
                       wide.out = ir::compute_type(t);
                       return {ir::convolution(x[0], x[1], spec, x[2]),
                               ir::convolution_input_grad(x[3], x[1], xd, spec),
                               ir::convolution_weight_grad(x[0], x[3], l.w, wide)};
                     });
      }
  products.check(72);
}

}  // namespace
}  // namespace mezzo::cuda_sim
