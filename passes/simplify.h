// simplify.h: the rules of the pass simplify. Every one keeps every bit of the result, NaN payloads excepted.
#pragma once
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {

// A node to be copied to the new graph `to`, where its inputs are `inputs` already. New nodes get its phase
// and origin.
struct Site {
  Graph& to;
  const ir::Node& node;      // of the old graph
  const ir::Values& inputs;  // of the new graph; types are those of node's inputs
  const ir::UseMap& uses;    // of the old graph
  // Whether nothing but this node uses what input i was in the old graph.
  bool sole_user(size_t i) const { return uses.count(node.in(i)) == 1; }
};

// The value that does the node's job, of the node's type; absent where the rule does not apply.
using SimplifyRule = ir::Value (*)(const Site&);

// Casts (simplify_casts.cpp).
ir::Value drop_cast(const Site&);  // to the same type; of a cast that only widened
ir::Value round_in_producer(
    const Site&);  // Cast(f32 result of a 16-bit product) -> the product rounds itself
ir::Value sink_widening_casts(const Site&);   // movement(Cast up) -> Cast up(movement)
ir::Value hoist_narrowing_cast(const Site&);  // Cast down(movement) -> movement(Cast down)
// A movement whose elements all come from inputs or are a fill that `dtype` can hold.
bool moves(const ir::Node&, ir::DType dtype);

// Movement (simplify_movement.cpp).
ir::Value drop_movement(const Site&);         // what keeps the row-major order is a Reshape or nothing
ir::Value join_movements(const Site&);        // Reshape of Reshape, Transpose of Transpose, Expand of Expand
ir::Value transpose_in_product(const Site&);  // a transposed operand -> the product's flag
ir::Value transpose_of_product(const Site&);  // (A B)' = B' A'
ir::Value broadcast_implicitly(const Site&);  // scalar op of Expand -> scalar op

ir::Value compute_nothing(const Site&);  // of no elements, or moved from values of none -> a constant

// Arithmetic: the table of simplify_rules.cpp, and division by a power of two as a product.
ir::Value apply_table(const Site&);
ir::Value multiply_by_inverse(const Site&);

}  // namespace mezzo::passes
