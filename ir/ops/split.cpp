// split.cpp: ONNX Split, Tile, Trilu and ReverseSequence.
#include <numeric>

#include "ir/build.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

size_t axis_of(const Node& n, const char* attr = "axis") {
  return static_cast<size_t>(normalize_axis(n.i(attr), n.in_type(0).rank()));
}

// The extents of the parts: as `split` says, or num_outputs of ceil(extent / num_outputs), the last one with
// the rest.
Ints part_extents(const Node& n) {
  const int64_t extent = n.in_type(0).dims[axis_of(n)];
  if (n.has_attr("split") && !n.ints("split").empty()) {
    int64_t left = extent;
    for (int64_t part : n.ints("split")) {
      require(part >= 0 && part <= left, "parts ", to_string(n.ints("split")), " do not fit an extent of ",
              extent);
      left -= part;
    }
    require(left == 0, "parts ", to_string(n.ints("split")), " do not add up to ", extent);
    return n.ints("split");
  }
  require(n.has_attr("num_outputs"), "neither split nor num_outputs is given");
  const int64_t count = n.i("num_outputs");
  require(count >= 1 && count <= std::max<int64_t>(extent, 1), "an extent of ", extent, " in ", count,
          " parts");
  const int64_t part = (extent + count - 1) / count;
  Ints out(static_cast<size_t>(count), part);
  out.back() = extent - part * (count - 1);
  require(out.back() >= 0, "an extent of ", extent, " in ", count, " parts of ", part);
  return out;
}

const OpDef split_op = {
    .name = "Split",
    .attrs = {{"axis", 0}, {"split", Ints{}, AttrSpec::optional}, {"num_outputs", 0, AttrSpec::optional}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      std::vector<Type> out;
      for (int64_t part : part_extents(n)) {
        out.push_back(n.in_type(0));
        out.back().dims[axis_of(n)] = part;
      }
      return out;
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Values out;
      int64_t at = 0;
      for (int64_t part : part_extents(n)) {
        out.push_back(slice(in[0], {at}, {at + part}, {static_cast<int64_t>(axis_of(n))}, {1}));
        at += part;
      }
      return out;
    },
    .grad = [](Grad& g) -> Values {
      const auto axis = static_cast<int64_t>(axis_of(g.node));
      Values parts;
      Value like;
      for (const Value& dy : g.dy)
        if (dy) like = dy;
      int64_t at = 0, given = 0, from = 0;
      for (size_t k = 0; k < g.dy.size(); k++) {
        const Dims& dims = g.node.type(static_cast<int>(k)).dims;
        if (g.dy[k]) given++, from = at;
        at += dims[static_cast<size_t>(axis)];
        parts.push_back(g.dy[k] ? g.dy[k] : expand(constant_like(like, 0), dims));
      }
      if (given == 1) return {unslice(like, g.node.in_type(0).dims, {from}, {axis}, {1})};
      return {concat(parts, axis)};
    },
    .constant_inputs = {{1, "split"}},
};
MEZZO_REGISTER_OP(split_op);

const OpDef tile_op = {
    .name = "Tile",
    .attrs = {{"repeats", Ints{}, AttrSpec::required}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      Type out = n.in_type(0);
      const Ints& repeats = n.ints("repeats");
      require(repeats.size() == out.dims.size(), repeats.size(), " repeats for ", to_string(out.dims));
      for (size_t i = 0; i < repeats.size(); i++) {
        require(repeats[i] >= 0, "repeats of ", repeats[i]);
        require(repeats[i] == 0 || out.dims[i] <= INT64_MAX / repeats[i], "repeats of ", repeats[i]);
        out.dims[i] *= repeats[i];
      }
      element_count(out.dims);
      return {out};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Dims apart, repeated;
      for (size_t i = 0; i < n.ints("repeats").size(); i++) {
        const int64_t times = n.ints("repeats")[i], extent = in[0].dims()[i];
        if (times != 1) apart.push_back(1), repeated.push_back(times);
        apart.push_back(extent), repeated.push_back(extent);
      }
      return {reshape(expand(reshape(in[0], apart), repeated), n.type().dims)};
    },
    .constant_inputs = {{1, "repeats"}},
};
MEZZO_REGISTER_OP(tile_op);

// Of the last two axes, what lies on and above (upper) or on and below the k-th diagonal; 0 elsewhere.
const OpDef trilu_op = {
    .name = "Trilu",
    .attrs = {{"upper", 1}, {"k", 0}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      require(n.in_type(0).rank() >= 2, "input ", to_string(n.in_type(0)), " is no matrix");
      return {n.in_type(0)};
    },
    .expand = [](Graph& to, const Node& n, const Values& in) -> Values {
      const Dims& dims = in[0].dims();
      const int64_t rows = dims[dims.size() - 2], columns = dims.back();
      const auto k = static_cast<double>(std::clamp<int64_t>(n.i("k"), -rows - 1, columns + 1));
      Value row = iota(to, {rows, 1}, 0) + k, column = iota(to, {1, columns}, 1);
      Value keep = n.i("upper") ? greater_equal(column, row) : less_equal(column, row);
      return {where(keep, in[0], constant_like(in[0], 0))};
    },
    .constant_inputs = {{1, "k"}},
};
MEZZO_REGISTER_OP(trilu_op);

// The first lengths[b] elements of every sequence b backwards, the others as they are. Doing it twice changes
// nothing, and so it is its own gradient.
Value reversed(const Node& n, Value x, Value lengths) {
  const size_t time = axis_of(n, "time_axis"), batch = axis_of(n, "batch_axis");
  Dims steps(x.dims().size(), 1), sequences = steps;
  steps[time] = x.dims()[time];
  sequences[batch] = x.dims()[batch];
  Value t = iota(x.node->graph(), steps, static_cast<int64_t>(time)), length = reshape(lengths, sequences);
  Value index = where(less(t, length), length - t - 1.0, t);
  return take_along_axis(x, index, static_cast<int64_t>(time));
}

const OpDef reverse_sequence = {
    .name = "ReverseSequence",
    .min_inputs = 2,
    .max_inputs = 2,
    .attrs = {{"batch_axis", 1}, {"time_axis", 0}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const size_t time = axis_of(n, "time_axis"), batch = axis_of(n, "batch_axis");
      require(time != batch, "time and batch are the same axis");
      require(n.in_type(1) == Type{DType::i64, {n.in_type(0).dims[batch]}}, "lengths are ",
              to_string(n.in_type(1)), ", expected one i64 per sequence");
      return {n.in_type(0), {DType::i64, {}}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      Value longest = constant_like(in[1], static_cast<double>(in[0].dims()[axis_of(n, "time_axis")]));
      Value bad = logical_or(less(in[1], constant_like(in[1], 0)), greater(in[1], longest));
      return {reversed(n, in[0], in[1]), reduce_sum(cast(bad, DType::i64), {}, false)};
    },
    .grad = [](Grad& g) -> Values { return {reversed(g.node, g.dy[0], g.in[1])}; },
    .no_grad_inputs = {1},
    .fault_output = 1,
};
MEZZO_REGISTER_OP(reverse_sequence);

}  // namespace
}  // namespace mezzo::ir
