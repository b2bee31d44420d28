// node_case.h: the conformance tests of ONNX (Debian: libonnx-testdata), one folder per test: model.onnx and
// test_data_set_0/{input,output}_N.pb, bound to the graph's inputs and outputs by position.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "frontend/import.h"
#include "ir/tensor.h"

namespace mezzo::test {

struct NodeCase {
  frontend::ModelFile model;
  std::map<std::string, ir::Tensor> inputs;
  std::vector<ir::Tensor> outputs;  // expected, in order
};

// Where the test data is; empty when it is not installed.
std::string node_test_root();
// Names of the tests of a group ("node", "pytorch-operator" ...), sorted.
std::vector<std::string> node_test_names(const std::string& group);

// Throws Error for what Mezzo cannot read.
NodeCase load_node_case(const std::string& folder);

// Imports with the inputs' shapes and values.
frontend::Imported import_case(const NodeCase& test);

// What differs, or nothing: dtype, shape, and |a - b| <= 1e-7 + 1e-3 |b| with NaN equal to NaN.
std::string difference(const ir::Tensor& got, const ir::Tensor& expected);

}  // namespace mezzo::test
