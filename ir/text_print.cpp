// text_print.cpp: the order of the text form, and printing it.
#include <bit>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "ir/op.h"
#include "ir/spelling.h"
#include "ir/text.h"

namespace mezzo::ir {
namespace {

// 128 bits of the tensor's type and bytes, as 32 hex digits: two multiply-rotate lanes over 8-byte words.
std::string content_hash(const Tensor& t) {
  uint64_t a = 0x9e3779b97f4a7c15, b = 0xc2b2ae3d27d4eb4f;
  auto mix = [&](uint64_t word) {
    a = std::rotl((a ^ word) * 0xff51afd7ed558ccd, 29);
    b = std::rotl((b + word) * 0xc4ceb9fe1a85ec53, 37) ^ a;
  };
  for (char c : to_string(t.type())) mix(static_cast<unsigned char>(c));
  auto bytes = static_cast<size_t>(t.bytes());
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, t.data() + i, std::min<size_t>(8, bytes - i));
    mix(word);
  }
  for (int i = 0; i < 4; i++) mix(bytes);
  std::string out;
  for (uint64_t lane : {a, b})
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(lane >> shift) & 15];
  return out;
}

bool is_uniform(const Tensor& t) {
  auto bytes = static_cast<size_t>(t.bytes()), size = static_cast<size_t>(byte_size(t.dtype()));
  return bytes > 0 && std::memcmp(t.data(), t.data() + size, bytes - size) == 0;
}
// How constants are shown, and where those go that are not.
struct Style {
  const PrintOptions& options;
  TensorMap* elided = nullptr;
};

std::string spell(const TensorPtr& tensor, const Style& style) {
  const Tensor& t = *tensor;
  if (is_uniform(t)) return spell_element(t, 0);
  if (t.count() > style.options.inline_limit) {
    std::string name = elided_name(t);
    if (style.elided) (*style.elided)[name] = tensor;
    return "@" + name;
  }
  std::string out = "{";
  for (int64_t i = 0; i < t.count(); i++) out += (i ? ", " : "") + spell_element(t, i);
  return out + "}";
}

template <class Items, class SpellItem>
std::string spell_list(const Items& items, SpellItem spell_item) {
  std::string out = "[";
  for (size_t i = 0; i < items.size(); i++) out += (i ? "," : "") + spell_item(items[i]);
  return out + "]";
}

std::string spell(const Attr& attr, const Style& style) {
  if (auto v = std::get_if<int64_t>(&attr)) return std::to_string(*v);
  if (auto v = std::get_if<double>(&attr)) return ir::spell(*v);
  if (auto v = std::get_if<std::string>(&attr)) return quote(*v);
  if (auto v = std::get_if<Ints>(&attr)) return to_string(*v);
  if (auto v = std::get_if<Floats>(&attr)) return spell_list(*v, [](double x) { return ir::spell(x); });
  if (auto v = std::get_if<Strings>(&attr)) return spell_list(*v, quote);
  if (auto v = std::get_if<DType>(&attr)) return std::string(name(*v));
  const TensorPtr& t = std::get<TensorPtr>(attr);
  return t ? to_string(t->type()) + " " + spell(t, style) : "_";
}

bool is_leaf(const Node& n) { return is_input(n) || is_state(n); }

// What values are called in one graph: %name for inputs, $name for states, %number for all others.
class Names {
 public:
  explicit Names(const Graph& graph) {
    for (const Node* node : canonical_order(graph)) {
      first_[node] = next_;
      if (!is_leaf(*node)) next_ += node->output_count();
    }
  }
  std::string of(Value v) const {
    if (!v) return "_";
    if (is_input(*v.node)) return "%" + spell_name(v.node->s("name"));
    if (is_state(*v.node)) return "$" + spell_name(v.node->s("name"));
    auto it = first_.find(v.node);
    return it == first_.end() ? "%?" : "%" + std::to_string(it->second + v.index);
  }

 private:
  std::unordered_map<const Node*, int> first_;
  int next_ = 0;
};

class Printer {
 public:
  explicit Printer(const Style& style) : style_(style) {}

  void print_graph(const Graph& graph, std::string_view keyword, const std::string& indent) {
    out_ += keyword;
    if (keyword != graph.name) out_ += " " + spell_name(graph.name);
    if (graph.scheduled) out_ += " scheduled";
    if (graph.arena_bytes) out_ += concat(" arena=", graph.arena_bytes);
    out_ += " {\n";
    Names names(graph);
    for (const Node* node : canonical_order(graph)) {
      print_line(*node, names, indent + "  ");
      if (node->body) {
        out_ += indent + "    ";
        print_graph(*node->body, "body", indent + "    ");
      }
    }
    for (const Output& o : graph.outputs)
      out_ += indent + "  output " + spell_name(o.name) + " = " + names.of(o.value) + "\n";
    for (const Update& u : graph.updates)
      out_ += indent + "  update " + names.of({u.state, 0}) + " = " + names.of(u.value) +
              (u.unconditional ? " unconditional\n" : "\n");
    out_ += indent + "}\n";
  }

