// slice.cpp: Slice and its transposed view, and Pad with its four modes.
#include <algorithm>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// One axis of a slice: out[i] = in[start + i * step], 0 <= i < count.
struct Range {
  int64_t start = 0, step = 1, count = 0;
};

// ONNX Slice clamps: a positive step reads within [0, d], a negative one within [-1, d - 1].
std::vector<Range> ranges(const Dims& dims, const Ints& starts, const Ints* ends, Ints axes, Ints steps) {
  std::vector<Range> out;
  for (int64_t d : dims) out.push_back({0, 1, d});
  if (axes.empty())
    for (size_t i = 0; i < starts.size(); i++) axes.push_back(static_cast<int64_t>(i));
  if (steps.empty()) steps.assign(starts.size(), 1);
  require(axes.size() == starts.size() && steps.size() == starts.size() && (!ends || ends->size() == starts.size()),
          "starts, ends, axes and steps differ in length");
  std::vector<bool> seen(dims.size());
  for (size_t i = 0; i < starts.size(); i++) {
    auto axis = static_cast<size_t>(normalize_axis(axes[i], static_cast<int64_t>(dims.size())));
    require(!seen[axis], "axis ", axis, " is given twice");
    seen[axis] = true;
    int64_t d = dims[axis], step = steps[i];
    require(step != 0, "a step of 0");
    step = std::clamp<int64_t>(step, -INT32_MAX, INT32_MAX);
    auto clamped = [&](int64_t v, int64_t low, int64_t high) { return std::clamp(v < 0 ? v + d : v, low, high); };
    int64_t start = step > 0 ? clamped(starts[i], 0, d) : clamped(starts[i], 0, d - 1);
    int64_t count = 0;
    if (ends) {
      int64_t end = step > 0 ? clamped((*ends)[i], 0, d) : clamped((*ends)[i], -1, d - 1);
      count = step > 0 ? (end - start + step - 1) / step : (end - start + step + 1) / step;
    }
    out[axis] = {start, step, d == 0 ? 0 : std::max<int64_t>(count, 0)};
  }
  return out;
}

std::vector<Range> ranges(const Node& n) {
  return ranges(n.in_type(0).dims, n.ints("starts"), &n.ints("ends"), n.ints("axes"), n.ints("steps"));
}

// Slice, Unslice and Pad name axes; stored, axis a is axis perm[a].
Ints mapped(const Ints& axes, size_t count, const Ints& perm) {
  Ints out;
  for (size_t i = 0; i < count; i++) {
    int64_t axis = axes.empty() ? static_cast<int64_t>(i) : normalize_axis(axes[i], static_cast<int64_t>(perm.size()));
    out.push_back(perm[static_cast<size_t>(axis)]);
  }
  return out;
}

const OpDef slice_op = {
    .name = "Slice",
    .attrs = {{"starts", Ints{}, AttrSpec::required},
              {"ends", Ints{}, AttrSpec::required},
              {"axes", Ints{}},
              {"steps", Ints{}}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          Dims dims;
          for (const Range& r : ranges(n)) dims.push_back(r.count);
          return {{n.in_type(0).dtype, dims}};
        },
    .index =
        [](const Node& n, const Exprs& at) -> IndexMap {
          std::vector<Range> r = ranges(n);
          Exprs in;
          for (size_t i = 0; i < r.size(); i++) in.push_back(at[i] * r[i].step + r[i].start);
          return {{{0, in}}};
        },
    .grad = [](Grad& g) -> Values {
      Ints starts, axes, steps;
      std::vector<Range> r = ranges(g.node);
      for (size_t i = 0; i < r.size(); i++) {
        if (r[i].start == 0 && r[i].step == 1 && r[i].count == g.node.in_type(0).dims[i]) continue;
        starts.push_back(r[i].start);
        steps.push_back(r[i].step);
        axes.push_back(static_cast<int64_t>(i));
      }
      return {unslice(g.dy[0], g.node.in_type(0).dims, starts, axes, steps)};
    },
    .permuted = [](const Node& n, const Ints& perm, Ints* out_perm) -> std::optional<Attrs> {
      Attrs attrs = n.attrs();
      attrs["axes"] = mapped(n.ints("axes"), n.ints("starts").size(), perm);
      *out_perm = perm;
      return attrs;
    },
    .constant_inputs = {{1, "starts"}, {2, "ends"}, {3, "axes"}, {4, "steps"}},
};
MEZZO_REGISTER_OP(slice_op);

