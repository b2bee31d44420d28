// Attention on tensor cores against the evaluator: row lengths, ends of tiles, bands, masks, shared heads,
// dropout, both precisions of the weights, and gradients at the ends of f16.
#include <random>

#include "comparison.h"
#include "formulas.h"
#include "ir/attention.h"

namespace mezzo::cuda_sim {
namespace {

using ir::DType;
using ir::Ints;
using ir::Tensor;
using ir::Value;

struct Shape {
  int64_t batch, heads, kv_heads, queries, keys, head, value;
};

struct Form {
  DType dtype = DType::bf16;
  ir::Attrs attrs = {};
  std::optional<ir::Type> mask = {};
  bool of_sums = false;  // a gradient of LogSumExp too
  double size_of_dy = 1;
};

class Attentions {
 public:
  void add(const std::string& what, const Shape& s, const Form& f) {
    for (int64_t narrow : {0, 1}) {
      Form form = f;
      form.attrs["narrow_weights"] = narrow;
      add_one(concat(what, ", ", ir::name(f.dtype), narrow ? ", narrow" : ""), s, form);
    }
  }

  // Bytes that forward kernels may move, of the least.
  void limit_traffic(double most) { most_traffic_ = most; }

  // Sums in f32 give the evaluator's bits but for what lies near the middle between two numbers; weights
  // rounded to 16 bits do not.
  void check() {
    int nodes = 0;
    double most = 0, of_narrow = 0;
    formulas_.check(0, [&](const std::string& what, const NodeRuns::Outcome& o) {
      nodes++;
      EXPECT_EQ(o.source->detail.rfind("own attention, tiles of 64 by ", 0), 0u)
          << what << ": " << o.source->detail;
      if (!o.fault.empty()) return;
      if (ir::is_attention(*o.node) && most_traffic_ > 0) {
        const double ratio = static_cast<double>(o.traffic.moved) / static_cast<double>(o.traffic.least);
        std::cout << "bytes over least: " << ratio << ", " << what << "\n";
        EXPECT_LE(ratio, most_traffic_) << what;
      }
      const bool narrow = o.node->i("narrow_weights") != 0;
      for (size_t k = 0; k < o.want.size(); k++) {
        const Tensor &got = o.got[k], &want = o.want[k];
        if (!ir::is_low(want.dtype())) continue;
        int64_t others = 0;
        for (int64_t i = 0; i < want.count(); i++) others += !Comparison::equal(got, want, i);
        const double share = static_cast<double>(others) / static_cast<double>(want.count());
        double& greatest = narrow ? of_narrow : most;
        greatest = std::max(greatest, share);
        EXPECT_TRUE(narrow || share <= 0.01)
            << share << " differ: " << what << ", output " << k << " of " << o.node->op().name;
      }
    });
    std::cout << nodes << " nodes; at most " << 100 * most
              << " % of the elements of a result, with narrow weights " << 100 * of_narrow
              << " %, are not the evaluator's\n";
    EXPECT_EQ(nodes, 2 * count_);
  }

 private:
  void add_one(const std::string& what, const Shape& s, const Form& f) {
    Ints inner;
    if (auto it = f.attrs.find("inner_heads"); it != f.attrs.end()) inner = std::get<Ints>(it->second);
    auto dims = [&](int64_t operand, ir::Dims d) {
      if (std::find(inner.begin(), inner.end(), operand) != inner.end()) std::swap(d[1], d[2]);
      return d;
    };
    auto g = std::make_unique<ir::Graph>();
    std::map<std::string, Tensor> feeds;
    auto input = [&](const std::string& name, const ir::Type& type, double deviation) {
      feeds[name] = random(type, static_cast<unsigned>(feeds.size()) + 1, deviation);
      return g->input(name, type);
    };
    Value q = input("q", {f.dtype, dims(0, {s.batch, s.heads, s.queries, s.head})}, 1);
    Value k = input("k", {f.dtype, dims(1, {s.batch, s.kv_heads, s.keys, s.head})}, 1);
    Value v = input("v", {f.dtype, dims(2, {s.batch, s.kv_heads, s.keys, s.value})}, 1);
    Value dy = input("dy", {f.dtype, dims(3, {s.batch, s.heads, s.queries, s.value})}, f.size_of_dy), key,
          mask, sums;
    if (f.mask && ir::is_float(f.mask->dtype)) mask = input("mask", *f.mask, 1);
    if (f.mask && !ir::is_float(f.mask->dtype)) {
      Tensor bits(*f.mask);
      std::mt19937 gen(7);
      for (int64_t i = 0; i < bits.count(); i++) bits.set_int(i, gen() % 4 != 0);
      feeds["mask"] = bits;
      mask = g->input("mask", *f.mask);
    }
    if (f.of_sums) sums = input("dsums", {DType::f32, {s.batch, s.heads, s.queries, 1}}, f.size_of_dy);
    if (f.attrs.count("ratio")) {
      Tensor numbers({DType::u32, {2}});
      numbers.set_int(0, 12345), numbers.set_int(1, 7);
      feeds["key"] = numbers;
      key = g->input("key", numbers.type());
    }
    ir::Attrs attrs = f.attrs;
    attrs["scale"] = 1 / std::sqrt(static_cast<double>(s.head));
    const ir::Node* y = g->add(ir::get_op("ScaledDotProductAttention"), {q, k, v, mask, key}, attrs);
    const ir::Node* d = g->add(ir::get_op("ScaledDotProductAttentionGrad"),
                               {q, k, v, y->out(0), y->out(1), dy, mask, sums, key}, attrs);
    for (const ir::Node* n : {y, d})
      for (int i = 0; i < n->output_count(); i++)
        g->outputs.push_back({concat("y", g->outputs.size()), n->out(i)});
    formulas_.add_graph(what, std::move(g), std::move(feeds));
    count_++;
  }

