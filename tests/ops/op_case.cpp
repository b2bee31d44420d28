#include "tests/ops/op_case.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <numeric>

#include "ir/build.h"
#include "tests/paths.h"

namespace mezzo::ir {
namespace {

[[noreturn]] void bad(const std::string& what) { throw Error(ErrorCode::bad_input, what); }

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

double parse_number(const std::string& text) {
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  size_t used = 0;
  double v = 0;
  try {
    v = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  if (used == 0 || used != text.size()) bad(mezzo::concat("'", text, "' is no number"));
  return v;
}

Ints integers(const std::string& text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']')
    bad(mezzo::concat("'", text, "' is no list"));
  Ints out;
  for (const std::string& part : split(text.substr(1, text.size() - 2), ',')) out.push_back(std::stoll(part));
  return out;
}

// "f32[2,3]", "f32[2,3]{-1..1}", "i64[3]{0,4,-1}", "-"
InputCase parse_input(const std::string& text) {
  InputCase in;
  if (text == "-") {
    in.absent = true;
    return in;
  }
  const size_t open = text.find('['), close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) bad(mezzo::concat("'", text, "' is no type"));
  const auto dtype = parse_dtype(text.substr(0, open));
  if (!dtype) bad(mezzo::concat("'", text, "' has no known type"));
  in.type = {*dtype, integers(text.substr(open, close - open + 1))};
  if (!is_float(*dtype))
    in.low = *dtype == DType::boolean ? 0 : 1, in.high = *dtype == DType::boolean ? 1 : 5;
  if (close + 1 == text.size()) return in;
  const std::string range = text.substr(close + 2, text.size() - close - 3);
  if (const size_t dots = range.find(".."); dots != std::string::npos) {
    in.low = parse_number(range.substr(0, dots));
    in.high = parse_number(range.substr(dots + 2));
  } else {
    for (const std::string& part : split(range, ',')) in.values.push_back(parse_number(part));
    if (static_cast<int64_t>(in.values.size()) != in.type.count())
      bad(mezzo::concat("'", text, "' has another count"));
  }
  return in;
}

// The kind of value is the one the op's schema has for the attribute.
Attr parse_attr(const OpDef& op, const std::string& key, const std::string& text) {
  for (const AttrSpec& spec : op.attrs) {
    if (spec.name != key) continue;
    if (std::holds_alternative<int64_t>(spec.value)) return int64_t{std::stoll(text)};
    if (std::holds_alternative<double>(spec.value)) return parse_number(text);
    if (std::holds_alternative<Ints>(spec.value)) return integers(text);
    if (std::holds_alternative<std::string>(spec.value)) return text;
    if (std::holds_alternative<DType>(spec.value)) {
      if (auto t = parse_dtype(text)) return *t;
    }
    if (std::holds_alternative<Floats>(spec.value)) {
      Floats out;
      for (const std::string& part : split(text.substr(1, text.size() - 2), ','))
        out.push_back(parse_number(part));
      return out;
    }
    if (std::holds_alternative<Strings>(spec.value)) return split(text.substr(1, text.size() - 2), ',');
    bad(mezzo::concat("attribute ", key, " cannot be '", text, "'"));
  }
  bad(mezzo::concat(op.name, " has no attribute ", key));
}

OpCase parse_case(const std::string& line) {
  OpCase c;
  c.line = line;
  c.seed = 2166136261u;
  for (char letter : line) c.seed = (c.seed ^ static_cast<unsigned char>(letter)) * 16777619u;
  std::istringstream in(line);
  std::string word;
  in >> word;
  c.op = find_op(word);
  if (!c.op) bad(mezzo::concat("no op named ", word));
  bool options = false;
  while (in >> word) {
    if (word == "|") {
      options = true;
      continue;
    }
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      c.inputs.push_back(parse_input(word));
      continue;
    }
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    if (!options)
      c.attrs[key] = parse_attr(*c.op, key, value);
    else if (key == "outputs")
      for (const std::string& part : split(value, ',')) c.grad_outputs.push_back(std::stoi(part));
    else if (key == "tol")
      c.tolerance = parse_number(value);
    else if (key == "roundings")
      c.roundings = parse_number(value);
    else if (key == "low")
      c.low = value != "no";
    else if (key == "grad")
      c.grad = value != "no";
    else
      bad(mezzo::concat("no option ", key));
  }
  return c;
}

// A shuffled grid: distinct values, and with a symmetric range no multiple of a quarter of it.
Tensor draw(const InputCase& in, Type type, std::mt19937& random, size_t position) {
  Tensor t(type);
  const int64_t count = t.count();
  if (!in.values.empty()) {
    for (int64_t i = 0; i < count; i++) {
      if (is_float(type.dtype))
        t.set(i, in.values[static_cast<size_t>(i)]);
      else
        t.set_int(i, static_cast<int64_t>(in.values[static_cast<size_t>(i)]));
    }
    return t;
  }
  if (!is_float(type.dtype)) {
    const auto low = static_cast<int64_t>(in.low), span = static_cast<int64_t>(in.high) - low + 1;
    for (int64_t i = 0; i < count; i++) t.set_int(i, low + static_cast<int64_t>(random()) % span);
    return t;
  }
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  // Not std::shuffle: its result differs between standard libraries.
  for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random() % i]);
  const double offset = 0.37 - 0.09 * static_cast<double>(position % 4);
  for (int64_t i = 0; i < count; i++) {
    const double share =
        (static_cast<double>(order[static_cast<size_t>(i)]) + offset) / static_cast<double>(count);
    t.set(i, in.low + share * (in.high - in.low));
  }
  return t;
}

