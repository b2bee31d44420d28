#include "ir/ops/sliding_windows.h"

#include <algorithm>
#include <limits>

namespace mezzo::ir {
namespace {

// Above this the products below could leave 64 bits.
constexpr int64_t kMaxWindowNumber = std::numeric_limits<int32_t>::max();

Ints numbers(const Node& n, std::string_view attr, size_t count, int64_t fallback, int64_t least) {
  Ints values(count, fallback);
  if (n.has_attr(attr) && !n.ints(attr).empty()) values = n.ints(attr);
  require(values.size() == count, attr, " has ", values.size(), " numbers, expected ", count);
  for (int64_t v : values)
    require(v >= least && v <= kMaxWindowNumber, attr, " ", v, " is out of range: at least ", least);
  return values;
}

}  // namespace

std::vector<AttrSpec> window_attrs(std::vector<AttrSpec> more) {
  std::vector<AttrSpec> attrs = {{"auto_pad", "NOTSET"},
                                 {"dilations", Ints{}, AttrSpec::optional},
                                 {"pads", Ints{}, AttrSpec::optional},
                                 {"strides", Ints{}, AttrSpec::optional}};
  attrs.insert(attrs.end(), more.begin(), more.end());
  return attrs;
}

Ints spatial_of(const Dims& dims) { return {dims.begin() + 2, dims.end()}; }

Dims with_spatial(const Dims& dims, const Ints& spatial) {
  Dims out{dims[0], dims[1]};
  out.insert(out.end(), spatial.begin(), spatial.end());
  return out;
}

Ints axis_range(int64_t first, int64_t last) {
  Ints axes;
  for (int64_t a = first; a < last; a++) axes.push_back(a);
  return axes;
}

SlidingWindows sliding_windows(const Node& n, const Ints& kernel, bool ceil_mode) {
  const Dims& dims = n.in_type(0).dims;
  require(dims.size() >= 3 && dims.size() <= 5, "input ", to_string(dims),
          " must have a batch, a channel and 1 to 3 spatial axes");
  const Ints inputs = spatial_of(dims);
  const size_t axes = inputs.size();
  require(kernel.size() == axes, "kernel_shape has ", kernel.size(), " numbers for ", axes, " spatial axes");
  for (int64_t k : kernel)
    require(k >= 1 && k <= kMaxWindowNumber, "kernel extent ", k, " is out of range: at least 1");

  SlidingWindows w;
  w.kernel = kernel;
  w.strides = numbers(n, "strides", axes, 1, 1);
  w.dilations = numbers(n, "dilations", axes, 1, 1);
  const Ints pads = numbers(n, "pads", 2 * axes, 0, 0);
  const std::string& mode = n.s("auto_pad");
  const bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  require(same || mode == "NOTSET" || mode == "VALID" || mode.empty(), "auto_pad '", mode,
          "' is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER");
  for (size_t i = 0; i < axes; i++) {
    const int64_t stride = w.strides[i], reach = (kernel[i] - 1) * w.dilations[i] + 1;
    int64_t begin = 0, end = 0, outputs = 0;
    if (same) {
      outputs = (inputs[i] + stride - 1) / stride;
      const int64_t total = std::max<int64_t>((outputs - 1) * stride + reach - inputs[i], 0);
      begin = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
      end = total - begin;
    } else {
      if (mode != "VALID") begin = pads[i], end = pads[axes + i];
      const int64_t room = inputs[i] + begin + end - reach;
      require(room >= 0, "a window of ", reach, " does not fit into the padded extent ",
              inputs[i] + begin + end, " of spatial axis ", i);
      outputs = room / stride + 1;
      if (ceil_mode && mode != "VALID" && room % stride != 0 && outputs * stride < inputs[i] + begin)
        outputs++;
    }
    w.pads_begin.push_back(begin);
    w.pads_end.push_back(end);
    w.outputs.push_back(outputs);
  }
  return w;
}

Value flat_position(Graph& graph, const Dims& dims, const Ints& axes) {
  Dims extents(dims.size(), 1);
  for (int64_t a : axes) extents[static_cast<size_t>(a)] = dims[static_cast<size_t>(a)];
  require(element_count(extents) <= kMaxWindowNumber, "a window of ", element_count(extents),
          " elements is too large");
  Value position;
  int64_t stride = 1;
  for (auto a = axes.rbegin(); a != axes.rend(); ++a) {
    Dims line(dims.size(), 1);
    line[static_cast<size_t>(*a)] = extents[static_cast<size_t>(*a)];
    Value coordinate = iota(graph, line, *a, DType::i32);
    if (stride != 1) coordinate = coordinate * static_cast<double>(stride);
    position = position ? coordinate + position : coordinate;
    stride *= line[static_cast<size_t>(*a)];
  }
  return position;
}

Value first_position(Value v, Value peak, const Ints& axes) {
  Graph& graph = v.node->graph();
  int64_t count = 1;
  for (int64_t a : axes) count *= v.dims()[static_cast<size_t>(a)];
  Value position = flat_position(graph, v.dims(), axes);
  Value none = constant_like(position, static_cast<double>(count));
  Value first = reduce_min(where(equal(v, peak), position, none), axes);
  return where(equal(first, none), constant_like(first, 0), first);
}

}  // namespace mezzo::ir
