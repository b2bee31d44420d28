// dot.cpp: the batched matrix product that MatMul and Gemm become.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// Logical sizes of a product, read off the operands.
struct Sizes {
  int64_t m, n, k, inner_b;
  Dims batch;
};

Sizes sizes(const Node& node) {
  const Type &a = node.in_type(0), &b = node.in_type(1);
  require(a.rank() >= 2 && b.rank() >= 2, "operands ", to_string(a), " and ", to_string(b), " must be matrices");
  auto last = [](const Type& t, int64_t back) { return t.dims[t.dims.size() - static_cast<size_t>(back)]; };
  bool ta = node.i("trans_a") != 0, tb = node.i("trans_b") != 0;
  return {last(a, ta ? 1 : 2), last(b, tb ? 2 : 1), last(a, ta ? 2 : 1), last(b, tb ? 1 : 2),
          broadcast(Dims(a.dims.begin(), a.dims.end() - 2), Dims(b.dims.begin(), b.dims.end() - 2))};
}

std::vector<Type> infer_dot(const Node& n) {
  const Type &a = n.in_type(0), &b = n.in_type(1);
  Sizes s = sizes(n);
  require(a.dtype == b.dtype, "operands are ", name(a.dtype), " and ", name(b.dtype));
  require(s.k == s.inner_b, "inner extents of ", to_string(a), " and ", to_string(b), " differ");
  if (n.has(2))
    require(n.in_type(2) == Type{compute_type(a.dtype), {s.n}}, "bias ", to_string(n.in_type(2)), " must be ",
            to_string(Type{compute_type(a.dtype), {s.n}}));
  DType out = n.has_attr("out") ? n.dtype("out") : a.dtype;
  require(out == a.dtype || out == compute_type(a.dtype), "a product of ", name(a.dtype), " cannot be ", name(out));
  Dims dims = s.batch;
  dims.insert(dims.end(), {s.m, s.n});
  element_count(dims);
  return {{out, dims}};
}

// Sums in T in order of k; the bias joins the accumulator; the store rounds once.
template <class T>
void multiply(const Node& n, const std::vector<const Tensor*>& in, Tensor& out) {
  Sizes s = sizes(n);
  bool ta = n.i("trans_a") != 0, tb = n.i("trans_b") != 0;
  auto values = [](const Tensor& t) {
    std::vector<T> v(static_cast<size_t>(t.count()));
    for (size_t i = 0; i < v.size(); i++) v[i] = static_cast<T>(t.get(static_cast<int64_t>(i)));
    return v;
  };
  std::vector<T> a = values(*in[0]), b = values(*in[1]), bias;
  if (in.size() > 2 && in[2]) bias = values(*in[2]);
  int64_t batches = element_count(s.batch);
  Dims strides = strides_of(s.batch);
  // Index of the operand's matrix that belongs to batch `q`: axes of extent 1 repeat.
  auto matrix = [&](const Tensor& t, int64_t q) {
    int64_t at = 0, lead = static_cast<int64_t>(s.batch.size()) - (t.type().rank() - 2);
    for (int64_t i = lead; i < static_cast<int64_t>(s.batch.size()); i++) {
      int64_t extent = t.dims()[static_cast<size_t>(i - lead)];
      int64_t c = q / strides[static_cast<size_t>(i)] % s.batch[static_cast<size_t>(i)];
      at = at * extent + (extent == 1 ? 0 : c);
    }
    return at;
  };
  for (int64_t q = 0; q < batches; q++) {
    const T* x = a.data() + matrix(*in[0], q) * s.m * s.k;
    const T* y = b.data() + matrix(*in[1], q) * s.k * s.n;
    for (int64_t i = 0; i < s.m; i++)
      for (int64_t j = 0; j < s.n; j++) {
        T sum = 0;
        for (int64_t k = 0; k < s.k; k++) sum += x[ta ? k * s.m + i : i * s.k + k] * y[tb ? j * s.k + k : k * s.n + j];
        if (!bias.empty()) sum += bias[static_cast<size_t>(j)];
        out.set((q * s.m + i) * s.n + j, static_cast<double>(sum));
      }
  }
}

const OpDef dot_op = {
    .name = "Dot",
    .min_inputs = 2,
    .max_inputs = 3,
    .attrs = {{"trans_a", int64_t{0}}, {"trans_b", int64_t{0}}, {"out", DType::f32, AttrSpec::optional}},
    .precision = Precision::low,
    .meaning = Meaning::kernel,
    .infer = infer_dot,
    .evaluate =
        [](const Node& n, const std::vector<const Tensor*>& in, std::vector<Tensor>& out) {
          if (out[0].dtype() == DType::f64) return multiply<double>(n, in, out[0]);
          if (is_float(out[0].dtype())) return multiply<float>(n, in, out[0]);
          multiply<int64_t>(n, in, out[0]);
        },
    // dA = dY B', dB = A' dY, transposed where the operand is stored so; batch axes that were repeated are summed.
    .grad = [](Grad& g) -> Values {
      Value a = g.in[0], b = g.in[1], dy = cast(g.dy[0], a.dtype()), da, db, dbias;
      bool ta = g.node.i("trans_a") != 0, tb = g.node.i("trans_b") != 0;
      DType acc = compute_type(a.dtype());
      if (g.needs[0])
        da = ta ? dot(b, dy, {.trans_a = tb, .trans_b = true, .out = acc})
                : dot(dy, b, {.trans_b = !tb, .out = acc});
      if (g.needs[1])
        db = tb ? dot(dy, a, {.trans_a = true, .trans_b = ta, .out = acc})
                : dot(a, dy, {.trans_a = !ta, .out = acc});
      if (g.node.has(2) && g.needs[2]) {
        Ints axes;
        for (int64_t i = 0; i + 1 < g.dy[0].rank(); i++) axes.push_back(i);
        dbias = reduce_sum(cast(g.dy[0], acc), axes, false);
      }
      Values out{da ? sum_to(da, a.dims()) : da, db ? sum_to(db, b.dims()) : db};
      if (dbias) out.push_back(dbias);
      return out;
    },
    .f32_inputs = {2},
};
MEZZO_REGISTER_OP(dot_op);

}  // namespace

bool is_dot(const Node& n) { return &n.op() == &dot_op; }

}  // namespace mezzo::ir