// Calls f(line, number) for the lines of a file in tests/ops that are no comments.
void for_each_line(const std::string& name, const std::function<void(const std::string&, int)>& f) {
  std::ifstream file(MEZZO_SOURCE_DIR + "/tests/ops/" + name);
  if (!file) bad(mezzo::concat("no file tests/ops/", name));
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    number++;
    if (line.empty() || line[0] == '#') continue;
    try {
      f(line, number);
    } catch (const Error& e) {
      bad(mezzo::concat(name, ":", number, ": ", e.what()));
    }
  }
}

bool keeps_f32(const OpDef& op, size_t input) {
  return std::find(op.f32_inputs.begin(), op.f32_inputs.end(), static_cast<int>(input)) !=
         op.f32_inputs.end();
}

// The pseudo random weights that make one number of all outputs.
Tensor weights(const Type& type, unsigned seed) {
  std::mt19937 random(seed);
  Tensor t({compute_type(type.dtype), type.dims});
  for (int64_t i = 0; i < t.count(); i++) t.set(i, 0.25 + static_cast<double>(random() % 1000) / 1000.0);
  return t;
}

}  // namespace

std::vector<OpCase> load_op_cases() {
  std::vector<OpCase> cases;
  for_each_line("cases.txt", [&](const std::string& line, int number) {
    cases.push_back(parse_case(line));
    cases.back().number = number;
  });
  return cases;
}

std::vector<ExpectedCase> load_expected() {
  std::vector<ExpectedCase> cases;
  for_each_line("expected.txt", [&](const std::string& line, int number) {
    const size_t arrow = line.find(" => ");
    if (arrow == std::string::npos) bad("no => in the line");
    ExpectedCase e{parse_case(line.substr(0, arrow)), {}};
    e.op_case.number = number;
    for (const std::string& output : split(line.substr(arrow + 4), ';')) {
      std::istringstream in(output);
      e.outputs.emplace_back();
      for (std::string word; in >> word;) e.outputs.back().push_back(parse_number(word));
    }
    cases.push_back(std::move(e));
  });
  return cases;
}

BuiltCase build_op_case(const OpCase& c, DType real, bool inputs_are_parameters) {
  BuiltCase built;
  Graph& graph = built.graph;
  std::mt19937 random(c.seed);
  Values inputs;
  for (size_t i = 0; i < c.inputs.size(); i++) {
    const InputCase& in = c.inputs[i];
    if (in.absent) {
      inputs.push_back({});
      continue;
    }
    Type type = in.type;
    if (type.dtype == DType::f32 && !(is_low(real) && keeps_f32(*c.op, i))) type.dtype = real;
    const std::string name = mezzo::concat("x", i);
    if (inputs_are_parameters && is_float(type.dtype)) {
      // Parameters are f32 masters; 16-bit operands are made from them.
      const DType master = compute_type(type.dtype);
      Value state = graph.state(name, {master, type.dims}, StateKind::parameter);
      inputs.push_back(is_low(type.dtype) ? graph.add(get_op("Cast"), {state}, {{"to", type.dtype}})->out()
                                          : state);
      built.feeds[name] = draw(in, {type.dtype, type.dims}, random, i).cast(master);
    } else {
      inputs.push_back(graph.input(name, type));
      built.feeds[name] = draw(in, type, random, i);
    }
  }
  graph.origin = {"node"};
  built.node = graph.add(*c.op, inputs, c.attrs);
  for (int k = 0; k < built.node->output_count(); k++)
    graph.outputs.push_back({mezzo::concat("y", k), built.node->out(k)});
  return built;
}

bool attach_loss(const OpCase& c, BuiltCase& built) {
  Graph& graph = built.graph;
  Value loss;
  for (int k = 0; k < built.node->output_count(); k++) {
    Value y = built.node->out(k);
    const bool wanted =
        c.grad_outputs.empty() || std::count(c.grad_outputs.begin(), c.grad_outputs.end(), k) > 0;
    if (!wanted || !is_float(y.dtype())) continue;
    const DType wide = compute_type(y.dtype());
    Value term = reduce_sum(cast(y, wide) * graph.constant(weights(y.type(), 11 + static_cast<unsigned>(k))),
                            {}, false);
    if (loss)
      loss = cast(loss, DType::f64) + cast(term, DType::f64);
    else
      loss = term;
  }
  if (!loss) return false;
  graph.outputs = {{"loss", loss}};
  return true;
}

}  // namespace mezzo::ir
