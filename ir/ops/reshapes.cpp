// reshapes.cpp: ONNX Identity, Flatten, Squeeze and Unsqueeze, and StopGradient: the elements stay.
#include <algorithm>
#include <set>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// All expand to a reshape into the shape that was inferred.
Values to_inferred_shape(Graph&, const Node& n, const Values& in) { return {reshape(in[0], n.type().dims)}; }

const OpDef identity = {
    .name = "Identity",
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = to_inferred_shape,
};
MEZZO_REGISTER_OP(identity);

// The value as a constant: PyTorch's detach().
const OpDef stop_gradient = {
    .name = "StopGradient",
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = same_as_input,
    .expand = to_inferred_shape,
    .grad = zero_gradient,
};
MEZZO_REGISTER_OP(stop_gradient);

// [d0, ..., dn] -> [d0 * ... * d(axis-1), d(axis) * ... * dn]; axis may be the rank itself.
const OpDef flatten = {
    .name = "Flatten",
    .attrs = {{"axis", 1}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = n.in_type(0);
      const int64_t axis = n.i("axis") == x.rank() ? x.rank() : normalize_axis(n.i("axis"), x.rank());
      const auto split = x.dims.begin() + axis;
      return {{x.dtype, {element_count({x.dims.begin(), split}), element_count({split, x.dims.end()})}}};
    },
    .expand = to_inferred_shape,
};
MEZZO_REGISTER_OP(flatten);

std::set<int64_t> distinct_axes(const Ints& axes, int64_t rank) {
  std::set<int64_t> out;
  for (int64_t a : axes) require(out.insert(normalize_axis(a, rank)).second, "axis ", a, " occurs twice");
  return out;
}

// Without axes: drops every extent of 1.
const OpDef squeeze = {
    .name = "Squeeze",
    .attrs = {{"axes", Ints{}, AttrSpec::optional}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const Type& x = n.in_type(0);
      std::set<int64_t> axes;
      if (n.has_attr("axes")) axes = distinct_axes(n.ints("axes"), x.rank());
      Type out{x.dtype, {}};
      for (int64_t a = 0; a < x.rank(); a++) {
        const int64_t extent = x.dims[static_cast<size_t>(a)];
        require(!axes.contains(a) || extent == 1, "axis ", a, " of ", to_string(x.dims),
                " is not of extent 1");
        if (n.has_attr("axes") ? !axes.contains(a) : extent != 1) out.dims.push_back(extent);
      }
      return {out};
    },
    .expand = to_inferred_shape,
    .constant_inputs = {{1, "axes"}},
};
MEZZO_REGISTER_OP(squeeze);

// `axes` count in the result.
const OpDef unsqueeze = {
    .name = "Unsqueeze",
    .attrs = {{"axes", Ints{}, AttrSpec::required}},
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      Type out = n.in_type(0);
      const int64_t rank = out.rank() + static_cast<int64_t>(n.ints("axes").size());
      for (int64_t a : distinct_axes(n.ints("axes"), rank)) out.dims.insert(out.dims.begin() + a, 1);
      return {out};
    },
    .expand = to_inferred_shape,
    .constant_inputs = {{1, "axes"}},
};
MEZZO_REGISTER_OP(unsqueeze);

}  // namespace
}  // namespace mezzo::ir
