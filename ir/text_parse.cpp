// text_parse.cpp: reading the text form. One method per construct; the grammar stands in text.h.
#include <algorithm>
#include <unordered_map>

#include "ir/op.h"
#include "ir/scanner.h"
#include "ir/spelling.h"
#include "ir/text.h"

namespace mezzo::ir {
namespace {

constexpr int64_t kMaxConstantBytes = int64_t{1} << 32;
constexpr int kMaxDepth = 4;  // of bodies within bodies

// What is written for a tensor: one number for every element, a list, or the name of an elided one.
struct Literal {
  size_t at = 0;
  std::string elided;
  std::vector<Word> elements;
  bool uniform = false;
};

// The known op whose name needs the fewest edits, when that is few.
std::string similar_op(const std::string& wrong) {
  std::string best;
  size_t least = 3;
  for (const OpDef* op : all_ops()) {
    std::vector<size_t> row(op->name.size() + 1);
    for (size_t j = 0; j < row.size(); j++) row[j] = j;
    for (char c : wrong) {
      size_t corner = row[0]++;
      for (size_t j = 1; j < row.size(); j++) {
        size_t replaced = corner + (op->name[j - 1] != c);
        corner = row[j];
        row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = op->name;
    }
  }
  return best;
}

class Parser {
 public:
  Parser(std::string_view text, const TensorMap& tensors) : scan_(text), tensors_(tensors) {}

  Graph parse_module() {
    scan_.skip_lines();
    if (!scan_.accept_word("graph")) scan_.fail("expected 'graph'");
    Graph graph = parse_graph(0);
    if (!scan_.at_end()) scan_.fail("expected nothing behind the graph");
    return graph;
  }

 private:
  // The values of one graph by what stands in the text: "%0", "%x", "%\"7\"" and "$w" are different names.
  struct Scope {
    Graph graph;
    std::unordered_map<std::string, Value> values;
  };

  Graph parse_graph(int depth) {
    Scope scope;
    std::string usual = depth == 0 ? "graph" : "body";
    bool named = !scan_.peek('{') && !scan_.peek_word("scheduled") && !scan_.peek_word("arena");
    scope.graph.name = named ? scan_.name("the graph's name").text : usual;
    scope.graph.scheduled = scan_.accept_word("scheduled");
    if (scan_.accept_word("arena")) {
      scan_.expect('=', "behind 'arena'");
      scope.graph.arena_bytes = parse_int();
    }
    scan_.expect('{', "before the nodes");
    scan_.end_line();
    while (!scan_.accept('}')) parse_statement(scope, depth);
    scan_.end_line();
    scope.graph.phase = Phase::forward;
    scope.graph.origin.clear();
    return std::move(scope.graph);
  }

  void parse_statement(Scope& scope, int depth) {
    if (scan_.peek('%')) return parse_node(scope, depth);
    if (scan_.accept_word("input")) return parse_leaf(scope, get_op("Input"));
    if (scan_.accept_word("state")) return parse_leaf(scope, get_op("State"));
    if (scan_.accept_word("output")) {
      std::string name = scan_.name("the output's name").text;
      scan_.expect('=', "behind the output's name");
      scope.graph.outputs.push_back({std::move(name), parse_value(scope, false)});
      return scan_.end_line();
    }
    if (scan_.accept_word("update")) return parse_update(scope);
    scan_.fail("expected input, state, output, update, a value or '}'");
  }

  void parse_update(Scope& scope) {
    size_t at = scan_.position();
    Value state = parse_value(scope, false);
    if (!is_state(*state.node)) scan_.fail("only a state can be updated", at);
    scan_.expect('=', "behind the state");
    Value value = parse_value(scope, false);
    scope.graph.updates.push_back({state.node, value, scan_.accept_word("unconditional")});
    scan_.end_line();
  }

  void parse_leaf(Scope& scope, const OpDef& op) {
    size_t at = scan_.position();
    bool state = is_name(op, "State");
    scan_.expect(state ? '$' : '%', "before the name");
    Word name = scan_.name("a name");
    Attrs attrs = parse_attrs(op);
    scan_.expect(':', "before the type");
    Type type = parse_type();
    attrs["name"] = name.text;
    attrs["dtype"] = type.dtype;
    attrs["shape"] = type.dims;
    std::vector<int64_t> offsets = parse_offset({});
    parse_origin(scope.graph);
    Node* node = add(scope, op, {}, std::move(attrs), nullptr, at);
    node->offsets = std::move(offsets);
    define(scope, (state ? "$" : "%") + spell_name(name.text), node->out(), at);
    scan_.end_line();
  }

  void parse_node(Scope& scope, int depth) {
    size_t at = scan_.position();
    std::vector<std::pair<std::string, size_t>> names;
    do {
      size_t name_at = scan_.position();
      names.emplace_back(parse_value_name(), name_at);
    } while (scan_.accept(','));
    scan_.expect('=', "behind the values' names");
    Word op_name = scan_.name("an op");
    const OpDef* op = find_op(op_name.text);
    if (!op || is_name(*op, "Input") || is_name(*op, "State")) {
      std::string similar = similar_op(op_name.text);
      scan_.fail(concat("unknown op '", op_name.text, "'"), op_name.at,
                 similar.empty() ? "" : "did you mean " + similar + "?");
    }
    bool constant = is_name(*op, "Constant");
    Values inputs;
    Literal literal;
    if (constant)
      literal = parse_literal();
    else
      inputs = parse_inputs(scope);
    Attrs attrs = constant ? Attrs{} : parse_attrs(*op);
    scan_.expect(':', "before the types");
    size_t types_at = scan_.position();
    std::vector<Type> types;
    std::vector<int64_t> offsets;
    do {
      types.push_back(parse_type());
      offsets = parse_offset(std::move(offsets));
    } while (scan_.accept(','));
    if (types.size() != names.size())
      scan_.fail(concat(names.size(), " values, ", types.size(), " types"), types_at);
    if (!offsets.empty() && offsets.size() != types.size())
      scan_.fail("either all or no outputs have an offset", types_at);
    if (constant) attrs["value"] = make_tensor(literal, types[0]);
    parse_origin(scope.graph);
    scan_.end_line();
    std::unique_ptr<Graph> body;
    if (scan_.accept_word("body")) {
      if (depth + 1 >= kMaxDepth) scan_.fail("bodies are nested too deeply");
      body = std::make_unique<Graph>(parse_graph(depth + 1));
    }
    Node* node = add(scope, *op, std::move(inputs), std::move(attrs), std::move(body), at);
    if (node->types() != types) {
      std::string inferred;
      for (const Type& t : node->types()) inferred += (inferred.empty() ? "" : ", ") + to_string(t);
      scan_.fail(concat("the type is ", inferred), types_at);
    }
    node->offsets = std::move(offsets);
    for (size_t i = 0; i < names.size(); i++)
      define(scope, names[i].first, node->out(static_cast<int>(i)), names[i].second);
  }

  // Errors of the op's shape rule, located in the text.
  Node* add(Scope& scope, const OpDef& op, Values inputs, Attrs attrs, std::unique_ptr<Graph> body,
            size_t at) {
    if (body && !is_name(op, "Kernel") && !is_name(op, "TimeLoop")) scan_.fail(concat(op.name, " has no body"), at);
    try {
      return scope.graph.add(op, std::move(inputs), std::move(attrs), std::move(body));
    } catch (const Error& e) {
      scan_.fail(e.what(), at, e.hint());
    } catch (const InternalError& e) {
      scan_.fail(e.what(), at);
    }
  }

  static bool is_name(const OpDef& op, std::string_view name) { return op.name == name; }

  void define(Scope& scope, const std::string& name, Value value, size_t at) {
    if (!scope.values.emplace(name, value).second) scan_.fail(concat(name, " is defined twice"), at);
  }

  // "%7", "%x", "%\"odd name\"", "$w", as in the key of Scope::values.
  std::string parse_value_name() {
    std::string sigil = scan_.accept('$') ? "$" : "%";
    if (sigil == "%") scan_.expect('%', "before a value's name");
    size_t at = scan_.position();
    for (char digit = '0'; digit <= '9'; digit++)
      if (scan_.peek(digit)) {
        std::string number = scan_.number("a number").text;
        if (!read_int(number)) scan_.fail("a value's name is a number or begins with a letter", at);
        return sigil + number;
      }
    return sigil + spell_name(scan_.name("a value's name").text);
  }

  Value parse_value(const Scope& scope, bool may_be_absent) {
    if (may_be_absent && scan_.accept_word("_")) return {};
    size_t at = scan_.position();
    std::string name = parse_value_name();
    auto it = scope.values.find(name);
    if (it == scope.values.end()) scan_.fail(concat(name, " is not defined above"), at);
    return it->second;
  }

  Values parse_inputs(const Scope& scope) {
    Values inputs;
    scan_.expect('(', "before the inputs");
    if (scan_.accept(')')) return inputs;
    do inputs.push_back(parse_value(scope, true));
    while (scan_.accept(','));
    scan_.expect(')', "behind the inputs");
    return inputs;
  }

  Attrs parse_attrs(const OpDef& op) {
    Attrs attrs;
    while (!scan_.peek(':')) {
      Word key = scan_.name("an attribute or ':' and the type");
      auto spec = std::find_if(op.attrs.begin(), op.attrs.end(), [&](auto& s) { return s.name == key.text; });
      if (spec == op.attrs.end()) {
        std::string known;
        for (const AttrSpec& s : op.attrs) known += (known.empty() ? "" : ", ") + std::string(s.name);
        scan_.fail(concat(op.name, " has no attribute '", key.text, "'"), key.at,
                   known.empty() ? "it has none" : "it has " + known);
      }
      scan_.expect('=', "behind the attribute's name");
      if (!attrs.emplace(key.text, parse_attr(spec->value)).second)
        scan_.fail(concat("attribute '", key.text, "' is given twice"), key.at);
    }
    return attrs;
  }

  // An attribute of the same type as `like`.
  Attr parse_attr(const Attr& like) {
    if (std::holds_alternative<int64_t>(like)) return parse_int();
    if (std::holds_alternative<double>(like)) return parse_double();
    if (std::holds_alternative<std::string>(like)) return scan_.name("a string").text;
    if (std::holds_alternative<Ints>(like)) return parse_list<Ints>([&] { return parse_int(); });
    if (std::holds_alternative<Floats>(like)) return parse_list<Floats>([&] { return parse_double(); });
    if (std::holds_alternative<Strings>(like))
      return parse_list<Strings>([&] { return scan_.name("a string").text; });
    if (std::holds_alternative<DType>(like)) return parse_dtype_word();
    Type type = parse_type();
    return make_tensor(parse_literal(), type);
  }

  template <class List, class Item>
  List parse_list(Item item) {
    List out;
    scan_.expect('[', "before a list");
    if (scan_.accept(']')) return out;
    do out.push_back(item());
    while (scan_.accept(','));
    scan_.expect(']', "behind a list");
    return out;
  }

  int64_t parse_int() {
    Word word = scan_.number("an integer");
    std::optional<int64_t> v = read_int(word.text);
    if (!v) scan_.fail(concat("'", word.text, "' is not an integer"), word.at);
    return *v;
  }

  double parse_double() {
    Word word = scan_.number("a number");
    std::optional<double> v = read_double(word.text);
    if (!v) scan_.fail(concat("'", word.text, "' is not a number"), word.at);
    return *v;
  }

  DType parse_dtype_word() {
    Word word = scan_.name("an element type");
    std::optional<DType> t = parse_dtype(word.text);
    if (!t)
      scan_.fail(concat("unknown element type '", word.text, "'"), word.at, "f32, bf16, f16, i64, bool ...");
    return *t;
  }

  Type parse_type() {
    size_t at = scan_.position();
    DType dtype = parse_dtype_word();
    Type type{dtype, parse_list<Dims>([&] { return parse_int(); })};
    try {
      element_count(type.dims);
    } catch (const Error& e) {
      scan_.fail(e.what(), at);
    }
    return type;
  }

  std::vector<int64_t> parse_offset(std::vector<int64_t> before) {
    if (!scan_.accept('@')) return before;
    before.push_back(scan_.accept_word("none") ? -1 : scan_.accept_word("state") ? -2 : parse_int());
    return before;
  }

  void parse_origin(Graph& graph) {
    graph.phase = Phase::forward;
    graph.origin.clear();
    if (!scan_.accept(';')) return;
    for (Phase phase : {Phase::forward, Phase::backward, Phase::update})
      if (scan_.accept_word(name(phase))) {
        graph.phase = phase;
        break;
      }
    if (scan_.peek('\n')) return;
    do graph.origin.push_back(scan_.name("the name of a node").text);
    while (scan_.accept(','));
  }

  Literal parse_literal() {
    Literal out;
    out.at = scan_.position();
    if (scan_.accept('@')) {
      out.elided = scan_.name("a tensor's name").text;
    } else if (scan_.accept('{')) {
      if (scan_.accept('}')) return out;
      do out.elements.push_back(scan_.number("a number"));
      while (scan_.accept(','));
      scan_.expect('}', "behind the elements");
    } else {
      out.uniform = true;
      out.elements.push_back(scan_.number("a number, '{' or '@'"));
    }
    return out;
  }

  TensorPtr make_tensor(const Literal& literal, const Type& type) {
    if (!literal.elided.empty()) {
      auto it = tensors_.find(literal.elided);
      if (it == tensors_.end())
        scan_.fail(concat("the constant @", literal.elided, " is not at hand"), literal.at,
                   "the constants of a dump are in .npy files beside it");
      if (it->second->type() != type)
        scan_.fail(concat("the constant is ", to_string(it->second->type())), literal.at);
      return it->second;
    }
    auto given = static_cast<int64_t>(literal.elements.size());
    if (!literal.uniform && given != type.count())
      scan_.fail(concat(given, " elements for ", to_string(type)), literal.at);
    if (type.count() > kMaxConstantBytes / 8)
      scan_.fail("a constant this large cannot be written so", literal.at);
    Tensor tensor(type);
    for (int64_t i = 0; i < type.count(); i++) {
      const Word& word = literal.elements[literal.uniform ? 0 : static_cast<size_t>(i)];
      if (!read_element(word.text, tensor, i))
        scan_.fail(concat("'", word.text, "' is not ", name(type.dtype)), word.at);
    }
    return std::make_shared<const Tensor>(std::move(tensor));
  }

  Scanner scan_;
  const TensorMap& tensors_;
};

}  // namespace

Graph parse(std::string_view text, const TensorMap& tensors) { return Parser(text, tensors).parse_module(); }

}  // namespace mezzo::ir
