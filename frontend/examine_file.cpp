// examine_file: what can be said about a file from its nodes and initializers alone.
#include "frontend/findings.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "frontend/aliases.h"
#include "frontend/copies.h"
#include "frontend/functions.h"
#include "frontend/input_shapes.h"
#include "frontend/metadata.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "frontend/tensor_reader.h"

namespace mezzo::frontend {
namespace {

using Level = Finding::Level;

bool is_product(std::string_view op) {
  return op == "Conv" || op == "ConvTranspose" || op == "Gemm" || op == "MatMul";
}

bool has_op(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, std::string_view op) {
  // Nesting is bounded by kMaxGraphDepth.
  for (const auto& node : nodes) {
    if (node.op_type() == op) return true;
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g() && has_op(attribute.g().node(), op)) return true;
      for (const auto& graph : attribute.graphs())
        if (has_op(graph.node(), op)) return true;
    }
  }
  return false;
}

class FileExaminer {
 public:
  explicit FileExaminer(const ModelFile& model)
      : model_(model), graph_(model.proto().graph()), nodes_(list_nodes(graph_.node(), model.opsets(), "")) {
    for (const auto& tensor : graph_.initializer()) initializers_.emplace(tensor.name(), &tensor);
    copies_ = find_copies(model);
  }

  std::vector<Finding> run() {
    folded_batch_norm();
    aliased_weights();
    copied_weights();
    lost_dropout();
    shared_weights();
    computed_weights();
    renamed_weights();
    stopped_gradients();
    open_dimensions();
    return std::move(out_);
  }

 private:
  const onnx::TensorProto* initializer(const std::string& name) const {
    auto it = initializers_.find(name);
    return it == initializers_.end() ? nullptr : it->second;
  }
  const onnx::TensorProto* float_initializer(const std::string& name) const {
    const onnx::TensorProto* tensor = initializer(name);
    if (!tensor) return nullptr;
    std::optional<ir::DType> dtype = dtype_of(tensor->data_type());
    return dtype && ir::is_float(*dtype) ? tensor : nullptr;
  }

  void add(Level level, const char* kind, std::vector<std::string> nodes, std::string what,
           std::string repair) {
    if (!nodes.empty()) out_.push_back({level, kind, std::move(nodes), std::move(what), std::move(repair)});
  }

  // TorchScript's exporter names a weight that took up a BatchNorm onnx::Conv_N; the dynamo exporter keeps
  // the name, but tells in the node's metadata that it comes from a BatchNorm module.
  static bool took_up_batch_norm(const onnx::NodeProto& node) {
    if (node.input_size() > 1 && node.op_type().starts_with("Conv") &&
        node.input(1).starts_with("onnx::Conv"))
      return true;
    return comes_from_batch_norm(node);
  }

  void folded_batch_norm() {
    std::vector<std::string> found;
    for (const FlatNode& flat : nodes_)
      if (is_product(flat.node->op_type()) && took_up_batch_norm(*flat.node))
        found.push_back(printable(flat.label));
    add(Level::warning, "folded-batchnorm", std::move(found),
        "a BatchNorm seems to be folded into the weight: nothing normalises by the batch any more",
        "export in training mode and unfolded: torch.onnx.export(model.train(), ..., dynamo=False, "
        "training=TrainingMode.TRAINING, do_constant_folding=False), or dynamo=True with optimize=False");
  }

  void aliased_weights() {
    std::vector<std::string> found;
    for (auto& [name, of] : find_aliases(model_))
      found.push_back(concat(printable(name), " = ", printable(of)));
    add(Level::warning, "aliased-weight", std::move(found),
        "an Identity names an initializer anew: exporters merge weights that merely happen to be equal; each "
        "name is trained on its own, starting equal",
        "--tie-aliases trains all names of an initializer as one parameter");
  }

  void copied_weights() {
    std::vector<std::string> found;
    for (auto& [name, copy] : copies_)
      found.push_back(
          concat(printable(name), copy.transposed ? " = transposed " : " = repeated ", printable(copy.of)));
    add(Level::warning, "copied-weight", std::move(found),
        "a weight with several uses stands in the file more than once, as the exporter computed with it; "
        "each is "
        "trained on its own, starting equal",
        "--tie-aliases trains a weight and its copies as one parameter");
  }

