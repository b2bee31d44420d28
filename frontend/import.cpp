#include "frontend/import.h"

#include <algorithm>
#include <set>

#include "frontend/attributes.h"
#include "frontend/contrib_ops.h"
#include "frontend/graph_check.h"
#include "frontend/host_ops.h"
#include "frontend/importer.h"
#include "frontend/input_shapes.h"
#include "frontend/known_ops.h"
#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "frontend/quirks.h"
#include "frontend/tensor_reader.h"
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::frontend {

using ir::Value;
using ir::Values;

namespace {

std::string list_lines(const std::vector<UnsupportedNodes::Node>& nodes) {
  std::string lines = concat(nodes.size(), nodes.size() == 1 ? " node is" : " nodes are", " not supported:");
  for (auto& node : nodes) lines += concat("\n  ", node.op, " '", node.label, "': ", node.reason);
  return lines;
}

std::string join_hints(const std::vector<UnsupportedNodes::Node>& nodes) {
  std::set<std::string> hints;
  for (auto& node : nodes)
    if (!node.hint.empty()) hints.insert(node.hint);
  std::string out;
  for (const std::string& hint : hints) out += (out.empty() ? "" : "; ") + hint;
  return out.empty() ? "docs/onnx-support.md lists the operators that are" : out;
}

}  // namespace

UnsupportedNodes::UnsupportedNodes(std::vector<Node> list)
    : Error(ErrorCode::unsupported, list_lines(list), "", join_hints(list)), nodes(std::move(list)) {}

Importer::Importer(const ModelFile& model, const ImportOptions& options)
    : model_(model),
      options_(options),
      graph_(result_.graph),
      functions_(model),
      knowledge_(result_.graph, options.values),
      scopes_(1),
      aliases_(find_aliases(model)),
      copies_(options.tie_aliases ? find_copies(model) : std::map<std::string, Copy>{}) {
  for (const auto& tensor : model.proto().graph().initializer())
    initializers_.emplace(tensor.name(), &tensor);
}

Imported Importer::run() {
  const onnx::GraphProto& graph = model_.proto().graph();
  if (graph.sparse_initializer_size() > 0)
    throw Error(ErrorCode::unsupported, "the model has sparse initializers",
                printable(graph.sparse_initializer(0).values().name()), "store them dense");
  result_.roles = initializer_roles(graph);
  add_inputs();
  import_nodes(functions_.flatten(list_nodes(graph.node(), model_.opsets(), "")));
  if (!missing_.empty()) throw UnsupportedNodes(std::move(missing_));
  add_outputs();
  graph_.remove_dead_nodes();
  std::set<std::string_view> live;
  for (auto& node : graph_.nodes())
    if (ir::is_state(*node)) live.insert(node->s("name"));
  std::erase_if(graph_.tensors, [&](auto& entry) { return !live.count(entry.first); });
  if (overridden_)
    result_.report.notes.push_back(
        concat(overridden_, " BatchNormalization or Dropout nodes run ",
               options_.mode == Mode::train ? "in training mode" : "as in inference",
               ", although the file says otherwise"));
  result_.report.baked.assign(knowledge_.used_inputs().begin(), knowledge_.used_inputs().end());
  return std::move(result_);
}

void Importer::add_inputs() {
  std::vector<InputInfo> inputs = model_inputs(model_);
  std::vector<ir::Type> types = bind_input_types(inputs, options_);
  for (size_t i = 0; i < inputs.size(); i++) bind(inputs[i].name, graph_.input(inputs[i].name, types[i]));
}

void Importer::add_outputs() {
  const onnx::GraphProto& graph = model_.proto().graph();
  if (graph.output_size() == 0) throw Error(ErrorCode::bad_input, "the model has no outputs", model_.path());
  for (const auto& output : graph.output())
    graph_.outputs.push_back({"output:" + output.name(), *find(output.name())});
}

std::optional<Value> Importer::find(const std::string& name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
    if (auto it = scope->find(name); it != scope->end()) return it->second;
  if (sequences_.count(name))
    throw Error(ErrorCode::unsupported,
                concat("'", printable(name), "' is a sequence, where a tensor is expected"), printable(name));
  auto it = initializers_.find(name);
  if (it == initializers_.end())
    throw Error(ErrorCode::bad_input, concat("nothing defines '", printable(name), "'"), printable(name));
  ir::Scope scope(graph_, ir::Phase::forward, {});
  auto copy = copies_.find(name);
  Value value = copy == copies_.end() ? add_initializer(name, *it->second, true) : add_copy(copy->second);
  scopes_.front()[name] = value;
  return value;
}

void Importer::bind(const std::string& name, Value value) { scopes_.back()[name] = value; }

Value Importer::add_initializer(const std::string& name, const onnx::TensorProto& tensor, bool trainable) {
  ir::StartValue start = start_value(tensor, model_.payloads(), name);
  const ir::Type& stored = start.type();
  if (!trainable || !ir::is_float(stored.dtype) || stored.count() == 0) return graph_.constant(start.copy());
  return add_parameter(name, start, stored.dtype);
}

Value Importer::add_copy(const Copy& copy) {
  const Value weight = *find(copy.of);
  if (copy.transposed) return ir::transpose(weight, {1, 0});
  const int64_t count = weight.type().count();
  const Value row = ir::reshape(weight, {1, count});
  return ir::reshape(ir::expand(row, {ir::element_count(copy.dims) / count, count}), copy.dims);
}

Value Importer::add_parameter(const std::string& name, ir::StartValue start, ir::DType stored) {
  if (name.rfind("mezzo.", 0) == 0)
    throw Error(ErrorCode::unsupported,
                concat("initializer '", printable(name), "' has a name that is reserved"), printable(name));
  if (ir::is_low(start.type().dtype)) {
    ir::Type wide{ir::DType::f32, start.type().dims};
    start = {std::move(wide), [low = std::move(start)] { return low.share()->cast(ir::DType::f32); }};
  }
  Value state = graph_.state(name, start.type(), ir::StateKind::parameter);
  graph_.tensors[name] = std::move(start);
  return ir::cast(state, stored);
}

void Importer::import_nodes(const std::vector<FlatNode>& nodes) {
  for (const FlatNode& node : nodes) import_node(node);
}

void Importer::import_node(const FlatNode& flat) {
  const onnx::NodeProto& node = *flat.node;
  result_.report.nodes++;
  ir::Scope scope(graph_, ir::Phase::forward, {flat.label});
  auto fail_outputs = [&] {
    for (const auto& output : node.output())
      if (!output.empty()) scopes_.back()[output] = std::nullopt;
  };
  Call call{.graph = graph_, .op = node.op_type(), .domain = flat.domain, .label = flat.label};
  for (const auto& input : node.input()) {
    const bool absent = input.empty() || (takes_sequences(call.op) && sequences_.count(input));
    std::optional<Value> value = absent ? std::optional<Value>(Value{}) : find(input);
    if (!value) {  // its producer is listed already
      list_if_unsupported(flat, call);
      return fail_outputs();
    }
    call.inputs.push_back(*value);
  }
  for (const auto& output : node.output()) call.wanted.push_back(!output.empty());
  try {
    build(flat, call);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::unsupported) {
      // Errors that know their node begin with it.
      std::string op = printable(call.op), label = printable(flat.label), reason = e.what();
      std::string named = concat(op, " '", label, "': ");
      if (reason.starts_with(named)) reason.erase(0, named.size());
      missing_.push_back({label, op, reason, e.hint()});
      return fail_outputs();
    }
    if (!e.node().empty()) throw;
    throw Error(e.code(), concat(call.op, " '", printable(flat.label), "': ", e.what()),
                printable(flat.label), e.hint());
  }
  for (size_t i = 0; i < call.wanted.size(); i++)
    if (call.wanted[i]) bind(node.output(static_cast<int>(i)), (*call.results)[i]);
}

