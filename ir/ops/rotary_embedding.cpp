// rotary_embedding.cpp: ONNX RotaryEmbedding: every pair of elements (x1, x2) of a head is turned by an angle
// of its position: (cos x1 - sin x2, sin x1 + cos x2). The pairs are the two halves of the first
// rotary_embedding_dim elements of the head, or neighbours (interleaved); the elements behind them pass. X is
// [B, N, S, D] or [B, S, N * D]; cosines and sines are [B, S, R/2], or rows of a table that position_ids [B,
// S] picks.
#include "ir/ops/standardize.h"

namespace mezzo::ir {
namespace {

enum Input : size_t { kX, kCos, kSin, kPositions };

struct Sizes {
  bool packed;  // X is [B, S, N * D]
  int64_t batch, heads, sequence, head, rotated;
  Dims split() const {
    return packed ? Dims{batch, sequence, heads, head} : Dims{batch, heads, sequence, head};
  }
};

Sizes sizes(const Node& n) {
  const Dims& x = n.in_type(kX).dims;
  require(x.size() == 3 || x.size() == 4, "input ", to_string(x), " must have 3 or 4 axes");
  Sizes s{x.size() == 3, x[0], 0, 0, 0, n.i("rotary_embedding_dim")};
  if (s.packed) {
    s.heads = n.has_attr("num_heads") ? n.i("num_heads") : 0;
    require(s.heads > 0 && x[2] % s.heads == 0, "num_heads ", s.heads, " does not divide ", x[2]);
    s.sequence = x[1], s.head = x[2] / s.heads;
  } else {
    s.heads = x[1], s.sequence = x[2], s.head = x[3];
  }
  if (s.rotated == 0) s.rotated = s.head;
  require(s.rotated > 0 && s.rotated % 2 == 0 && s.rotated <= s.head, "rotary_embedding_dim ", s.rotated,
          " must be even and at most ", s.head);
  return s;
}

std::vector<Type> infer(const Node& n) {
  const Type& x = float_input(n);
  const Sizes s = sizes(n);
  for (size_t i : {kCos, kSin}) {
    const Type& table = n.in_type(i);
    require(compute_type(table.dtype) == compute_type(x.dtype), "input ", i, " is ", name(table.dtype),
            ", input 0 is ", name(x.dtype));
    require(!table.dims.empty() && table.dims.back() == s.rotated / 2, "input ", i, " ",
            to_string(table.dims), " must end in ", s.rotated / 2);
    if (n.has(kPositions))
      require(table.rank() == 2, "input ", i, " ", to_string(table.dims), " must be a table of two axes");
    else
      require_broadcast(n, i, {s.batch, s.sequence, s.rotated / 2});
  }
  if (n.has(kPositions)) {
    const Type& ids = n.in_type(kPositions);
    require(is_integer(ids.dtype), "position ids are ", name(ids.dtype), ", expected integers");
    require(ids.dims == Dims{s.batch, s.sequence}, "position ids ", to_string(ids.dims), " must be ",
            to_string(Dims{s.batch, s.sequence}));
  }
  return {x};
}

Values expand_rotary(Graph&, const Node& n, const Values& in) {
  const Sizes s = sizes(n);
  const bool neighbours = n.i("interleaved") != 0;
  const int64_t half = s.rotated / 2;
  // Cosines or sines with an axis of extent 1 for the heads.
  auto angles = [&](Value table) {
    if (n.has(kPositions)) table = apply("Gather", {table, in[kPositions]}, {{"axis", int64_t{0}}});
    Dims dims = table.dims();
    dims.insert(dims.begin(), 3 - dims.size(), 1);
    dims.insert(dims.begin() + (s.packed ? 2 : 1), 1);
    return reshape(table, dims);
  };
  Value x = reshape(in[kX], s.split()), cosine = angles(in[kCos]), sine = angles(in[kSin]);
  auto part = [&](int64_t from, int64_t to, int64_t step) { return slice(x, {from}, {to}, {-1}, {step}); };
  Value first = neighbours ? part(0, s.rotated, 2) : part(0, half, 1);
  Value second = neighbours ? part(1, s.rotated, 2) : part(half, s.rotated, 1);
  Values turned{cosine * first - sine * second, sine * first + cosine * second};
  Dims dims = x.dims();
  dims.back() = s.rotated;
  if (neighbours)
    for (Value& v : turned) {
      Dims apart = v.dims();
      apart.push_back(1);
      v = reshape(v, apart);
    }
  Value y = reshape(concat(turned, -1), dims);
  if (s.rotated < s.head) y = concat({y, part(s.rotated, s.head, 1)}, -1);
  return {reshape(y, in[kX].dims())};
}

const OpDef rotary_embedding = {
    .name = "RotaryEmbedding",
    .min_inputs = 3,
    .max_inputs = 4,
    .attrs = {{"interleaved", 0}, {"num_heads", 0, AttrSpec::optional}, {"rotary_embedding_dim", 0}},
    .precision = Precision::bounded,
    .meaning = Meaning::expand,
    .infer = infer,
    .expand = expand_rotary,
    // Turned back by the same angles.
    .grad = [](Grad& g) -> Values {
      Values in = g.in;
      in[kX] = g.dy[0];
      in[kSin] = -in[kSin];
      return {g.dy[0].node->graph().add(g.node.op(), in, g.node.attrs())->out()};
    },
    .no_grad_inputs = {kCos, kSin},
    .f32_inputs = {kCos, kSin},
};
MEZZO_REGISTER_OP(rotary_embedding);

}  // namespace
}  // namespace mezzo::ir
