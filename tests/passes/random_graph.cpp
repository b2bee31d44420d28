#include "random_graph.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ir/build.h"
#include "ir/op.h"
#include "ir/spelling.h"

namespace mezzo::ir {
namespace {

class Generator {
 public:
  Generator(uint64_t seed, bool primitive) : random_(seed), primitive_(primitive) {
    for (const OpDef* op : all_ops()) {
      bool composite = op->meaning == Meaning::expand && !primitive_;
      if (op->meaning == Meaning::scalar || op->meaning == Meaning::reduce || composite) ops_.push_back(op);
    }
  }

  Graph make(int size) {
    const DType dtypes[] = {DType::f32, DType::f32, DType::f32, DType::bf16,   DType::f16,
                            DType::f64, DType::i32, DType::i64, DType::boolean};
    for (int i = 0; i < 4; i++)
      pool_.push_back(
          graph_.input("x" + std::to_string(i), {dtypes[below(std::size(dtypes))], random_dims()}));
    for (int tries = 0, made = 0; made < size && tries < 200 * size; tries++) {
      try {
        graph_.phase = static_cast<Phase>(below(3));
        graph_.origin = {"n" + std::to_string(below(5))};
        Value v = random_node();
        if (!v || v.type().count() > 600) continue;
        pool_.push_back(v);
        made++;
      } catch (const Error&) {  // operands that do not fit
      }
    }
    for (int i = 0; i < 3; i++) graph_.outputs.push_back({"y" + std::to_string(i), recent()});
    graph_.remove_dead_nodes();
    return std::move(graph_);
  }

 private:
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }
  int64_t between(int64_t a, int64_t b) {
    return a + static_cast<int64_t>(below(static_cast<size_t>(b - a + 1)));
  }
  Value any() { return pool_[below(pool_.size())]; }
  Value recent() { return pool_[pool_.size() - 1 - below(std::min<size_t>(pool_.size(), 5))]; }

  Dims random_dims() {
    const Dims shapes[] = {{4, 3},    {4, 3}, {3}, {1, 3}, {4, 1},      {},
                           {2, 4, 3}, {3, 4}, {1}, {12},   {2, 1, 1, 3}};
    return shapes[below(std::size(shapes))];
  }

  Value random_node() {
    switch (below(10)) {
      case 0: return movement();
      case 1: return movement();
      case 5: return again();
      case 2: return constant();
      case 3:
        return cast(recent(),
                    std::array{DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32}[below(5)]);
      case 4: return product();
      default: return from_registry();
    }
  }

  // A node like one that is there, its operands perhaps exchanged.
  Value again() {
    Node& node = *any().node;
    if (is_input(node)) return {};
    Values inputs = node.inputs();
    if (below(2)) std::reverse(inputs.begin(), inputs.end());
    return graph_.add(node.op(), std::move(inputs), node.attrs())->out();
  }

  Value constant() {
    DType dtype = recent().dtype();
    if (below(2)) return graph_.constant(std::array{0.0, -0.0, 1.0, 2.0, 0.25, -1.0}[below(6)], dtype);
    Tensor t({dtype, random_dims()});
    for (int64_t i = 0; i < t.count(); i++) t.set(i, static_cast<double>(between(-3, 3)));
    return graph_.constant(std::move(t));
  }