  void print_line(const Node& node, const Names& names, const std::string& indent) {
    out_ += indent;
    if (is_leaf(node)) out_ += is_input(node) ? "input " : "state ";
    for (int i = 0; i < node.output_count(); i++) out_ += (i ? ", " : "") + names.of(node.out(i));
    if (!is_leaf(node)) (out_ += " = ") += node.op().name;
    if (!is_leaf(node) && !is_constant(node)) print_inputs(node, names);
    print_attrs(node);
    out_ += " : ";
    for (int i = 0; i < node.output_count(); i++) {
      out_ += (i ? ", " : "") + to_string(node.type(i));
      print_offset(node, static_cast<size_t>(i));
    }
    if (style_.options.origins) print_origin(node);
    out_ += "\n";
  }

  void print_signature(const Node& node) {
    out_ += node.op().name;
    if (is_leaf(node)) out_ += quote(node.s("name"));
    print_attrs(node);
    for (const Type& type : node.types()) out_ += " " + to_string(type);
    if (node.body) print_graph(*node.body, "body", "");
  }

  std::string take() { return std::move(out_); }

 private:
  void print_inputs(const Node& node, const Names& names) {
    out_ += "(";
    for (size_t i = 0; i < node.input_count(); i++) out_ += (i ? ", " : "") + names.of(node.in(i));
    out_ += ")";
  }

  void print_attrs(const Node& node) {
    if (is_constant(node)) {
      out_ += " " + spell(node.tensor("value"), style_);
      return;
    }
    for (const AttrSpec& spec : node.op().attrs) print_attr(node, spec);
  }

  void print_attr(const Node& node, const AttrSpec& spec) {
    if (!node.has_attr(spec.name)) return;
    if (is_leaf(node) && (spec.name == "name" || spec.name == "dtype" || spec.name == "shape")) return;
    std::string text = spell(node.attr(spec.name), style_);
    if (spec.presence == AttrSpec::defaulted && text == spell(spec.value, style_)) return;
    ((out_ += " ") += spec.name) += "=" + text;
  }

  void print_offset(const Node& node, size_t output) {
    if (output >= node.offsets.size()) return;
    int64_t offset = node.offsets[output];
    out_ += offset == -1 ? "@none" : offset == -2 ? "@state" : "@" + std::to_string(offset);
  }

  void print_origin(const Node& node) {
    if (node.phase == Phase::forward && node.origin.empty()) return;
    out_ += "  ;";
    if (node.phase != Phase::forward) (out_ += " ") += name(node.phase);
    for (size_t i = 0; i < node.origin.size(); i++) out_ += (i ? ", " : " ") + spell_name(node.origin[i]);
  }

  Style style_;
  std::string out_;
};

}  // namespace

std::vector<Node*> canonical_order(const Graph& graph) {
  std::vector<Node*> order;
  if (graph.scheduled) {
    for (auto& node : graph.nodes()) order.push_back(node.get());
    return order;
  }
  std::unordered_set<const Node*> entered;
  std::vector<Node*> found;  // depth-first, leaves excepted
  struct Frame {
    Node* node;
    size_t next;
  };
  std::vector<Frame> stack;
  auto enter = [&](Node* node) {
    if (node && entered.insert(node).second) stack.push_back({node, 0});
  };
  auto walk = [&](Node* root) {
    enter(root);
    while (!stack.empty()) {
      Frame& top = stack.back();
      if (top.next < top.node->input_count()) {
        enter(top.node->in(top.next++).node);
      } else {
        if (!is_leaf(*top.node)) found.push_back(top.node);
        stack.pop_back();
      }
    }
  };
  for (const Output& o : graph.outputs) walk(o.value.node);
  for (const Update& u : graph.updates) {
    walk(u.value.node);
    walk(u.state);
  }
  for (auto& node : graph.nodes())
    if (is_input(*node)) order.push_back(node.get());
  for (auto& node : graph.nodes())
    if (is_state(*node) && entered.count(node.get())) order.push_back(node.get());
  order.insert(order.end(), found.begin(), found.end());
  return order;
}

void canonicalize(Graph& graph) {
  graph.remove_dead_nodes();
  graph.reorder(canonical_order(graph));
  for (auto& node : graph.nodes())
    if (node->body) canonicalize(*node->body);
}

std::string print(const Graph& graph, const PrintOptions& options, TensorMap* elided) {
  Printer printer({options, elided});
  printer.print_graph(graph, "graph", "");
  return printer.take();
}

std::string print(const Node& node) {
  PrintOptions options;
  Printer printer({options});
  printer.print_line(node, Names(node.graph()), "");
  std::string out = printer.take();
  out.pop_back();
  return out;
}

std::string signature(const Node& node) {
  PrintOptions options{.origins = false};
  Printer printer({options});
  printer.print_signature(node);
  return printer.take();
}

TensorMap elided_tensors(const Graph& graph, const PrintOptions& options) {
  TensorMap elided;
  print(graph, options, &elided);
  return elided;
}

std::string elided_name(const Tensor& tensor) { return "c_" + content_hash(tensor); }

}  // namespace mezzo::ir