  Formulas formulas_;
  int count_ = 0;
  double most_traffic_ = 0;
};

TEST(CudaAttention, RowLengthsAndEndsOfTiles) {
  Attentions all;
  for (DType t : {DType::bf16, DType::f16}) {
    all.add("64", {1, 2, 2, 130, 150, 64, 64}, {t});
    all.add("128", {1, 1, 1, 70, 100, 128, 128}, {t});
  }
  all.add("40", {2, 1, 1, 64, 64, 40, 40}, {DType::bf16, {}, {}, true});
  all.add("8 and 24", {1, 1, 1, 5, 65, 8, 24}, {DType::f16, {}, {}, true});
  all.add("128 and 64", {1, 1, 1, 65, 33, 128, 64}, {DType::bf16});
  all.add("16 and 88", {1, 1, 1, 1, 7, 16, 88}, {DType::bf16});
  all.check();
}

TEST(CudaAttention, Bands) {
  Attentions all;
  const Ints inner{0, 1, 2, 3};
  for (DType t : {DType::bf16, DType::f16})
    all.add("causal", {1, 2, 2, 192, 192, 64, 64}, {t, {{"upper", int64_t{0}}, {"inner_heads", inner}}});
  all.add("causal 128", {1, 1, 1, 100, 100, 128, 128}, {DType::bf16, {{"upper", int64_t{0}}}});
  all.add("band", {1, 1, 1, 150, 310, 32, 32},
          {DType::bf16, {{"lower", int64_t{-20}}, {"upper", int64_t{90}}}});
  all.add("later keys", {1, 1, 1, 70, 300, 32, 32}, {DType::f16, {{"lower", int64_t{130}}}});
  // Some queries see nothing; nobody sees anything; bands far outside.
  all.add("few see", {1, 1, 1, 140, 20, 16, 16}, {DType::bf16, {{"upper", int64_t{-7}}}, {}, true});
  all.add("none sees", {1, 1, 1, 10, 20, 16, 16}, {DType::bf16, {{"lower", int64_t{1} << 38}}, {}, true});
  all.add("none sees either", {1, 1, 1, 10, 20, 16, 16}, {DType::f16, {{"upper", -(int64_t{1} << 38)}}});
  all.check();
}

TEST(CudaAttention, MasksAndCap) {
  Attentions all;
  const Shape s{2, 2, 2, 70, 80, 24, 32};
  for (const ir::Dims& dims : {ir::Dims{2, 1, 1, 80}, ir::Dims{1, 2, 70, 80}, ir::Dims{2, 2, 70, 1}}) {
    all.add(concat("bool ", ir::to_string(dims)), s, {DType::bf16, {}, ir::Type{DType::boolean, dims}, true});
    all.add(concat("f32 ", ir::to_string(dims)), s, {DType::f16, {}, ir::Type{DType::f32, dims}});
  }
  all.add("bf16 mask", s, {DType::bf16, {{"upper", int64_t{3}}}, ir::Type{DType::bf16, {1, 1, 70, 80}}});
  all.add("cap", s, {DType::bf16, {{"softcap", 1.5}}});
  all.add("cap and mask", s, {DType::f16, {{"softcap", 2.0}}, ir::Type{DType::f32, {1, 1, 70, 80}}});
  all.check();
}

TEST(CudaAttention, SharedHeadsInEveryOrder) {
  Attentions all;
  for (const Ints& inner : {Ints{}, Ints{0, 1, 2, 3}, Ints{1}, Ints{0, 3}, Ints{2}})
    all.add(ir::to_string(inner), {2, 6, 2, 20, 70, 16, 8}, {DType::bf16, {{"inner_heads", inner}}});
  all.add("causal", {1, 4, 1, 130, 130, 64, 64}, {DType::bf16, {{"upper", int64_t{0}}}});
  all.add("128", {1, 2, 1, 66, 40, 128, 128}, {DType::f16});
  all.check();
}

TEST(CudaAttention, Dropout) {
  Attentions all;
  for (DType t : {DType::bf16, DType::f16})
    all.add("dropout", {2, 4, 2, 70, 100, 64, 64}, {t, {{"ratio", 0.3}, {"stream", int64_t{2}}}});
  all.add("causal", {1, 2, 2, 100, 100, 128, 128},
          {DType::bf16, {{"ratio", 0.1}, {"upper", int64_t{0}}}, ir::Type{DType::boolean, {1, 1, 1, 100}}});
  all.add("nothing left", {1, 1, 1, 9, 17, 8, 8}, {DType::bf16, {{"ratio", 1.0}}});
  all.check();
}

// Three tiles of queries read one, two and three tiles of keys and values: twice as much as there are.
TEST(CudaAttention, ReadsTheTilesItSees) {
  Attentions all;
  all.limit_traffic(1.51);
  all.add("causal", {1, 3, 3, 192, 192, 64, 64}, {DType::bf16, {{"upper", int64_t{0}}}});
  all.add("causal 128", {1, 2, 2, 192, 192, 128, 128}, {DType::f16, {{"upper", int64_t{0}}}});
  all.check();
}

// dS of a gradient below the least number of f16, and above its greatest.
TEST(CudaAttention, SmallAndLargeGradients) {
  Attentions all;
  for (double size : {1e-4, 1e-2, 3000.0})
    all.add(concat("dy of ", size), {1, 2, 1, 70, 200, 64, 64}, {DType::f16, {}, {}, false, size});
  all.check();
}

}  // namespace
}  // namespace mezzo::cuda_sim
