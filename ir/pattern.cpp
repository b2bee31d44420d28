#include "ir/pattern.h"

#include <algorithm>
#include <cmath>

#include "ir/eval.h"
#include "ir/spelling.h"

namespace mezzo::ir {
namespace {

constexpr double kTolerance = 1e-6;  // of a literal: exporters round them to f32
constexpr int kMaxDepth = 64;        // of terms; and of constant expressions

class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) { skip_blanks(); }

  Pattern parse() {
    Pattern pattern;
    while (!text_.empty()) {
      std::string name = word();
      check(take('='), "pattern: '", name, "' has no =");
      if (pattern.root.empty()) pattern.root = name;
      auto& alternatives = pattern.definitions[name];
      do alternatives.push_back(term());
      while (take('|'));
      check(take(';'), "pattern: no ; behind '", name, "'");
    }
    return pattern;
  }

 private:
  PatternTerm term() {
    const bool any = take('#');
    std::string name = word();
    check(!name.empty(), "pattern: a term is missing before '", text_, "'");
    if (any) return {PatternTerm::any_number, name};
    if (take('(')) {
      PatternTerm call{PatternTerm::call, {}, 0, &get_op(name)};
      do call.arguments.push_back(term());
      while (take(','));
      check(take(')'), "pattern: a parenthesis is open");
      return call;
    }
    if (std::optional<double> number = read_double(name)) return {PatternTerm::number, {}, *number};
    return {PatternTerm::name, name};
  }

  std::string word() {
    size_t end = 0;
    while (end < text_.size() && std::string_view(" \n()=|;,#").find(text_[end]) == std::string_view::npos)
      end++;
    std::string out(text_.substr(0, end));
    text_.remove_prefix(end);
    skip_blanks();
    return out;
  }
  bool take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    skip_blanks();
    return true;
  }
  void skip_blanks() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }

  std::string_view text_;
};

bool changes_nothing(const Node& n) {
  return (is_cast(n) && n.type() == n.in_type(0)) || n.op().name == "Identity";
}

Value behind(Value v) {
  while (v && v.node->input_count() > 0 && changes_nothing(*v.node)) v = v.node->in(0);
  return v;
}

bool commutes(const OpDef& op) {
  return op.meaning == Meaning::scalar && (op.scalar.code == Code::add || op.scalar.code == Code::mul);
}

}  // namespace

Pattern parse_pattern(std::string_view text) { return PatternParser(text).parse(); }

class Matcher {
 public:
  explicit Matcher(const Pattern& pattern) : pattern_(pattern) {}

  std::optional<Match> run(Value v) {
    if (!matches({PatternTerm::name, pattern_.root}, v, 0)) return std::nullopt;
    return std::move(now_);
  }

 private:
  // Tries `attempt`; where it fails nothing stays bound.
  template <class F>
  bool attempt(F f) {
    Match before = now_;
    if (f()) return true;
    now_ = std::move(before);
    return false;
  }

  bool matches(const PatternTerm& term, Value v, int depth) {
    if (!v || depth > kMaxDepth) return false;
    switch (term.kind) {
      case PatternTerm::name: return matches_name(term.text, v, depth);
      case PatternTerm::call: return matches_call(term, v, depth);
      case PatternTerm::number: {
        auto number = uniform_number(v);
        return number && std::abs(*number - term.value) <= kTolerance * std::abs(term.value);
      }
      case PatternTerm::any_number: {
        auto number = uniform_number(v);
        if (!number) return false;
        auto [it, fresh] = now_.numbers_.emplace(term.text, *number);
        return fresh || it->second == *number;
      }
    }
    return false;
  }

  bool matches_name(const std::string& name, Value v, int depth) {
    auto bound = now_.values_.find(name);
    if (bound != now_.values_.end() && behind(bound->second) == behind(v)) return true;
    auto defined = pattern_.definitions.find(name);
    if (defined == pattern_.definitions.end()) {
      if (bound != now_.values_.end()) return false;
      now_.values_[name] = v;
      return true;
    }
    for (const PatternTerm& alternative : defined->second)
      if (attempt([&] { return matches(alternative, v, depth + 1); })) {
        now_.values_.emplace(name, behind(v));
        return true;
      }
    return false;
  }

  bool matches_call(const PatternTerm& term, Value outer, int depth) {
    const Value v = behind(outer);
    const Node& n = *v.node;
    if (v.index != 0 || &n.op() != term.op || n.input_count() != term.arguments.size()) return false;
    const auto& arguments = term.arguments;
    auto in_order = [&](size_t first) {
      for (size_t i = 0; i < arguments.size(); i++)
        if (!matches(arguments[i], n.in(i ^ first), depth + 1)) return false;
      return true;
    };
    bool found = attempt([&] { return in_order(0); });
    if (!found && commutes(n.op())) found = attempt([&] { return in_order(1); });
    if (!found) return false;
    for (; outer != v; outer = outer.node->in(0)) now_.nodes_.insert(outer.node);
    now_.nodes_.insert(&n);
    return true;
  }

  const Pattern& pattern_;
  Match now_;
};

std::optional<Match> match(const Pattern& pattern, Value v) { return Matcher(pattern).run(v); }

namespace {

// Depth-first, at most kMaxDepth deep; `room` counts elements down.
TensorPtr evaluate_constant(Value v, int64_t& room, int depth) {
  if (TensorPtr t = constant_of(v)) return t;
  const Node& n = *v.node;
  room -= n.type(v.index).count() + 1;
  if (depth > kMaxDepth || room < 0 || n.op().meaning == Meaning::leaf || n.body) return nullptr;
  std::vector<TensorPtr> held;
  std::vector<const Tensor*> inputs;
  for (const Value& in : n.inputs()) {
    held.push_back(in ? evaluate_constant(in, room, depth + 1) : nullptr);
    if (in && !held.back()) return nullptr;
    inputs.push_back(held.back().get());
  }
  return std::make_shared<const Tensor>(
      evaluate_node(n, inputs, EvalMode::rounded)[static_cast<size_t>(v.index)]);
}

}  // namespace

TensorPtr constant_value(Value v, int64_t limit) { return evaluate_constant(v, limit, 0); }

std::optional<double> uniform_number(Value v) {
  constexpr int64_t kMostElements = 1 << 16;  // a vector of ones, not a mask
  TensorPtr t = v.type().count() <= kMostElements ? constant_value(v, 4 * kMostElements) : nullptr;
  if (!t || t->count() == 0) return std::nullopt;
  auto at = [&](int64_t i) { return is_float(t->dtype()) ? t->get(i) : static_cast<double>(t->get_int(i)); };
  for (int64_t i = 1; i < t->count(); i++)
    if (at(i) != at(0)) return std::nullopt;
  return at(0);
}

}  // namespace mezzo::ir
