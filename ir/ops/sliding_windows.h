// sliding_windows.h: the geometry that Conv and the pooling ops share: kernel, strides, dilations, pads and
// output extents per spatial axis, from ONNX's attributes (auto_pad, ceil_mode included).
#pragma once
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {

// All vectors have one entry per spatial axis. Output element o reads input positions
// o * stride + k * dilation - pad_begin for 0 <= k < kernel.
struct SlidingWindows {
  Ints kernel, strides, dilations, pads_begin, pads_end;
  Ints outputs;

  WindowSpec spec() const { return {kernel, strides, dilations, pads_begin, outputs}; }
};

// Reads strides, dilations, pads and auto_pad of `n`, whose first input is [N, C, spatial...]. With ceil_mode
// the last window may reach over the right border, but it starts inside the input or its left padding. Throws
// Error unless there are 1 to 3 spatial axes, every attribute fits them and at least one window fits into the
// padded input.
SlidingWindows sliding_windows(const Node& n, const Ints& kernel, bool ceil_mode = false);

// The attributes sliding_windows() reads, for the op's list, followed by `more`.
std::vector<AttrSpec> window_attrs(std::vector<AttrSpec> more);

// dims with the spatial part (from axis 2 on) replaced.
Dims with_spatial(const Dims& dims, const Ints& spatial);
// The spatial part of [N, C, spatial...].
Ints spatial_of(const Dims& dims);
// first, first + 1, ..., last - 1.
Ints axis_range(int64_t first, int64_t last);

// i32 coordinates, counted row-major over the axes `axes` of `dims` and constant along the others (extent 1
// there).
Value flat_position(Graph& graph, const Dims& dims, const Ints& axes);
// The least flat_position over `axes` at which v equals its maximum `peak` (kept axes), i32 with kept axes; 0
// where nothing equals it (NaN).
Value first_position(Value v, Value peak, const Ints& axes);

}  // namespace mezzo::ir
