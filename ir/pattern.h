// pattern.h: how exporters write an op where their opset lacks it, as text next to the op's record, and
// matching that text against a graph.
//
//   norm = Add(Mul(hat, scale), bias) | Mul(hat, scale);
//   hat  = Div(rest, Sqrt(var));
//   ...
//
// The first definition is what is looked for. In a term, Op(...) is a node of that op (its first output;
// addition and multiplication in either order), a name that is defined stands for its alternatives, tried in
// order, another name for any value, the same one (or, for a defined name, an equal computation) at every
// place. A number is a constant of that value, up to rounding, in all elements; #name any constant whose
// elements are all equal. Identity and Casts that change nothing are looked through.
#pragma once
#include <functional>
#include <map>
#include <set>

#include "ir/op.h"

namespace mezzo::ir {

struct PatternTerm {
  enum Kind : uint8_t { name, number, any_number, call } kind;
  std::string text = {};  // of a name or #name
  double value = 0;
  const OpDef* op = nullptr;
  std::vector<PatternTerm> arguments = {};
};

struct Pattern {
  std::string root;
  std::map<std::string, std::vector<PatternTerm>, std::less<>> definitions;
};
// Throws InternalError for text that is no pattern.
Pattern parse_pattern(std::string_view text);

// What a pattern's names stand for in the graph it was matched against.
class Match {
 public:
  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  Value value(std::string_view name) const { return values_.find(name)->second; }
  const Node& node(std::string_view name) const { return *value(name).node; }
  double number(std::string_view name) const { return numbers_.find(name)->second; }
  bool has_number(std::string_view name) const { return numbers_.find(name) != numbers_.end(); }
  // Nodes the pattern's calls matched, and those that were looked through.
  const std::set<const Node*>& nodes() const { return nodes_; }

 private:
  friend class Matcher;
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string, double, std::less<>> numbers_;
  std::set<const Node*> nodes_;  // looked up only, or taken in the graph's order
};
std::optional<Match> match(const Pattern& pattern, Value v);

// A value that is made of constants, computed; null otherwise, and where that takes more than `limit`
// elements or steps.
TensorPtr constant_value(Value v, int64_t limit = 1 << 22);
// The number all elements of a constant value equal.
std::optional<double> uniform_number(Value v);

using NewValue = std::function<Value(Value)>;

// `fits` looks closer at a match than the text can (axes, shapes; null: every match will do). `build` then
// makes the op in `to`, on the new graph's values that `now` gives for the old ones, and returns what stands
// for the outputs of the node at the root.
struct Decomposition {
  std::string_view pattern;
  bool (*fits)(const Match&);
  Values (*build)(Graph& to, const Match&, const NewValue& now);
};

}  // namespace mezzo::ir
