// verify.cpp: what every graph must satisfy between passes.
#include <algorithm>
#include <set>
#include <unordered_set>

#include "ir/op.h"
#include "ir/text.h"

namespace mezzo::ir {
namespace {

template <class... Args>
void expect(bool ok, const Node& node, const Args&... message) {
  if (!ok) throw InternalError(concat("verify: ", message..., "\n  in: ", print(node)));
}

constexpr int kMostBodies = 2;  // a kernel in the step of a time loop

// What the body gets for input i: a time loop gives it one slice of a scanned input.
Type given_to_body(const Node& node, size_t i) {
  Type type = node.in_type(i);
  if (is_time_loop(node) && i >= static_cast<size_t>(node.i("carried")) &&
      i < static_cast<size_t>(node.i("carried") + node.i("scanned")))
    type.dims.erase(type.dims.begin());
  return type;
}

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  void run(int depth, bool in_kernel) {
    for (auto& node : graph_.nodes()) {
      verify_links(*node);
      verify_attrs(*node);
      verify_types(*node);
      verify_place(*node);
      if (is_input(*node) || is_state(*node))
        expect(leaves_[is_state(*node)].insert(node->s("name")).second, *node, "two leaves have one name");
      if (depth > 0) expect(!is_state(*node), *node, "a body holds no state");
      if (in_kernel) expect(!node->body, *node, "the body of a kernel holds no other");
      expect((is_kernel(*node) || is_time_loop(*node)) == (node->body != nullptr), *node,
             "a Kernel or a TimeLoop, and nothing else, has a body");
      expect(!node->body || depth < kMostBodies, *node, "bodies are nested too deeply");
      if (node->body) verify_body(*node, depth);
      seen_.insert(node.get());
    }
    verify_results();
    check(depth == 0 || graph_.updates.empty(), "verify: a body has updates");
  }

 private:
  // Whether `v` is a value made by a node seen so far.
  bool known(Value v) const {
    return v && seen_.count(v.node) && v.index >= 0 && v.index < v.node->output_count();
  }

  void verify_links(const Node& node) const {
    const OpDef& op = node.op();
    expect(&node.graph() == &graph_, node, "the node believes to be in another graph");
    auto given = static_cast<int>(node.input_count());
    expect(given >= op.min_inputs && given <= op.max_inputs, node, given, " inputs, expected ", op.min_inputs,
           " to ", op.max_inputs);
    for (size_t i = 0; i < node.input_count(); i++) {
      expect(node.has(i) || static_cast<int>(i) >= op.min_inputs, node, "input ", i, " is absent");
      expect(!node.has(i) || known(node.in(i)), node, "input ", i,
             " is not made by an earlier node of this graph");
    }
  }

  void verify_attrs(const Node& node) const {
    const auto& specs = node.op().attrs;
    for (auto& [key, value] : node.attrs()) {
      auto spec = std::find_if(specs.begin(), specs.end(), [&, &k = key](auto& s) { return s.name == k; });
      expect(spec != specs.end(), node, "there is no attribute '", key, "'");
      expect(spec->value.index() == value.index(), node, "attribute '", key, "' has another type");
    }
    for (const AttrSpec& spec : specs)
      expect(spec.presence != AttrSpec::required || node.has_attr(spec.name), node, "attribute '", spec.name,
             "' is missing");
  }

  void verify_types(const Node& node) const {
    std::vector<Type> types;
    try {
      types = node.op().infer(node);
    } catch (const Error& e) {
      expect(false, node, e.what());
    }
    expect(types.size() == node.types().size(), node, "has ", node.types().size(), " outputs, expected ",
           types.size());
    for (size_t i = 0; i < types.size(); i++)
      if (types[i] != node.types()[i])
        expect(false, node, "output ", i, " is ", to_string(node.types()[i]), ", inferred ",
               to_string(types[i]));
  }

  void verify_place(const Node& node) const {
    expect(node.offsets.empty() || node.offsets.size() == node.types().size(), node, node.offsets.size(),
           " offsets for ", node.types().size(), " outputs");
    for (size_t i = 0; i < node.offsets.size(); i++) {
      int64_t offset = node.offsets[i];
      expect(offset >= -2, node, "offset ", offset);
      expect(offset < 0 || offset + node.types()[i].bytes() <= graph_.arena_bytes, node, "output ", i,
             " ends behind the arena of ", graph_.arena_bytes, " bytes");
    }
  }

  void verify_body(const Node& node, int depth) const {
    std::vector<const Node*> inputs;
    for (auto& inner : node.body->nodes())
      if (is_input(*inner)) inputs.push_back(inner.get());
    expect(inputs.size() == node.input_count(), node, "the body has ", inputs.size(), " inputs, the node ",
           node.input_count());
    for (size_t i = 0; i < inputs.size(); i++)
      expect(node.has(i) && given_to_body(node, i) == inputs[i]->type(), node, "input ", i, " of the body is ",
             to_string(inputs[i]->type()));
    try {
      Verifier(*node.body).run(depth + 1, is_kernel(node));
    } catch (const InternalError& e) {
      expect(false, node, "in the body: ", e.what());
    }
  }

  void verify_results() const {
    std::set<std::string> names;
    for (const Output& o : graph_.outputs) {
      check(known(o.value), "verify: output '", o.name, "' is not a value of the graph");
      expect(names.insert(o.name).second, *o.value.node, "two outputs are named '", o.name, "'");
    }
    std::set<int> states;
    for (const Update& u : graph_.updates) {
      check(u.state && seen_.count(u.state) && is_state(*u.state),
            "verify: an update of no state of the graph");
      expect(states.insert(u.state->id()).second, *u.state, "two updates of one state");
      expect(known(u.value), *u.state, "its update is not a value of the graph");
      expect(u.value.type() == u.state->type(), *u.value.node, "updates '", u.state->s("name"), "' which is ",
             to_string(u.state->type()));
    }
  }

  const Graph& graph_;
  std::unordered_set<const Node*> seen_;
  std::set<std::string> leaves_[2];
};

}  // namespace

void verify(const Graph& graph) { Verifier(graph).run(0, false); }

}  // namespace mezzo::ir