  Value movement() {
    Value v = recent();
    Dims dims = v.dims();
    auto rank = static_cast<int64_t>(dims.size());
    switch (below(8)) {
      case 0: return reshape(v, random_dims());
      case 1: {
        Ints perm(dims.size());
        for (size_t i = 0; i < perm.size(); i++) perm[i] = static_cast<int64_t>(i);
        std::shuffle(perm.begin(), perm.end(), random_);
        return transpose(v, perm);
      }
      case 2: return expand(v, random_dims());
      case 3: {
        if (v.type().count() == 0 || rank == 0) return {};
        int64_t axis = between(0, rank - 1), d = dims[static_cast<size_t>(axis)], step = between(1, 2);
        return slice(v, {between(0, d - 1)}, {d}, {axis}, {below(4) ? step : -step});
      }
      case 4: {
        Ints begin, end;
        for (int64_t i = 0; i < rank; i++) {
          begin.push_back(between(0, 1));
          end.push_back(between(0, 1));
        }
        return pad(v, begin, end, std::array{0.0, 1.0, 0.1}[below(3)]);
      }
      case 5: return concat({v, any()}, rank ? between(0, rank - 1) : 0);
      case 6: return iota(graph_, random_dims(), 0, std::array{DType::i64, DType::i32, DType::f32}[below(3)]);
      default:
        if (rank < 1 || dims.back() < 2) return {};
        return window(
            v, {.kernel = {2}, .strides = {1}, .dilations = {1}, .pads = {1}, .outputs = {dims.back()}});
    }
  }

  Value product() {
    DotSpec spec{below(2) == 0, below(2) == 0, {}};
    Value a = any();
    if (is_low(a.dtype()) && below(2)) spec.out = DType::f32;
    return is_float(a.dtype()) ? dot(a, any(), spec) : Value{};
  }

  Value from_registry() {
    const OpDef& op = *ops_[below(ops_.size())];
    int count = op.min_inputs + (op.max_inputs > op.min_inputs ? static_cast<int>(below(2)) : 0);
    Values inputs;
    for (int i = 0; i < count; i++) inputs.push_back(below(3) ? recent() : any());
    Attrs attrs;
    for (const AttrSpec& spec : op.attrs) {
      if (spec.name == "axes" && below(2)) attrs["axes"] = Ints{between(-1, 1)};
      if (spec.name == "keepdims") attrs["keepdims"] = between(0, 1);
      if (spec.presence == AttrSpec::required && std::holds_alternative<DType>(spec.value))
        attrs[std::string(spec.name)] = DType::f32;
    }
    if (inputs.empty()) return {};
    if (op.meaning == Meaning::expand && !is_float(inputs[0].dtype())) return {};
    Node* node = graph_.add(op, inputs, attrs);
    return node->out(static_cast<int>(below(static_cast<size_t>(node->output_count()))));
  }

  std::mt19937_64 random_;
  bool primitive_;
  std::vector<const OpDef*> ops_;
  Graph graph_;
  Values pool_;
};

}  // namespace

Graph random_graph(uint64_t seed, int size, bool primitive) { return Generator(seed, primitive).make(size); }

double awkward_number(std::mt19937_64& random) {
  const double special[] = {0.0,
                            -0.0,
                            1,
                            -1,
                            2,
                            0.5,
                            std::numeric_limits<double>::infinity(),
                            -std::numeric_limits<double>::infinity(),
                            std::nan(""),
                            1e-40,
                            -6e-8,
                            65504,
                            3.4e38,
                            2.5,
                            3.5};
  if (random() % 3 == 0) return special[random() % std::size(special)];
  return std::uniform_real_distribution<double>(-4, 4)(random);
}

std::map<std::string, Tensor> random_feeds(const Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::map<std::string, Tensor> feeds;
  for (auto& node : graph.nodes()) {
    if (!is_input(*node)) continue;
    Tensor t(node->type());
    for (int64_t i = 0; i < t.count(); i++) {
      if (is_float(t.dtype()))
        t.set(i, awkward_number(random));
      else
        t.set_int(i, static_cast<int64_t>(random() % 9) - 4);
    }
    feeds[node->s("name")] = std::move(t);
  }
  return feeds;
}

std::string difference(const Tensor& a, const Tensor& b) {
  if (a.type() != b.type()) return mezzo::concat(to_string(a.type()), " and ", to_string(b.type()));
  for (int64_t i = 0; i < a.count(); i++) {
    bool nan = is_float(a.dtype()) && std::isnan(a.get(i)) && std::isnan(b.get(i));
    std::string x = spell_element(a, i), y = spell_element(b, i);
    if (!nan && x != y) return mezzo::concat("element ", i, ": ", x, " and ", y);
  }
  return "";
}

}  // namespace mezzo::ir
