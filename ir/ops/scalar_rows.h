// scalar_rows.h: short forms of the records of scalar operators and of formulas on them.
#pragma once
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {

using GradRule = Values (*)(Grad&);
using Expansion = Values (*)(Graph&, const Node&, const Values&);
using Inference = std::vector<Type> (*)(const Node&);

// Shape rules: numpy broadcasting; all inputs have one dtype, of the kind said.
std::vector<Type> infer_numbers(const Node&);  // not bool
std::vector<Type> infer_floats(const Node&);
std::vector<Type> infer_integers(const Node&);
std::vector<Type> infer_booleans(const Node&);
std::vector<Type> infer_comparison(const Node&);  // any dtype; gives bool
std::vector<Type> infer_ordering(const Node&);    // numbers; gives bool

// One machine operation.
inline OpDef machine(std::string_view name, Code code, Precision precision, Inference infer, GradRule grad) {
  return {.name = name,
          .min_inputs = arity(code),
          .max_inputs = arity(code),
          .precision = precision,
          .meaning = Meaning::scalar,
          .infer = infer,
          .scalar = {code},
          .grad = grad};
}

// A composed real function: `program` in f32, `real` in f64.
inline OpDef composed(std::string_view name, Precision precision, double (*real)(const double*),
                      const Program& (*program)(), GradRule grad, int inputs = 1) {
  return {.name = name,
          .min_inputs = inputs,
          .max_inputs = inputs,
          .precision = precision,
          .meaning = Meaning::scalar,
          .infer = infer_floats,
          .scalar = {Code::program, real, program},
          .grad = grad};
}

// A formula on values, element by element.
inline OpDef formula(std::string_view name, int min_inputs, int max_inputs, std::vector<AttrSpec> attrs,
                     Precision precision, Inference infer, Expansion expansion, GradRule grad) {
  return {.name = name,
          .min_inputs = min_inputs,
          .max_inputs = max_inputs,
          .attrs = std::move(attrs),
          .precision = precision,
          .meaning = Meaning::expand,
          .infer = infer,
          .expand = expansion,
          .grad = grad};
}

}  // namespace mezzo::ir
