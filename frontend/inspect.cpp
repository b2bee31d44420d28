#include "frontend/inspect.h"

#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "frontend/tensor_reader.h"

namespace mezzo::frontend {
namespace {

// Nesting is bounded by kMaxGraphDepth.
void count_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Inspection& out) {
  for (const auto& node : nodes) {
    std::string domain = canonical_domain(node.domain());
    out.op_histogram[domain.empty() ? node.op_type() : domain + "." + node.op_type()]++;
    out.node_count++;
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) count_nodes(attribute.g().node(), out);
      for (const auto& graph : attribute.graphs()) count_nodes(graph.node(), out);
    }
  }
}

}  // namespace

Inspection inspect(const ModelFile& model) {
  const onnx::ModelProto& proto = model.proto();
  Inspection out;
  out.ir_version = proto.ir_version();
  out.producer =
      printable(proto.producer_version().empty() ? proto.producer_name()
                                                 : proto.producer_name() + " " + proto.producer_version());
  out.opsets = model.opsets();
  out.inputs = model_inputs(model);
  out.outputs = model_outputs(model);
  for (const auto& tensor : proto.graph().initializer()) {
    std::string dims;
    for (int64_t d : tensor.dims()) dims += concat(dims.empty() ? "" : ",", d);
    InitializerInfo info{tensor.name(), concat(onnx_type_name(tensor.data_type()), "[", dims, "]"), 0,
                         tensor.data_location() == 1};
    if (dtype_of(tensor.data_type())) {
      ir::Type type = tensor_type(tensor, tensor.name());
      info.bytes = type.bytes();
      if (ir::is_float(type.dtype)) out.parameter_count += type.count();
    }
    out.initializers.push_back(std::move(info));
  }
  count_nodes(proto.graph().node(), out);
  for (const auto& function : proto.functions())
    out.functions.push_back(printable(concat(canonical_domain(function.domain()), ".", function.name())));
  for (const auto& entry : proto.metadata_props()) out.metadata[entry.key()] = printable(entry.value());
  return out;
}

}  // namespace mezzo::frontend
