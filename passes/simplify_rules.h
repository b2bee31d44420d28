// simplify_rules.h: rewrite rules in text form, "sub(x, 0)" -> "x", over machine operations (the names of
// ir::Code).
#pragma once
#include <string>
#include <vector>

#include "ir/op.h"

namespace mezzo::passes {

// A variable, a number (true and false are bool), or an operation on terms.
struct Term {
  enum Kind : uint8_t { variable, number, boolean, call } kind;
  int variable_index = 0;  // in order of appearance in the rule
  double value = 0;        // number; boolean: 0 or 1
  ir::Code code = {};
  std::vector<Term> arguments = {};
};

struct RewriteRule {
  std::string text;  // "from -> to"
  Term from, to;
  int variables = 0;
};

// The table, parsed once.
const std::vector<RewriteRule>& rewrite_rules();

// The only op that is this machine operation, element by element.
const ir::OpDef& op_of(ir::Code code);
// `term` on these variables. Numbers get dtype `number`.
ir::Value build_term(ir::Graph& to, const Term& term, const ir::Values& variables, ir::DType number);

}  // namespace mezzo::passes