void Importer::build(const FlatNode& flat, Call& call) {
  auto version = flat.opsets->find(flat.domain);
  if (version == flat.opsets->end())
    malformed(call, concat("no operator set of domain '", printable(flat.domain), "' is imported"));
  call.opset = version->second;
  call.knowledge = &knowledge_;
  const bool contrib = is_contrib_op(flat.domain, call.op);
  if (!flat.domain.empty() && !contrib)
    unsupported(call, concat("no operator of domain '", printable(flat.domain), "' is known"),
                "export without graph optimisations that use operators outside ONNX");
  if (!contrib && !is_onnx_op(call.op)) malformed(call, "ONNX has no such operator");
  read_attributes(*flat.node, *model_.payloads(), call);
  if (contrib) translate_contrib(call);
  size_t first = graph_.size();
  if (contrib) {
    if (!call.results) append(call);
  } else if (call.op == "If") {
    take_branch(flat, call);
  } else if (is_sequence_op(call.op)) {
    take_sequence(flat, call);
  } else if (call.op == "Loop") {
    unroll_loop(flat, call);
  } else if (call.op == "Scan") {
    unroll_scan(flat, call);
  } else if (is_random_op(call.op)) {
    draw(call);
  } else if (call.op == "Identity") {
    pass_identity(flat, call);
  } else {
    apply_quirks(call);
    if (!call.results) evaluate_on_host(call);
    if (!call.results) append(call);
  }
  for (size_t i = 0; i < call.wanted.size(); i++)
    if (call.wanted[i] && (i >= call.results->size() || !(*call.results)[i]))
      unsupported(call, concat("output ", i, " is not implemented"));
  call.results = fold(*call.results, first);
}

