// window.cpp: sliding-window views. A pool is a reduction over the window axes of Window(x); the gradient of a window
// is a reduction over Unwindow. Neither touches memory by itself: both are index maps.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

struct Geometry {
  size_t first, count;  // the windowed axes
  const Ints &kernel, &strides, &dilations, &pads;
};

Geometry geometry(const Node& n, int64_t rank) {
  Geometry g{0, n.ints("kernel").size(), n.ints("kernel"), n.ints("strides"), n.ints("dilations"), n.ints("pads")};
  auto count = static_cast<int64_t>(g.count);
  require(count > 0 && g.strides.size() == g.count && g.dilations.size() == g.count && g.pads.size() == g.count,
          "kernel, strides, dilations and pads must have one entry per windowed axis");
  for (size_t j = 0; j < g.count; j++)
    require(g.kernel[j] > 0 && g.strides[j] > 0 && g.dilations[j] > 0, "kernel, strides and dilations must be positive");
  int64_t first = n.has_attr("first_axis") ? n.i("first_axis") : rank - count;
  require(first >= 0 && first + count <= rank, "windowed axes ", first, " to ", first + count - 1, " of rank ", rank);
  g.first = static_cast<size_t>(first);
  return g;
}

const std::vector<AttrSpec> kWindowAttrs = {{"kernel", Ints{}, AttrSpec::required},
                                            {"strides", Ints{}, AttrSpec::required},
                                            {"dilations", Ints{}, AttrSpec::required},
                                            {"pads", Ints{}, AttrSpec::required},
                                            {"extents", Ints{}, AttrSpec::required},
                                            {"first_axis", int64_t{0}, AttrSpec::optional},
                                            {"fill", 0.0}};

// The windowed axes, contiguous and in order, must be so in storage too; the appended kernel axes stay last.
std::optional<Attrs> permuted_window(const Node& n, const Ints& perm, Ints* out_perm) {
  const size_t count = n.ints("kernel").size(), whole = n.type().dims.size();
  const size_t lead = n.in_type(0).dims.size() == whole ? whole - count : n.in_type(0).dims.size();
  const Geometry g = geometry(n, static_cast<int64_t>(lead));
  for (size_t j = 1; j < count; j++)
    if (perm[g.first + j] != perm[g.first + j - 1] + 1) return std::nullopt;
  *out_perm = Ints(perm.begin(), perm.begin() + static_cast<int64_t>(lead));
  for (size_t j = lead; j < lead + count; j++) {
    if (j < perm.size() && perm[j] != static_cast<int64_t>(j)) return std::nullopt;
    out_perm->push_back(static_cast<int64_t>(j));
  }
  Attrs attrs = n.attrs();
  attrs["first_axis"] = perm[g.first];
  return attrs;
}

// extents: O, the number of windows per axis.
const OpDef window_op = {
    .name = "Window",
    .attrs = kWindowAttrs,
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          Type t = n.in_type(0);
          Geometry g = geometry(n, t.rank());
          require(n.ints("extents").size() == g.count, "extents must have one entry per windowed axis");
          for (size_t j = 0; j < g.count; j++) t.dims[g.first + j] = n.ints("extents")[j];
          t.dims.insert(t.dims.end(), g.kernel.begin(), g.kernel.end());
          element_count(t.dims);
          return {t};
        },
    .index =
        [](const Node& n, const Exprs& at) -> IndexMap {
          const Dims& dims = n.in_type(0).dims;
          Geometry g = geometry(n, static_cast<int64_t>(dims.size()));
          Access access{0, Exprs(at.begin(), at.begin() + static_cast<int64_t>(dims.size())), {}};
          for (size_t j = 0; j < g.count; j++) {
            Expr& e = access.at[g.first + j];
            e = e * g.strides[j] + at[dims.size() + j] * g.dilations[j] - g.pads[j];
            access.when.push_back({e, dims[g.first + j]});
          }
          return {{access}, n.f("fill")};
        },
    .grad = [](Grad& g) -> Values {
      const Dims& dims = g.node.in_type(0).dims;
      Geometry w = geometry(g.node, static_cast<int64_t>(dims.size()));
      Ints extents(dims.begin() + static_cast<int64_t>(w.first),
                   dims.begin() + static_cast<int64_t>(w.first + w.count)), axes;
      for (size_t j = 0; j < w.count; j++) axes.push_back(static_cast<int64_t>(dims.size() + j));
      WindowSpec spec{w.kernel, w.strides, w.dilations, w.pads, g.node.ints("extents"),
                      static_cast<int64_t>(w.first)};
      return {reduce_sum(unwindow(g.dy[0], spec, extents), axes, false)};
    },
    .permuted = permuted_window,
};
MEZZO_REGISTER_OP(window_op);

// extents: D, the extents of the windowed axes of what Window read.
const OpDef unwindow_op = {
    .name = "Unwindow",
    .attrs = kWindowAttrs,
    .precision = Precision::pass,
    .meaning = Meaning::index,
    .infer =
        [](const Node& n) -> std::vector<Type> {
          Type t = n.in_type(0);
          auto count = static_cast<int64_t>(n.ints("kernel").size());
          require(t.rank() > count, "rank ", t.rank(), " has no room for ", count, " windowed axes");
          Geometry g = geometry(n, t.rank() - count);
          require(n.ints("extents").size() == g.count, "extents must have one entry per windowed axis");
          for (size_t j = 0; j < g.count; j++) {
            require(t.dims[t.dims.size() - g.count + j] == g.kernel[j], "the last axes must be the kernel's");
            t.dims[g.first + j] = n.ints("extents")[j];
          }
          element_count(t.dims);
          return {t};
        },
    .index =
        [](const Node& n, const Exprs& at) -> IndexMap {
          const Dims& dims = n.in_type(0).dims;
          size_t lead = dims.size() - n.ints("kernel").size();
          Geometry g = geometry(n, static_cast<int64_t>(lead));
          Access access{0, at, {}};
          for (size_t j = 0; j < g.count; j++) {
            Expr shifted = at[g.first + j] - at[lead + j] * g.dilations[j] + g.pads[j];
            Expr& e = access.at[g.first + j];
            e = floor_div(shifted, g.strides[j]);
            if (g.strides[j] > 1) access.when.push_back({floor_mod(shifted, g.strides[j]), 1});
            access.when.push_back({e, dims[g.first + j]});
          }
          return {{access}, n.f("fill")};
        },
    .grad = not_differentiable,
    .permuted = permuted_window,
};
MEZZO_REGISTER_OP(unwindow_op);

}  // namespace
}  // namespace mezzo::ir
