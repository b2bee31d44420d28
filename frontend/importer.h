// importer.h: the state of one import; see import.h. Nodes are taken in an order in which they can run; each
// is read into a Call, brought into its newest form, evaluated if it can be, or appended to the graph.
#pragma once
#include <deque>
#include <unordered_map>

#include "frontend/aliases.h"
#include "frontend/copies.h"
#include "frontend/functions.h"
#include "frontend/import.h"
#include "frontend/knowledge.h"

namespace mezzo::onnx {
class TensorProto;
}

namespace mezzo::frontend {

// Operators on sequences of tensors; and all that sequences may go through.
bool is_sequence_op(std::string_view op);
bool takes_sequences(std::string_view op);

class Importer {
 public:
  Importer(const ModelFile& model, const ImportOptions& options);
  Imported run();

 private:
  void add_inputs();
  void add_outputs();
  void import_nodes(const std::vector<FlatNode>& nodes);
  void import_node(const FlatNode& node);
  void build(const FlatNode& node, Call& call);
  void append(Call& call);
  // Lists a node whose inputs are not supported when it is not supported itself.
  void list_if_unsupported(const FlatNode& node, const Call& call);
  // Control flow (import_control_flow.cpp).
  void take_branch(const FlatNode& node, Call& call);
  void unroll_loop(const FlatNode& node, Call& call);
  void unroll_scan(const FlatNode& node, Call& call);
  ir::Values scan(const FlatNode& node, const Call& call, ir::Values state, const ir::Values& sequences,
                  const std::string& label);
  ir::Values import_body(const FlatNode& node, const Call& call, const onnx::GraphProto& body,
                         const ir::Values& arguments, const std::string& label);
  // Sequences (import_sequences.cpp) stand beside the values: where one is meant, the value is absent.
  void take_sequence(const FlatNode& node, Call& call);
  bool is_sequence(const std::string& name) const { return sequences_.count(name) > 0; }
  // Output `i` of the node is the sequence `name`, if that is one.
  void give_sequence(const FlatNode& node, Call& call, size_t i, const std::string& name);
  // Constant results replace what was appended since node position `first`.
  ir::Values fold(const ir::Values& results, size_t first);

  // Values by name, innermost scope first. An absent value: its producer is not supported.
  std::optional<ir::Value> find(const std::string& name);
  void bind(const std::string& name, ir::Value value);
  ir::Value add_initializer(const std::string& name, const onnx::TensorProto& tensor, bool trainable);
  ir::Value add_copy(const Copy& copy);
  ir::Value add_parameter(const std::string& name, ir::StartValue start, ir::DType stored);

  // Training flags (import_training.cpp).
  void set_training(Call& call);
  void set_batch_norm_mode(Call& call);
  void set_dropout_mode(Call& call);
  void keep_statistics(const Call& call, ir::Values& results);
  void pass_identity(const FlatNode& node, Call& call);
  ir::Value random_key();
  // Random* and the like (import_random.cpp).
  static bool is_random_op(std::string_view op);
  void draw(Call& call);

  const ModelFile& model_;
  const ImportOptions& options_;
  Imported result_;
  ir::Graph& graph_;
  FunctionLibrary functions_;
  Knowledge knowledge_;
  std::vector<std::unordered_map<std::string, std::optional<ir::Value>>> scopes_;
  std::unordered_map<std::string, const onnx::TensorProto*> initializers_;
  std::map<std::string, std::string> aliases_;
  std::map<std::string, Copy> copies_;                     // initializers that follow from others
  std::unordered_map<std::string, ir::Values> sequences_;  // by name
  std::vector<UnsupportedNodes::Node> missing_;
  int64_t streams_ = 0;     // of random numbers in use
  int64_t overridden_ = 0;  // BatchNormalizations and Dropouts whose flag options.mode changed
  // The newest value of every running statistic, for a BatchNormalization that is applied more than once.
  std::unordered_map<const ir::Node*, size_t> statistic_update_;
  std::vector<ir::Value> statistic_state_;  // of the call being built: the states behind inputs 3 and 4
};

}  // namespace mezzo::frontend
