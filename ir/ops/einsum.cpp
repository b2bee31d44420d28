// einsum.cpp: ONNX Einsum. Any equation is a fold over the operands, from left to right: what nobody needs
// any more is summed out, then two operands become one by a matrix product (labels in both that end here), or
// by a product element by element. The gradient is that of the expansion.
#include <algorithm>
#include <cctype>
#include <map>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// A label is a letter, or kEllipsis + the number of a dim under "...", counted from the last one.
using Labels = std::vector<int>;
constexpr int kEllipsis = 1000;

bool contains(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

struct Equation {
  std::vector<Labels> operands;
  Labels result;
  std::map<int, int64_t> extents;
};

// The labels of one term; `covered` dims are under "...".
Labels read_term(const std::string& term, int64_t covered) {
  Labels out;
  bool dots = false;
  for (size_t i = 0; i < term.size(); i++) {
    if (term.compare(i, 3, "...") == 0) {
      require(!dots, "'", term, "' has two ellipses");
      dots = true;
      for (int64_t d = covered; d-- > 0;) out.push_back(kEllipsis + static_cast<int>(d));
      i += 2;
    } else {
      require(std::isalpha(static_cast<unsigned char>(term[i])) != 0, "'", term,
              "' has a character that is no letter");
      out.push_back(term[i]);
    }
  }
  return out;
}

int64_t letters(const std::string& term) {
  return std::count_if(term.begin(), term.end(), [](unsigned char c) { return std::isalpha(c) != 0; });
}

// Without "->": the dims of "...", then the letters that occur once, sorted.
Labels implied_result(const std::vector<Labels>& operands, int64_t covered) {
  std::map<int, int> times;
  for (const Labels& labels : operands)
    for (int label : labels) times[label]++;
  Labels out;
  for (int64_t d = covered; d-- > 0;) out.push_back(kEllipsis + static_cast<int>(d));
  for (auto [label, count] : times)
    if (label < kEllipsis && count == 1) out.push_back(label);
  return out;
}

Equation read_equation(const Node& n) {
  std::string text;
  for (char c : n.s("equation"))
    if (!std::isspace(static_cast<unsigned char>(c))) text += c;
  const size_t arrow = text.find("->");
  std::vector<std::string> terms(1);
  for (char c : text.substr(0, arrow)) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  require(terms.size() == n.input_count(), "the equation has ", terms.size(), " operands, the node ",
          n.input_count());
  Equation e;
  int64_t most = 0;
  for (size_t i = 0; i < terms.size(); i++) {
    const Dims& dims = n.in_type(i).dims;
    const int64_t covered = static_cast<int64_t>(dims.size()) - letters(terms[i]);
    const bool dots = terms[i].find("...") != std::string::npos;
    require(dots ? covered >= 0 : covered == 0, "'", terms[i], "' does not fit operand ", i, " ",
            to_string(dims));
    e.operands.push_back(read_term(terms[i], covered));
    most = std::max(most, covered);
    for (size_t k = 0; k < dims.size(); k++) {
      int64_t& extent = e.extents.try_emplace(e.operands[i][k], 1).first->second;
      require(extent == 1 || dims[k] == 1 || extent == dims[k], "operand ", i, " ", to_string(dims),
              " has another extent for a label than the operands before it");
      if (dims[k] != 1) extent = dims[k];
    }
  }
  if (arrow == text.npos) {
    e.result = implied_result(e.operands, most);
    return e;
  }
  e.result = read_term(text.substr(arrow + 2), most);
  for (size_t k = 0; k < e.result.size(); k++) {
    require(e.extents.count(e.result[k]) > 0, "the result has a label that no operand has");
    require(!contains({e.result.begin() + static_cast<int64_t>(k) + 1, e.result.end()}, e.result[k]),
            "a label occurs twice in the result");
  }
  return e;
}

struct Term {
  Value v;
  Labels labels;
};

Dims dims_of(const Equation& e, const Labels& labels) {
  Dims out;
  for (int label : labels) out.push_back(e.extents.at(label));
  return out;
}

// The elements whose coordinates on axes `first` and `second` agree, with one of the axes left.
Term diagonal(Term t, size_t first, size_t second) {
  Graph& graph = t.v.node->graph();
  auto line = [&](size_t axis) {
    Dims dims(t.labels.size(), 1);
    dims[axis] = t.v.dims()[axis];
    return iota(graph, dims, static_cast<int64_t>(axis));
  };
  Value kept = where(equal(line(first), line(second)), t.v, constant_like(t.v, 0));
  t.v = reduce_sum(kept, {static_cast<int64_t>(second)}, false);
  t.labels.erase(t.labels.begin() + static_cast<int64_t>(second));
  return t;
}

// Full extents, and every label once.
Term prepared(const Equation& e, Value v, const Labels& labels) {
  Term t{expand(v, dims_of(e, labels)), labels};
  for (size_t i = 0; i < t.labels.size(); i++)
    for (size_t k = i + 1; k < t.labels.size();)
      if (t.labels[k] == t.labels[i])
        t = diagonal(std::move(t), i, k);
      else
        k++;
  return t;
}

Term summed_out(Term t, const std::function<bool(int)>& needed) {
  Ints axes;
  Labels left;
  for (size_t k = 0; k < t.labels.size(); k++) {
    if (needed(t.labels[k]))
      left.push_back(t.labels[k]);
    else
      axes.push_back(static_cast<int64_t>(k));
  }
  if (!axes.empty()) t.v = reduce_sum(t.v, axes, false);
  return {t.v, left};
}

Value ordered(const Term& t, const Labels& order) {
  Ints perm;
  for (int label : order)
    perm.push_back(std::find(t.labels.begin(), t.labels.end(), label) - t.labels.begin());
  return transpose(t.v, perm);
}

Labels joined(std::initializer_list<Labels> lists) {
  Labels out;
  for (const Labels& l : lists) out.insert(out.end(), l.begin(), l.end());
  return out;
}

// Two operands as one. Labels that are not `kept` end here.
Term contracted(const Equation& e, Term a, Term b, const std::function<bool(int)>& kept) {
  a = summed_out(std::move(a), [&](int label) { return kept(label) || contains(b.labels, label); });
  b = summed_out(std::move(b), [&](int label) { return kept(label) || contains(a.labels, label); });
  Labels batch, folded, rows, columns;
  for (int label : a.labels) {
    if (!contains(b.labels, label))
      rows.push_back(label);
    else
      (kept(label) ? batch : folded).push_back(label);
  }
  for (int label : b.labels)
    if (!contains(a.labels, label)) columns.push_back(label);
  const Dims batch_dims = dims_of(e, batch);
  const int64_t m = element_count(dims_of(e, rows)), n = element_count(dims_of(e, columns));
  const int64_t k = element_count(dims_of(e, folded));
  auto matrix = [&](const Term& t, const Labels& first, const Labels& second, int64_t height, int64_t width) {
    Dims dims = batch_dims;
    dims.insert(dims.end(), {height, width});
    return reshape(ordered(t, joined({batch, first, second})), dims);
  };
  const bool product = !folded.empty() && is_float(a.v.dtype());
  Value left = product ? matrix(a, rows, folded, m, k) : Value{}, v;
  if (product) {
    v = dot(left, matrix(b, folded, columns, k, n));
  } else {
    const Labels all = joined({batch, rows, columns, folded});
    auto spread = [&](const Term& t) {
      Labels own;
      Dims dims;
      for (int label : all) {
        if (contains(t.labels, label)) own.push_back(label);
        dims.push_back(contains(t.labels, label) ? e.extents.at(label) : 1);
      }
      return reshape(ordered(t, own), dims);
    };
    v = spread(a) * spread(b);
    Ints axes;
    for (size_t i = all.size() - folded.size(); i < all.size(); i++) axes.push_back(static_cast<int64_t>(i));
    if (!axes.empty()) v = reduce_sum(v, axes, false);
  }
  const Labels labels = joined({batch, rows, columns});
  return {reshape(v, dims_of(e, labels)), labels};
}

Values expand_einsum(Graph&, const Node& n, const Values& in) {
  const Equation e = read_equation(n);
  Term t = prepared(e, in[0], e.operands[0]);
  for (size_t i = 1; i < in.size(); i++) {
    auto kept = [&](int label) {
      for (size_t later = i + 1; later < in.size(); later++)
        if (contains(e.operands[later], label)) return true;
      return contains(e.result, label);
    };
    t = contracted(e, std::move(t), prepared(e, in[i], e.operands[i]), kept);
  }
  t = summed_out(std::move(t), [&](int label) { return contains(e.result, label); });
  return {ordered(t, e.result)};
}

const OpDef einsum = {
    .name = "Einsum",
    .max_inputs = kAnyNumber,
    .attrs = {{"equation", "", AttrSpec::required}},
    .precision = Precision::low,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      for (size_t i = 1; i < n.input_count(); i++)
        require(n.in_type(i).dtype == n.in_type(0).dtype, "operands 0 and ", i, " differ in type");
      const Equation e = read_equation(n);
      Type out{n.in_type(0).dtype, dims_of(e, e.result)};
      element_count(out.dims);
      return {out};
    },
    .expand = expand_einsum,
};
MEZZO_REGISTER_OP(einsum);

}  // namespace
}  // namespace mezzo::ir
