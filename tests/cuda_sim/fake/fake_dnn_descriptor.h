// fake_dnn_descriptor.h: descriptors of the fake cuDNN: attributes as they were set, and what they mean once
// the descriptor is final.
#pragma once
#include <cstring>
#include <memory>

#include "tests/cuda_sim/fake/fake_dnn.h"

namespace mezzo::fake_dnn {

inline constexpr int kNotInitialized = 1001, kBadParameter = 2000, kNotSupported = 3000,
                     kExecutionFailed = 5000;

struct Refusal {
  int status;
  std::string why;
};
inline void require(bool fits, const std::string& why, int status = kBadParameter) {
  if (!fits) throw Refusal{status, why};
}

// As the heuristics propose them.
struct Engine {
  int number, note, status;
  int64_t workspace;
};
inline constexpr int kNoNote = -1;
inline constexpr Engine kEngines[] = {{31, kDnnNoteNondeterministic, 0, 0},
                                      {32, kDnnNoteDownConverts, 0, 0},
                                      {33, kNoNote, kNotSupported, 0},
                                      {34, kNoNote, 0, 4096},
                                      {35, kNoNote, 0, 0}};
const Engine* engine_of(int number);

struct Node;
using NodePointer = std::shared_ptr<Node>;
struct Attribute {
  int type;
  int64_t count;
  std::vector<std::byte> bytes;
  std::vector<NodePointer> nodes;
};
struct Node {
  explicit Node(int of_type) : type(of_type) {}

  int type;
  bool finished = false;
  std::map<int, Attribute> attributes;
  Tensor tensor;        // of a tensor
  Operation operation;  // of an operation
  Graph graph;          // of an operation graph and what is made of it; with an engine from the proposals on

  bool has(int name) const { return attributes.count(name) != 0; }
  const Attribute& attribute(int name, int of_type) const {
    auto found = attributes.find(name);
    require(found != attributes.end(), "attribute " + std::to_string(name) + " is not set");
    require(found->second.type == of_type, "attribute " + std::to_string(name) + " of another type");
    return found->second;
  }
  template <class T>
  std::vector<T> list(int name, int of_type) const {
    const Attribute& a = attribute(name, of_type);
    std::vector<T> out(static_cast<size_t>(a.count));
    if (!out.empty()) std::memcpy(out.data(), a.bytes.data(), a.bytes.size());
    return out;
  }
  Dims integers(int name) const { return list<int64_t>(name, kDnnTypeInt64); }
  template <class T>
  T one(int name, int of_type) const {
    auto all = list<T>(name, of_type);
    require(all.size() == 1, "attribute " + std::to_string(name) + " is no single value");
    return all[0];
  }
  int choice(int name, int of_type) const { return one<int>(name, of_type); }
  const Node& node(int name, int of_type) const {
    const auto& nodes = attribute(name, kDnnTypeDescriptor).nodes;
    require(nodes.size() == 1 && nodes[0]->type == of_type, "a descriptor of another type");
    return *nodes[0];
  }
  const Tensor& tensor_of(int name) const { return node(name, kDnnTensor).tensor; }
};

// Checks a descriptor's attributes and takes their meaning. Throws Refusal.
void finish(Node&);

}  // namespace mezzo::fake_dnn
