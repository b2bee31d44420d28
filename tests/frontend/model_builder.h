// model_builder.h: small ONNX models made in a test, well-formed or not.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "frontend/import.h"
#include "frontend/onnx.pb.h"
#include "ir/eval.h"

namespace mezzo::test {

class ModelBuilder {
 public:
  explicit ModelBuilder(int64_t opset = 17, int64_t ir_version = 8);
  // dims: -1 is the symbolic dimension "batch".
  ModelBuilder& input(const std::string& name, const std::vector<int64_t>& dims, int type = 1);
  ModelBuilder& output(const std::string& name);
  ModelBuilder& weight(const std::string& name, const std::vector<int64_t>& dims,
                       const std::vector<float>& values);
  ModelBuilder& integers(const std::string& name, const std::vector<int64_t>& values);
  onnx::TensorProto& tensor(const std::string& name, const std::vector<int64_t>& dims, int type);
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "");
  onnx::FunctionProto& function(const std::string& domain, const std::string& name,
                                const std::vector<std::string>& inputs,
                                const std::vector<std::string>& outputs);

  onnx::ModelProto proto;
  onnx::GraphProto& graph() { return *proto.mutable_graph(); }
  std::string bytes() const { return proto.SerializeAsString(); }
  frontend::ModelFile file() const { return frontend::ModelFile::from_bytes(bytes()); }
  frontend::Imported import(const frontend::ImportOptions& options = {}) const;
};

void set(onnx::NodeProto& node, const std::string& name, int64_t value);
void set(onnx::NodeProto& node, const std::string& name, float value);
void set(onnx::NodeProto& node, const std::string& name, const std::string& value);
void set(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values);
onnx::NodeProto& add_node(google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, const std::string& op,
                          const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                          const std::string& name = "");

// `to`: a node or a value.
template <class Message>
void add_metadata(Message& to, const std::string& key, const std::string& value) {
  auto* entry = to.add_metadata_props();
  entry->set_key(key);
  entry->set_value(value);
}

// Every element of the model's first output, by the rounding evaluator.
std::vector<double> run(const frontend::Imported& imported, const std::map<std::string, ir::Tensor>& feeds);

// The message of the Error that `f` throws; the test fails when it throws none.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}

// A directory of its own for one test, removed afterwards.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};
void write_file(const std::string& path, const std::string& bytes);
std::string read_file(const std::string& path);

}  // namespace mezzo::test
