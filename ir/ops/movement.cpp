// movement.cpp: Reshape, Transpose, Expand, Concat, Iota: ops that only say where an element comes from.
#include <algorithm>
#include <numeric>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// ONNX Reshape: 0 copies the input's extent (unless allowzero), one -1 is inferred.
std::vector<Type> infer_reshape(const Node& n) {
  const Type& x = n.in_type(0);
  Dims dims = n.ints("shape");
  int64_t known = 1;
  int unknown = -1;
  for (size_t i = 0; i < dims.size(); i++) {
    if (dims[i] == 0 && n.i("allowzero") == 0) {
      require(i < x.dims.size(), "shape ", to_string(n.ints("shape")), " copies axis ", i, " of ",
              to_string(x));
      dims[i] = x.dims[i];
    }
    if (dims[i] == -1) {
      require(unknown < 0, "shape ", to_string(n.ints("shape")), " has two -1");
      unknown = static_cast<int>(i);
    } else {
      known = element_count({known, dims[i]});
    }
  }
  if (unknown >= 0) {
    require(known > 0 && x.count() % known == 0, to_string(x), " does not reshape to ",
            to_string(n.ints("shape")));
    dims[static_cast<size_t>(unknown)] = x.count() / known;
  }
  if (element_count(dims) != x.count())
    require(false, to_string(x), " does not reshape to ", to_string(n.ints("shape")));
  return {{x.dtype, dims}};
}

