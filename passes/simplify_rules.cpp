#include "passes/simplify_rules.h"

#include <cmath>

#include "ir/build.h"
#include "ir/spelling.h"
#include "passes/simplify.h"

namespace mezzo::passes {
namespace {

using ir::Value;
using ir::Values;

// Each holds for every value of every type the operations take, infinities, NaN and both zeros included. x +
// 0 is not among them: (-0) + 0 is 0.
constexpr std::pair<std::string_view, std::string_view> kTable[] = {
    {"mul(x, 1)", "x"},
    {"mul(1, x)", "x"},
    {"div(x, 1)", "x"},
    {"sub(x, 0)", "x"},
    {"add(x, -0)", "x"},
    {"add(-0, x)", "x"},
    {"neg(neg(x))", "x"},
    {"abs(neg(x))", "abs(x)"},
    {"abs(abs(x))", "abs(x)"},
    {"add(x, neg(y))", "sub(x, y)"},
    {"add(neg(x), y)", "sub(y, x)"},
    {"sub(x, neg(y))", "add(x, y)"},
    {"mul(neg(x), neg(y))", "mul(x, y)"},
    {"div(neg(x), neg(y))", "div(x, y)"},
    {"floor(floor(x))", "floor(x)"},
    {"min(x, x)", "x"},
    {"max(x, x)", "x"},
    {"select(true, x, y)", "x"},
    {"select(false, x, y)", "y"},
    {"select(c, x, x)", "x"},
    {"select(logical_not(c), x, y)", "select(c, y, x)"},
    {"logical_not(logical_not(x))", "x"},
    {"logical_and(x, true)", "x"},
    {"logical_and(true, x)", "x"},
    {"logical_and(x, x)", "x"},
    {"logical_or(x, false)", "x"},
    {"logical_or(false, x)", "x"},
    {"logical_or(x, x)", "x"},
};

constexpr auto kLastCode = ir::Code::program;

class RuleParser {
 public:
  RewriteRule parse(std::string_view from, std::string_view to) {
    RewriteRule rule{concat(from, " -> ", to), parse_side(from), parse_side(to), 0};
    rule.variables = static_cast<int>(names_.size());
    return rule;
  }

 private:
  Term parse_side(std::string_view text) {
    text_ = text;
    Term term = parse_term();
    check(text_.empty(), "rule: '", text_, "' is left over");
    return term;
  }

  Term parse_term() {
    std::string word;
    while (!text_.empty() && std::string_view("(), ").find(text_[0]) == std::string_view::npos) {
      word += text_[0];
      text_.remove_prefix(1);
    }
    if (take('(')) {
      Term term{Term::call, 0, 0, code_named(word), {}};
      do term.arguments.push_back(parse_term());
      while (take(','));
      check(take(')'), "rule: a parenthesis is open");
      return term;
    }
    if (word == "true" || word == "false") return {Term::boolean, 0, word == "true" ? 1.0 : 0.0};
    if (std::optional<double> number = ir::read_double(word)) return {Term::number, 0, *number};
    size_t i = 0;
    while (i < names_.size() && names_[i] != word) i++;
    if (i == names_.size()) names_.push_back(word);
    return {Term::variable, static_cast<int>(i)};
  }

  bool take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    while (!text_.empty() && text_[0] == ' ') text_.remove_prefix(1);
    return true;
  }

  static ir::Code code_named(std::string_view word) {
    for (int i = 0; i < static_cast<int>(kLastCode); i++)
      if (name(static_cast<ir::Code>(i)) == word) return static_cast<ir::Code>(i);
    throw InternalError(concat("rule: no operation '", word, "'"));
  }

