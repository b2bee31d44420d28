// fake_dnn.h: graphs of operations as the fake cuDNN keeps them (fake_cudnn.cpp), and computes them on the
// host.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "codegen/cuda/cudnn_api.h"

namespace mezzo::fake_dnn {

using namespace mezzo::codegen::cuda;
using Dims = std::vector<int64_t>;

struct Tensor {
  int64_t id = 0;
  int type = kDnnFloat;
  int64_t alignment = 1;
  bool is_virtual = false, by_value = false;
  Dims dims, strides;
};

// `type` is that of the operation's descriptor. Operands of convolutions: x and w; dy and w for the gradient
// of x; x and dy for that of w. Of a selection: what is taken, what otherwise, the choice.
struct Operation {
  int type = 0;
  int mode = 0;  // pointwise mode or reduction operator
  int64_t axis = 0;
  Dims strides, dilations, pads_begin, pads_end;  // of convolutions
  std::vector<Tensor> operands;
  Tensor result;
};

struct Graph {
  int engine = 0;
  std::vector<Operation> operations;
};

// What does not fit together, or "".
std::string wrong(const Operation&);

// A plan's text and back; nothing where it is damaged.
std::string to_text(const Graph&);
std::optional<Graph> from_text(const std::string&);

// What a graph computes with: memory by tensor, and the values of those that are given by value.
struct Operands {
  std::map<int64_t, void*> memory;
  std::map<int64_t, double> scalars;
};
// In double, rounded once to the type of each result; those that are virtual are rounded, too.
void compute(const Graph&, const Operands&);

}  // namespace mezzo::fake_dnn