// out (of shape `shape`) holds v where Slice(starts, steps) of it would read, 0 elsewhere.
const OpDef unslice_op = {
    .name = "Unslice",
    .attrs = {{"shape", Ints{}, AttrSpec::required},
              {"starts", Ints{}, AttrSpec::required},
              {"axes", Ints{}, AttrSpec::required},
              {"steps", Ints{}, AttrSpec::required}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          element_count(n.ints("shape"));
          require(n.ints("shape").size() == n.in_type(0).dims.size(), "shape ", to_string(n.ints("shape")),
                  " does not fit ", to_string(n.in_type(0)));
          ranges(n.ints("shape"), n.ints("starts"), nullptr, n.ints("axes"), n.ints("steps"));
          return {{n.in_type(0).dtype, n.ints("shape")}};
        },
    .index =
        [](const Node& n, const Exprs& at) -> IndexMap {
          std::vector<Range> r = ranges(n.ints("shape"), n.ints("starts"), nullptr, n.ints("axes"), n.ints("steps"));
          Access access{0, at, {}};
          for (size_t i = 0; i < r.size(); i++) {
            int64_t count = n.in_type(0).dims[i];
            if (r[i].start == 0 && r[i].step == 1 && count == n.ints("shape")[i]) continue;
            Expr shifted = r[i].step > 0 ? at[i] - r[i].start : at[i] * -1 + r[i].start;
            int64_t step = std::abs(r[i].step);
            access.at[i] = floor_div(shifted, step);
            if (step > 1) access.when.push_back({floor_mod(shifted, step), 1});
            access.when.push_back({access.at[i], count});
          }
          return {{access}};
        },
    .grad = [](Grad& g) -> Values {
      const Node& n = g.node;
      Ints ends;
      for (size_t i = 0; i < n.ints("axes").size(); i++) {
        int64_t axis = n.ints("axes")[i], count = n.in_type(0).dims[static_cast<size_t>(axis)];
        int64_t end = n.ints("starts")[i] + n.ints("steps")[i] * count;
        ends.push_back(end < 0 ? INT64_MIN / 2 : end);
      }
      return {slice(g.dy[0], n.ints("starts"), ends, n.ints("axes"), n.ints("steps"))};
    },
    .permuted = [](const Node& n, const Ints& perm, Ints* out_perm) -> std::optional<Attrs> {
      Attrs attrs = n.attrs();
      attrs["axes"] = mapped(n.ints("axes"), n.ints("starts").size(), perm);
      Ints shape(perm.size());
      for (size_t i = 0; i < perm.size(); i++) shape[static_cast<size_t>(perm[i])] = n.ints("shape")[i];
      attrs["shape"] = shape;
      *out_perm = perm;
      return attrs;
    },
};
MEZZO_REGISTER_OP(unslice_op);

// Begin and end amounts of every axis; negative ones crop.
struct Amounts {
  Ints begin, end;
};
Amounts amounts(const Node& n) {
  size_t rank = n.in_type(0).dims.size();
  const Ints& pads = n.ints("pads");
  Ints axes = n.ints("axes");
  if (axes.empty())
    for (size_t i = 0; i < rank; i++) axes.push_back(static_cast<int64_t>(i));
  require(pads.size() == 2 * axes.size(), pads.size(), " pads for ", axes.size(), " axes");
  Amounts a{Ints(rank), Ints(rank)};
  for (size_t i = 0; i < axes.size(); i++) {
    auto axis = static_cast<size_t>(normalize_axis(axes[i], static_cast<int64_t>(rank)));
    a.begin[axis] = pads[i];
    a.end[axis] = pads[axes.size() + i];
  }
  return a;
}

// The ways one axis of a padded tensor reads its input: (coordinate, condition), tried in order.
std::vector<Expr> alternatives(const std::string& mode, const Expr& at, int64_t begin, int64_t extent) {
  Expr middle = at - begin;
  if (mode == "reflect") return {middle, middle * -1, middle * -1 + 2 * (extent - 1)};
  if (mode == "wrap") return {floor_mod(middle, extent)};
  return {middle};
}