  std::string_view text_;
  std::vector<std::string> names_;
};

bool is_number(Value v, const Term& term) {
  ir::TensorPtr t = ir::constant_of(v);
  if (!t || t->count() == 0 || (t->dtype() == ir::DType::boolean) != (term.kind == Term::boolean))
    return false;
  bool whole = !ir::is_float(t->dtype());
  for (int64_t i = 0; i < t->count(); i++) {
    if (whole && static_cast<double>(t->get_int(i)) != term.value) return false;
    if (!whole && (t->get(i) != term.value || std::signbit(t->get(i)) != std::signbit(term.value)))
      return false;
  }
  return true;
}

bool matches(const Term& term, Value v, Values& variables);

bool match_arguments(const Term& term, const Values& inputs, Values& variables) {
  for (size_t i = 0; i < term.arguments.size(); i++)
    if (i >= inputs.size() || !inputs[i] || !matches(term.arguments[i], inputs[i], variables)) return false;
  return true;
}

bool matches(const Term& term, Value v, Values& variables) {
  if (term.kind == Term::call)
    return is_operation(*v.node, term.code) && match_arguments(term, v.node->inputs(), variables);
  if (term.kind != Term::variable) return is_number(v, term);
  Value& bound = variables[static_cast<size_t>(term.variable_index)];
  if (!bound) bound = v;
  return bound == v;
}

}  // namespace

const std::vector<RewriteRule>& rewrite_rules() {
  static const std::vector<RewriteRule> rules = [] {
    std::vector<RewriteRule> out;
    for (auto& [from, to] : kTable) out.push_back(RuleParser().parse(from, to));
    return out;
  }();
  return rules;
}

const ir::OpDef& op_of(ir::Code code) {
  static const std::vector<const ir::OpDef*> by_code = [] {
    std::vector<const ir::OpDef*> out(static_cast<size_t>(kLastCode) + 1);
    for (const ir::OpDef* op : ir::all_ops())
      if (op->meaning == ir::Meaning::scalar) out[static_cast<size_t>(op->scalar.code)] = op;
    return out;
  }();
  const ir::OpDef* op = by_code[static_cast<size_t>(code)];
  check(op && code != kLastCode, "no op is the operation ", name(code));
  return *op;
}

Value build_term(Graph& to, const Term& term, const Values& variables, ir::DType number) {
  if (term.kind == Term::variable) return variables[static_cast<size_t>(term.variable_index)];
  if (term.kind != Term::call)
    return to.constant(term.value, term.kind == Term::boolean ? ir::DType::boolean : number);
  Values inputs;
  for (const Term& argument : term.arguments) inputs.push_back(build_term(to, argument, variables, number));
  return to.add(op_of(term.code), std::move(inputs))->out();
}

Value apply_table(const Site& site) {
  if (site.node.op().meaning != ir::Meaning::scalar) return {};
  for (const RewriteRule& rule : rewrite_rules()) {
    if (rule.from.code != site.node.op().scalar.code) continue;
    Values variables(static_cast<size_t>(rule.variables));
    if (!match_arguments(rule.from, site.inputs, variables)) continue;
    Value by = build_term(site.to, rule.to, variables, site.node.type().dtype);
    return ir::expand(by, site.node.type().dims);  // what was dropped may have been the wider operand
  }
  return {};
}

// x / 2^k and x * 2^-k round the same real number, once.
Value multiply_by_inverse(const Site& site) {
  if (!is_operation(site.node, ir::Code::div) || !ir::is_float(site.node.type().dtype)) return {};
  ir::TensorPtr divisor = ir::constant_of(site.inputs[1]);
  if (!divisor || divisor->count() != 1) return {};
  double d = divisor->get(0), inverse = 1 / d;
  int exponent = 0;
  bool power = std::isfinite(d) && std::isfinite(inverse) && std::fabs(std::frexp(d, &exponent)) == 0.5;
  if (!power || ir::round_to(inverse, divisor->dtype()) != inverse || inverse == 0) return {};
  Value factor = site.to.constant(inverse, divisor->dtype(), divisor->dims());
  return site.to.add(op_of(ir::Code::mul), {site.inputs[0], factor})->out();
}

}  // namespace mezzo::passes
