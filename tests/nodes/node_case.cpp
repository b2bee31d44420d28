#include "tests/nodes/node_case.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "frontend/input_shapes.h"
#include "frontend/onnx.pb.h"
#include "frontend/tensor_reader.h"
#include "tests/paths.h"

namespace mezzo::test {
namespace {

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The data of Debian's bf16 tests says uint16 where the graph says bfloat16: the bits are the same.
ir::Tensor load_tensor(const std::string& path, int declared) {
  onnx::TensorProto proto;
  if (!proto.ParseFromString(slurp(path))) throw Error(ErrorCode::bad_input, "unreadable test data", path);
  if (declared == 16 && proto.data_type() == 4) proto.set_data_type(16);
  return frontend::read_tensor(
      proto, {frontend::ExternalData("", {}), frontend::ModelBytes(std::string()), {}}, path);
}

}  // namespace

std::string node_test_root() { return MEZZO_ONNX_TEST_DATA; }

std::vector<std::string> node_test_names(const std::string& group) {
  std::vector<std::string> names;
  std::error_code absent;
  for (auto& entry : std::filesystem::directory_iterator(node_test_root() + "/" + group, absent))
    if (std::filesystem::exists(entry.path() / "model.onnx")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

NodeCase load_node_case(const std::string& folder) {
  NodeCase test{frontend::ModelFile::read(folder + "/model.onnx"), {}, {}};
  const onnx::GraphProto& graph = test.model.proto().graph();
  auto path = [&](const char* kind, int i) {
    return concat(folder, "/test_data_set_0/", kind, "_", i, ".pb");
  };
  auto declared = [](const onnx::ValueInfoProto& value) {
    if (!value.type().has_tensor_type())
      throw Error(ErrorCode::unsupported, concat("'", value.name(), "' is not a tensor"), value.name());
    return value.type().tensor_type().elem_type();
  };
  for (int i = 0; i < graph.input_size() && std::filesystem::exists(path("input", i)); i++)
    test.inputs[graph.input(i).name()] = load_tensor(path("input", i), declared(graph.input(i)));
  for (int i = 0; i < graph.output_size(); i++)
    test.outputs.push_back(load_tensor(path("output", i), declared(graph.output(i))));
  return test;
}

frontend::Imported import_case(const NodeCase& test) {
  frontend::ImportOptions options;
  for (auto& [name, tensor] : test.inputs) {
    options.shapes[name] = tensor.dims();
    options.values[name] = std::make_shared<const ir::Tensor>(tensor);
  }
  return frontend::import_model(test.model, options);
}

std::string difference(const ir::Tensor& got, const ir::Tensor& expected) {
  if (got.type() != expected.type())
    return concat("is ", ir::to_string(got.type()), ", expected ", ir::to_string(expected.type()));
  for (int64_t i = 0; i < got.count(); i++) {
    double a = got.get(i), b = expected.get(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (!(std::abs(a - b) <= 1e-7 + 1e-3 * std::abs(b)))
      return concat("element ", i, " is ", a, ", expected ", b);
  }
  return {};
}

}  // namespace mezzo::test