void Importer::list_if_unsupported(const FlatNode& flat, const Call& call) {
  std::string_view op = newest_name(call.op);
  const bool built_in = op == "If" || op == "Loop" || op == "Scan" || op == "Identity";
  bool supported = is_contrib_op(flat.domain, call.op);
  supported |= flat.domain.empty() && (op.empty() || built_in || is_host_op(op) || is_random_op(op) ||
                                       is_sequence_op(op) || (is_onnx_op(op) && ir::find_op(op)));
  if (!supported)
    missing_.push_back({printable(flat.label), printable(call.op),
                        flat.domain.empty() ? "the operator is not implemented"
                                            : concat("the operator of domain ", printable(flat.domain),
                                                     " is not implemented"),
                        ""});
}

void Importer::append(Call& call) {
  const ir::OpDef* op = ir::find_op(call.op);
  if (!op) unsupported(call, "the operator is not implemented");
  bind_constant_inputs(*op, call);
  set_training(call);
  ir::Attrs attrs = fit_attributes(*op, call);
  ir::Node* node = graph_.add(*op, call.inputs, std::move(attrs));
  call.results.emplace();
  for (int i = 0; i < node->output_count(); i++) call.results->push_back(node->out(i));
  keep_statistics(call, *call.results);
}

Values Importer::fold(const Values& results, size_t first) {
  std::unordered_map<const ir::Node*, std::vector<ir::TensorPtr>> folded;
  for (size_t at = first; at < graph_.size(); at++) {
    const ir::Node& node = *graph_.nodes()[at];
    if (node.input_count() == 0) continue;
    std::vector<ir::TensorPtr> inputs;
    bool constant = true;
    for (const Value& in : node.inputs()) {
      ir::TensorPtr t = in ? ir::constant_of(in) : nullptr;
      if (auto it = in ? folded.find(in.node) : folded.end(); it != folded.end())
        t = it->second[static_cast<size_t>(in.index)];
      constant &= !in || t;
      inputs.push_back(std::move(t));
    }
    if (!constant) continue;
    if (auto outputs = knowledge_.evaluate(node, inputs); !outputs.empty())
      folded[&node] = std::move(outputs);
  }
  Values out = results;
  bool any = false;
  for (Value& v : out) {
    auto it = v ? folded.find(v.node) : folded.end();
    if (it == folded.end()) continue;
    v = graph_.constant(*it->second[static_cast<size_t>(v.index)]);
    any = true;
  }
  result_.report.folded += any;
  return out;
}

Imported import_model(const ModelFile& model, const ImportOptions& options) {
  return Importer(model, options).run();
}

}  // namespace mezzo::frontend
