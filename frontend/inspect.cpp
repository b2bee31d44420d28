#include "frontend/inspect.h"

#include <set>

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

// A folded BatchNorm leaves a convolution whose weight lost its name and nothing to normalise with: it cannot
// be trained as the network that was exported.
void remark_folding(const onnx::GraphProto& graph, Inspection& out) {
  std::set<std::string_view> initializers;
  for (const auto& tensor : graph.initializer()) initializers.insert(tensor.name());
  int64_t folded = 0, aliases = 0;
  for (const auto& node : graph.node()) {
    if (node.op_type() == "Conv" && node.input_size() > 1)
      folded += node.input(1).rfind("onnx::Conv_", 0) == 0 || node.input(1).find("_bn") != std::string::npos;
    aliases += node.op_type() == "Identity" && node.input_size() == 1 && initializers.count(node.input(0));
  }
  if (folded)
    out.remarks.push_back(concat(
        folded, " convolutions seem to have a BatchNorm folded into them (weights with made-up names); ",
        "export in training mode to train the BatchNorm"));
  if (aliases)
    out.remarks.push_back(
        concat(aliases, " Identity nodes alias an initializer: equal weights that the exporter merged; ",
               "they are trained apart unless tied"));
  if (out.op_histogram.count("Dropout") == 0 && out.op_histogram.count("BatchNormalization") == 0 && folded)
    out.remarks.push_back("the file looks exported for inference: Dropout, if there was any, is gone");
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
  remark_folding(proto.graph(), out);
  return out;
}

}  // namespace mezzo::frontend
