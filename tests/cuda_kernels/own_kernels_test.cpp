// Kernels of ops with an algorithm of their own, in the sizes that make each of its forms; and the functions
// of f64.
#include "codegen/cuda/source.h"
#include "formulas.h"
#include "ir/indexing.h"

namespace mezzo::cuda_sim {
namespace {

using ir::apply;
using ir::DType;
using ir::Value;

TEST(CudaKernels, TopK) {
  Formulas formulas;
  struct Size {
    ir::Dims dims;
    int64_t axis, k;
  };
  for (const Size& s :
       {Size{{300, 8}, 1, 2}, Size{{7, 40}, 1, 40}, Size{{40, 7}, 0, 33}, Size{{2, 1500}, 1, 5},
        Size{{1500, 2}, 0, 375}, Size{{5003}, 0, 1}, Size{{1100}, 0, 1100}, Size{{3, 0, 2}, 1, 0}})
    for (DType t : {DType::f32, DType::bf16, DType::f64, DType::i64, DType::u8})
      for (bool largest : {true, false}) {
        ir::Attrs attrs{{"k", s.k}, {"axis", s.axis}, {"largest", int64_t{largest}}};
        // Roots of negative numbers are not numbers; few different numbers have many that are equal.
        formulas.add(concat("top ", s.k, " of ", ir::to_string(s.dims), " as ", ir::name(t)),
                     {{ir::is_float(t) ? t : DType::i64, s.dims}}, [&](const ir::Values& x) -> ir::Values {
                       Value v = ir::is_float(t) ? ir::sqrt(ir::cast(x[0], DType::f32)) : x[0] - 25;
                       ir::Node* n = x[0].node->graph().add(ir::get_op("TopK"), {ir::cast(v, t)}, attrs);
                       return {n->out(0), n->out(1)};
                     });
      }
  int compared = 0;
  formulas.check(0,
                 [&](const std::string&, const NodeRuns::Outcome& o) { compared += ir::is_top_k(*o.node); });
  EXPECT_EQ(compared, 80);
}

TEST(CudaKernels, Recurrences) {
  Formulas formulas;
  for (const ir::Dims& dims : {ir::Dims{37}, ir::Dims{5, 8, 33}, ir::Dims{300, 3}})
    for (DType t : {DType::f32, DType::f64, DType::i32})
      for (int form = 0; form < 6; form++)
        formulas.add(concat("recurrence ", ir::to_string(dims), " as ", ir::name(t), ", form ", form),
                     {{ir::is_float(t) ? t : DType::i64, dims}, {ir::is_float(t) ? t : DType::i64, dims}},
                     [&](const ir::Values& x) -> ir::Values {
                       Value factor = form / 2 == 0 ? Value{} : ir::cast(x[0], t),
                             addend = form / 2 == 1 ? Value{} : ir::cast(x[1], t);
                       return {ir::recurrence(factor, addend, dims.size() > 1, form % 2)};
                     });
  int compared = 0;
  formulas.check(
      0, [&](const std::string&, const NodeRuns::Outcome& o) { compared += ir::is_recurrence(*o.node); });
  EXPECT_EQ(compared, 54);
}

TEST(CudaKernels, FunctionsOfF64) {
  Formulas formulas;
  int functions = 0;
  for (const ir::OpDef* op : ir::all_ops()) {
    if (op->meaning != ir::Meaning::scalar || !op->scalar.real) continue;
    functions++;
    formulas.add(std::string(op->name),
                 std::vector<ir::Type>(static_cast<size_t>(op->max_inputs), {DType::f64, {100}}),
                 [&](const ir::Values& x) -> ir::Values { return {x[0].node->graph().add(*op, x)->out()}; });
  }
  formulas.check(0);
  EXPECT_GE(functions, 19);
}

}  // namespace
}  // namespace mezzo::cuda_sim