  // The names of weights have dots, or stand for parameters that are still in the file. A single one was only
  // moved (renamed-weight), or is repeated (copied-weight).
  void computed_weights() {
    const std::map<std::string, Role> roles = initializer_roles(graph_);
    std::vector<std::string> found;
    for (const auto& [name, sources] : folded_initializers(graph_)) {
      std::string weights;
      int count = 0;
      for (const std::string& source : sources) {
        auto role = roles.find(source);
        if (role == roles.end() ? source.find('.') == std::string::npos : role->second == Role::buffer)
          continue;
        weights += (count++ ? ", " : " from ") + printable(source);
      }
      if (count > 1 && float_initializer(name) && !copies_.count(name))
        found.push_back(printable(name) + weights);
    }
    add(Level::warning, "computed-weight", std::move(found),
        "the exporter computed with weights and stored the result: those weights are not trained through it",
        "export with optimize=False, which leaves the computation in the file");
  }

  // Exports for inference drop Dropout. What shows such an export: merged or folded weights.
  void lost_dropout() {
    if (out_.empty() || has_op(graph_.node(), "Dropout")) return;
    for (const auto& function : model_.proto().functions())
      if (has_op(function.node(), "Dropout")) return;
    std::string evidence;
    for (const Finding& f : out_) evidence += (evidence.empty() ? "" : ", ") + f.kind;
    out_.push_back(
        {Level::warning,
         "lost-dropout",
         {},
         concat("the file looks exported for inference (", evidence,
                ") and has no Dropout: if the network has some, it is gone"),
         "export in training mode: training=TrainingMode.TRAINING, or model.train() before a dynamo "
         "export"});
  }

  // One initializer in the same place of several layers: shared by intention, or merged by the exporter.
  void shared_weights() {
    std::map<std::pair<std::string, int>, std::vector<std::string>> uses;  // (initializer, input) -> layers
    std::map<std::pair<std::string, int>, std::set<std::string>> ops;
    for (const FlatNode& flat : nodes_) {
      const onnx::NodeProto& node = *flat.node;
      bool layer = is_product(node.op_type()) || node.op_type().ends_with("Normalization");
      for (int i = 1; layer && i < node.input_size(); i++)
        if (float_initializer(node.input(i))) {
          uses[{node.input(i), i}].push_back(printable(flat.label));
          ops[{node.input(i), i}].insert(node.op_type());
        }
    }
    std::vector<std::string> found;
    for (auto& [key, layers] : uses)
      if (layers.size() > 1 && ops[key].size() == 1)
        found.push_back(concat(printable(key.first), " in ", layers.size(), " nodes, ", layers[0], ", ",
                               layers[1], layers.size() > 2 ? " ..." : ""));
    add(Level::note, "shared-weight", std::move(found),
        "one initializer serves several layers and is trained as one; exporters also merge weights that "
        "merely "
        "happen to be equal",
        "if it is not meant, export after the weights have become different, e.g. after one training step");
  }

  void renamed_weights() {
    std::vector<std::string> found;
    std::set<std::string> seen;
    for (const FlatNode& flat : nodes_)
      if (is_product(flat.node->op_type()))
        for (const std::string& input : flat.node->input()) {
          const onnx::TensorProto* tensor = float_initializer(input);
          if (tensor && tensor->dims_size() > 1 && may_be_weight(input) && seen.insert(input).second)
            found.push_back(printable(input));
        }
    add(Level::note, "renamed-weight", std::move(found),
        "the weight lost its name when the exporter computed with it; the number changes from export to "
        "export",
        "export with do_constant_folding=False (dynamo: optimize=False) to keep the names");
  }

  void stopped_gradients() {
    std::vector<std::string> found;
    for (const FlatNode& flat : nodes_)
      if (comes_from_detach(*flat.node)) found.push_back(printable(flat.label));
    add(Level::note, "stopped-gradient", std::move(found),
        "the program detaches a value here, says the node's metadata: no gradient passes, as in PyTorch",
        "an export with optimize=True or dynamo=False loses detach(), and gradients pass");
  }

  void open_dimensions() {
    std::vector<std::string> found;
    for (const InputInfo& input : model_inputs(model_)) {
      bool open = !input.ranked || std::any_of(input.dims.begin(), input.dims.end(),
                                               [](const OpenDim& d) { return d.size < 0; });
      if (open) found.push_back(concat(printable(input.name), " ", to_string(input)));
    }
    add(Level::note, "dynamic-shape", std::move(found),
        "the file leaves dimensions open; a step is compiled for one size and again when another one comes",
        "--batch N binds the open first dimensions, --shape NAME=D,D,... a whole input; train takes them "
        "from "
        "the data");
  }

  const ModelFile& model_;
  const onnx::GraphProto& graph_;
  std::vector<FlatNode> nodes_;
  std::unordered_map<std::string, const onnx::TensorProto*> initializers_;
  std::map<std::string, Copy> copies_;  // found by comparing payloads: once
  std::vector<Finding> out_;
};

}  // namespace

std::vector<Finding> examine_file(const ModelFile& model) { return FileExaminer(model).run(); }

}  // namespace mezzo::frontend