const OpDef pad_op = {
    .name = "Pad",
    .attrs = {{"pads", Ints{}, AttrSpec::required}, {"axes", Ints{}}, {"value", 0.0}, {"mode", "constant"}},
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          Type t = n.in_type(0);
          const std::string& mode = n.s("mode");
          require(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap", "mode '", mode,
                  "' is not one of constant, reflect, edge, wrap");
          Amounts a = amounts(n);
          for (size_t i = 0; i < t.dims.size(); i++) {
            int64_t d = t.dims[i], longest = std::max(a.begin[i], a.end[i]);
            require(longest <= 0 || mode == "constant" || d > 0, "mode ", mode, " has nothing to repeat in axis ", i);
            require(mode != "reflect" || longest < std::max<int64_t>(d, 1), "reflect padding of ", longest,
                    " is not below the extent ", d, " of axis ", i);
            t.dims[i] = d + a.begin[i] + a.end[i];
          }
          element_count(t.dims);
          return {t};
        },
    .index =
        [](const Node& n, const Exprs& at) -> IndexMap {
          Amounts a = amounts(n);
          const Dims& dims = n.in_type(0).dims;
          std::vector<Access> accesses{{0, at, {}}};
          auto fan_out = [&](size_t axis, const std::vector<Expr>& choices, bool always) {
            std::vector<Access> next;
            for (const Access& access : accesses)
              for (const Expr& e : choices) {
                next.push_back(access);
                next.back().at[axis] = e;
                if (!always) next.back().when.push_back({e, dims[axis]});
              }
            accesses = std::move(next);
          };
          for (size_t i = 0; i < dims.size(); i++) {
            if (a.begin[i] == 0 && a.end[i] == 0) continue;
            if (n.s("mode") == "edge") {  // inside, else the nearer end
              Expr middle = at[i] - a.begin[i];
              std::vector<Access> next;
              for (const Access& access : accesses) {
                auto add = [&](const Expr& e, const Condition& when) {
                  next.push_back(access);
                  next.back().at[i] = e;
                  next.back().when.push_back(when);
                };
                add(middle, {middle, dims[i]});
                add(0, {middle * -1 - 1, std::max<int64_t>(a.begin[i], 1)});
                add(dims[i] - 1, {middle - dims[i], std::max<int64_t>(a.end[i], 1)});
              }
              accesses = std::move(next);
            } else {
              fan_out(i, alternatives(n.s("mode"), at[i], a.begin[i], std::max<int64_t>(dims[i], 1)),
                      n.s("mode") == "wrap");
            }
          }
          return {accesses, n.f("value")};
        },
    .grad = [](Grad& g) -> Values {
      // Axis by axis: the middle, plus what the padded ends repeat, put back where it was read.
      Amounts a = amounts(g.node);
      const std::string& mode = g.node.s("mode");
      Value dy = g.dy[0];
      for (size_t i = 0; i < a.begin.size(); i++) {
        if (a.begin[i] == 0 && a.end[i] == 0) continue;
        auto axis = static_cast<int64_t>(i);
        int64_t d = g.node.in_type(0).dims[i], begin = a.begin[i], end = a.end[i];
        Ints left(a.begin.size()), right(a.begin.size());
        left[i] = -begin;
        right[i] = -end;
        Value dx = pad(dy, left, right);
        // The part of dy in [from, from + count), folded to one element per source, placed at `to`.
        auto put_back = [&](int64_t from, int64_t count, int64_t to, bool flip, bool fold) {
          if (count <= 0) return;
          Value part = slice(dy, {from}, {from + count}, {axis}, {1});
          if (fold) part = reduce_sum(part, {axis});
          else if (flip) part = slice(part, {count - 1}, {INT64_MIN}, {axis}, {-1});
          Ints before(a.begin.size()), after(a.begin.size());
          before[i] = to;
          after[i] = d - to - part.dims()[i];
          dx = dx + pad(part, before, after);
        };
        if (mode == "reflect") {
          put_back(0, begin, 1, true, false);
          put_back(begin + d, end, d - 1 - end, true, false);
        } else if (mode == "edge") {
          put_back(0, begin, 0, false, true);
          put_back(begin + d, end, d - 1, false, true);
        } else if (mode == "wrap") {
          for (int64_t from = 0, total = begin + d + end; from < total;) {
            int64_t to = ((from - begin) % d + d) % d, count = std::min(d - to, total - from);
            if (from != begin) put_back(from, count, to, false, false);
            from += count;
          }
        }
        dy = dx;
      }
      return {dy};
    },
    .permuted = [](const Node& n, const Ints& perm, Ints* out_perm) -> std::optional<Attrs> {
      Attrs attrs = n.attrs();
      attrs["axes"] = mapped(n.ints("axes"), n.ints("pads").size() / 2, perm);
      *out_perm = perm;
      return attrs;
    },
    .constant_inputs = {{1, "pads"}, {2, "value"}, {3, "axes"}},
};
MEZZO_REGISTER_OP(pad_op);

}  // namespace
}  // namespace mezzo::ir
