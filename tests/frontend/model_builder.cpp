#include "model_builder.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ir/text.h"

namespace mezzo::test {

ModelBuilder::ModelBuilder(int64_t opset, int64_t ir_version) {
  proto.set_ir_version(ir_version);
  auto* import = proto.add_opset_import();
  import->set_domain("");
  import->set_version(opset);
  graph().set_name("g");
}

ModelBuilder& ModelBuilder::input(const std::string& name, const std::vector<int64_t>& dims, int type) {
  auto* value = graph().add_input();
  value->set_name(name);
  value->mutable_type()->mutable_tensor_type()->set_elem_type(type);
  auto* shape = value->mutable_type()->mutable_tensor_type()->mutable_shape();
  for (int64_t d : dims) {
    if (d < 0)
      shape->add_dim()->set_dim_param("batch");
    else
      shape->add_dim()->set_dim_value(d);
  }
  return *this;
}

ModelBuilder& ModelBuilder::output(const std::string& name) {
  graph().add_output()->set_name(name);
  return *this;
}

onnx::TensorProto& ModelBuilder::tensor(const std::string& name, const std::vector<int64_t>& dims, int type) {
  auto* t = graph().add_initializer();
  t->set_name(name);
  t->set_data_type(type);
  for (int64_t d : dims) t->add_dims(d);
  return *t;
}

ModelBuilder& ModelBuilder::weight(const std::string& name, const std::vector<int64_t>& dims,
                                   const std::vector<float>& values) {
  for (auto& t = tensor(name, dims, 1); float v : values) t.add_float_data(v);
  return *this;
}

ModelBuilder& ModelBuilder::integers(const std::string& name, const std::vector<int64_t>& values) {
  for (auto& t = tensor(name, {static_cast<int64_t>(values.size())}, 7); int64_t v : values)
    t.add_int64_data(v);
  return *this;
}

onnx::NodeProto& add_node(google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, const std::string& op,
                          const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                          const std::string& name) {
  auto* node = nodes.Add();
  node->set_op_type(op);
  if (!name.empty()) node->set_name(name);
  for (auto& i : inputs) node->add_input(i);
  for (auto& o : outputs) node->add_output(o);
  return *node;
}

onnx::NodeProto& ModelBuilder::node(const std::string& op, const std::vector<std::string>& inputs,
                                    const std::vector<std::string>& outputs, const std::string& name) {
  return add_node(*graph().mutable_node(), op, inputs, outputs, name);
}

onnx::FunctionProto& ModelBuilder::function(const std::string& domain, const std::string& name,
                                            const std::vector<std::string>& inputs,
                                            const std::vector<std::string>& outputs) {
  if (proto.functions_size() == 0) {
    auto* import = proto.add_opset_import();
    import->set_domain(domain);
    import->set_version(1);
  }
  auto* f = proto.add_functions();
  f->set_domain(domain);
  f->set_name(name);
  for (auto& i : inputs) f->add_input(i);
  for (auto& o : outputs) f->add_output(o);
  return *f;
}

frontend::Imported ModelBuilder::import(const frontend::ImportOptions& options) const {
  return frontend::import_model(file(), options);
}

namespace {
onnx::AttributeProto& attribute(onnx::NodeProto& node, const std::string& name, int type) {
  auto* a = node.add_attribute();
  a->set_name(name);
  a->set_type(type);
  return *a;
}
}  // namespace

void set(onnx::NodeProto& node, const std::string& name, int64_t value) {
  attribute(node, name, 2).set_i(value);
}
void set(onnx::NodeProto& node, const std::string& name, float value) {
  attribute(node, name, 1).set_f(value);
}
void set(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  attribute(node, name, 3).set_s(value);
}
void set(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  for (auto& a = attribute(node, name, 7); int64_t v : values) a.add_ints(v);
}

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "mezzo-test-XXXXXX";
  if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary directory");
  path_ = std::filesystem::canonical(pattern);
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<double> run(const frontend::Imported& imported, const std::map<std::string, ir::Tensor>& feeds) {
  ir::verify(imported.graph);
  const ir::Tensor y =
      ir::evaluate(imported.graph, feeds, ir::EvalMode::rounded).outputs.at(imported.graph.outputs[0].name);
  std::vector<double> values;
  for (int64_t i = 0; i < y.count(); i++) values.push_back(y.get(i));
  return values;
}

}  // namespace mezzo::test