const OpDef reshape_op = {
    .name = "Reshape",
    .attrs = {{"shape", Ints{}, AttrSpec::required}, {"allowzero", int64_t{0}}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer = infer_reshape,
    .index = [](const Node& n, const Exprs& at) -> IndexMap {
      return {{{0, delinearize(linearize(at, n.type().dims), n.in_type(0).dims)}}};
    },
    .grad = [](Grad& g) -> Values { return {reshape(g.dy[0], g.node.in_type(0).dims)}; },
    .constant_inputs = {{1, "shape"}},
};
MEZZO_REGISTER_OP(reshape_op);

const OpDef transpose_op = {
    .name = "Transpose",
    .attrs = {{"perm", Ints{}}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = n.in_type(0);
      Ints perm = permutation_of(n), sorted = perm;
      std::sort(sorted.begin(), sorted.end());
      for (size_t i = 0; i < sorted.size(); i++)
        if (sorted[i] != static_cast<int64_t>(i))
          require(false, "perm ", to_string(perm), " is not a permutation");
      if (perm.size() != x.dims.size())
        require(false, "perm ", to_string(perm), " does not fit ", to_string(x));
      Dims dims;
      for (int64_t p : perm) dims.push_back(x.dims[static_cast<size_t>(p)]);
      return {{x.dtype, dims}};
    },
    .index = [](const Node& n, const Exprs& at) -> IndexMap {
      Ints perm = permutation_of(n);
      Exprs in(at.size());
      for (size_t i = 0; i < perm.size(); i++) in[static_cast<size_t>(perm[i])] = at[i];
      return {{{0, in}}};
    },
    .grad = [](Grad& g) -> Values { return {transpose(g.dy[0], inverse(permutation_of(g.node)))}; },
};
MEZZO_REGISTER_OP(transpose_op);

// ONNX Expand: the two-way broadcast of the input and `shape`.
const OpDef expand_op = {
    .name = "Expand",
    .attrs = {{"shape", Ints{}, AttrSpec::required}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer = [](const Node& n) -> std::vector<Type> {
      element_count(n.ints("shape"));
      return {{n.in_type(0).dtype, broadcast(n.in_type(0).dims, n.ints("shape"))}};
    },
    .index = [](const Node& n, const Exprs& at) -> IndexMap {
      const Dims& dims = n.in_type(0).dims;
      Exprs in;
      for (size_t i = 0; i < dims.size(); i++)
        in.push_back(dims[i] == 1 ? Expr(0) : at[at.size() - dims.size() + i]);
      return {{{0, in}}};
    },
    .grad = [](Grad& g) -> Values { return {g.dy[0]}; },
    .permuted = [](const Node& n, const Ints& perm, Ints* out_perm) -> std::optional<Attrs> {
      if (n.type().dims.size() != perm.size()) return std::nullopt;
      Ints shape(perm.size());
      for (size_t i = 0; i < perm.size(); i++) shape[static_cast<size_t>(perm[i])] = n.type().dims[i];
      *out_perm = perm;
      return Attrs{{"shape", shape}};
    },
    .constant_inputs = {{1, "shape"}},
};
MEZZO_REGISTER_OP(expand_op);

const OpDef concat_op = {
    .name = "Concat",
    .max_inputs = kAnyNumber,
    .attrs = {{"axis", int64_t{0}, AttrSpec::required}},
    .precision = Precision::widest,
    .meaning = Meaning::index,
    .infer = [](const Node& n) -> std::vector<Type> {
      Type t = n.in_type(0);
      auto axis = static_cast<size_t>(normalize_axis(n.i("axis"), t.rank()));
      for (size_t i = 1; i < n.input_count(); i++) {
        Dims dims = n.in_type(i).dims;
        require(dims.size() == t.dims.size(), "inputs 0 and ", i, " differ in rank");
        require(n.in_type(i).dtype == t.dtype, "inputs 0 and ", i, " differ in type");
        int64_t extent = dims[axis];
        dims[axis] = t.dims[axis];
        require(dims == t.dims, "input ", i, " ", to_string(n.in_type(i)), " does not fit ",
                to_string(n.in_type(0)), " along axis ", axis);
        t.dims[axis] += extent;
      }
      return {t};
    },
    .index = [](const Node& n, const Exprs& at) -> IndexMap {
      auto axis = static_cast<size_t>(normalize_axis(n.i("axis"), n.type().rank()));
      IndexMap map;
      int64_t begin = 0;
      for (size_t i = 0; i < n.input_count(); i++) {
        Exprs in = at;
        int64_t extent = n.in_type(i).dims[axis];
        in[axis] = at[axis] - begin;
        if (extent > 0) map.accesses.push_back({i, in, {{in[axis], extent}}});
        begin += extent;
      }
      return map;
    },
    .grad = [](Grad& g) -> Values {
      int64_t axis = normalize_axis(g.node.i("axis"), g.node.type().rank()), begin = 0;
      Values out;
      for (size_t i = 0; i < g.node.input_count(); i++) {
        int64_t extent = g.node.in_type(i).dims[static_cast<size_t>(axis)];
        out.push_back(slice(g.dy[0], {begin}, {begin + extent}, {axis}, {1}));
        begin += extent;
      }
      return out;
    },
    .permuted = [](const Node& n, const Ints& perm, Ints* out_perm) -> std::optional<Attrs> {
      *out_perm = perm;
      return Attrs{{"axis", perm[static_cast<size_t>(normalize_axis(n.i("axis"), n.type().rank()))]}};
    },
};
MEZZO_REGISTER_OP(concat_op);

// The coordinate along `axis`, as a number.
const OpDef iota_op = {
    .name = "Iota",
    .min_inputs = 0,
    .max_inputs = 0,
    .attrs = {{"shape", Ints{}, AttrSpec::required}, {"axis", int64_t{0}}, {"dtype", DType::i64}},
    .precision = Precision::fixed,
    .meaning = Meaning::index,
    .infer = [](const Node& n) -> std::vector<Type> {
      element_count(n.ints("shape"));
      normalize_axis(n.i("axis"), static_cast<int64_t>(n.ints("shape").size()));
      return {{n.dtype("dtype"), n.ints("shape")}};
    },
    .index = [](const Node& n, const Exprs& at) -> IndexMap {
      return {{}, 0, at[static_cast<size_t>(normalize_axis(n.i("axis"), n.type().rank()))]};
    },
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(iota_op);

}  // namespace

bool is_concat(const Node& n) { return &n.op() == &concat_op; }
bool is_transpose(const Node& n) { return &n.op() == &transpose_op; }
Ints permutation_of(const Node& n) {
  Ints perm = n.ints("perm");
  if (perm.empty()) {
    perm.resize(n.in_type(0).dims.size());
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  return perm;
}
bool is_expand(const Node& n) { return &n.op() == &expand_op; }
bool is_reshape(const Node& n) { return &n.op() == &reshape_op; }
Value root_of(Value v) {
  while (is_reshape(*v.node)) v = v.node->in(0);
  return v;
}

}  // namespace mezzo::ir
