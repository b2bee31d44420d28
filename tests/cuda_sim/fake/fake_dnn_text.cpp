// fake_dnn_text.cpp: a plan of the fake cuDNN as text: the numbers of its operations, and their sum.
#include <sstream>

#include "tests/cuda_sim/fake/fake_dnn.h"

namespace mezzo::fake_dnn {
namespace {

constexpr const char* kHead = R"({"plan of the fake cuDNN": ")";
constexpr int64_t kMost = 1 << 16;  // of a list

struct Writer {
  std::ostringstream text;
  int64_t sum = 0;

  template <class T>
  void number(const T& v) {
    text << ' ' << static_cast<int64_t>(v);
    sum = (sum * 31 + static_cast<int64_t>(v)) % 1000003;
  }
  template <class T>
  void size(const std::vector<T>& list) {
    number(list.size());
  }
};

struct Reader {
  std::istringstream text;
  int64_t sum = 0;
  bool good = true;

  template <class T>
  void number(T& v) {
    int64_t read = 0;
    good = good && text >> read;
    v = static_cast<T>(read);
    sum = (sum * 31 + read) % 1000003;
  }
  template <class T>
  void size(std::vector<T>& list) {
    int64_t n = 0;
    number(n);
    good = good && n >= 0 && n <= kMost;
    list.resize(good ? static_cast<size_t>(n) : 0);
  }
};

// Everything of a graph, in order, to or from its text.
template <class Text, class List>
void numbers(Text& text, List& list) {
  text.size(list);
  for (auto& v : list) text.number(v);
}
template <class Text, class T>
void tensor(Text& text, T& t) {
  text.number(t.id), text.number(t.type), text.number(t.alignment);
  text.number(t.is_virtual), text.number(t.by_value);
  numbers(text, t.dims), numbers(text, t.strides);
}
template <class Text, class G>
void graph(Text& text, G& g) {
  text.number(g.engine);
  text.size(g.operations);
  for (auto& o : g.operations) {
    text.number(o.type), text.number(o.mode), text.number(o.axis);
    for (auto* list : {&o.strides, &o.dilations, &o.pads_begin, &o.pads_end}) numbers(text, *list);
    text.size(o.operands);
    for (auto& t : o.operands) tensor(text, t);
    tensor(text, o.result);
  }
}

}  // namespace

std::string to_text(const Graph& g) {
  Writer out;
  graph(out, g);
  out.text << ' ' << out.sum;
  return kHead + out.text.str() + "\"}";
}

std::optional<Graph> from_text(const std::string& text) {
  const std::string head = kHead;
  if (!text.starts_with(head) || !text.ends_with("\"}")) return std::nullopt;
  Reader in{std::istringstream(text.substr(head.size(), text.size() - head.size() - 2))};
  Graph g;
  graph(in, g);
  int64_t sum = -1;
  if (!in.good || !(in.text >> sum) || sum != in.sum) return std::nullopt;
  return g;
}

}  // namespace mezzo::fake_dnn
