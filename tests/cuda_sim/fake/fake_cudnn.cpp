// fake_cudnn.cpp: a library with the functions of cuDNN's backend API that computes on the host:
// convolutions, their gradients, and graphs of elementwise operations, products and reductions, such as
// attention. As the real one it needs another part (fake_cudnn_graph.cpp) and ends the process without it,
// keeps descriptors from being changed or used in the wrong state, proposes engines of which some must not or
// cannot be taken, and has none for an f32 weight gradient of 16-bit operands. Work goes to the fake driver's
// stream, and its counters and scripted failures are those of the driver's functions.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_sim/fake/fake_cuda.h"
#include "tests/cuda_sim/fake/fake_dnn_descriptor.h"

using namespace mezzo::fake_dnn;
using namespace mezzo::fake_cuda;

namespace {

struct Handle {
  void* stream = nullptr;
};
NodePointer& node_of(DnnDescriptor d) {
  require(d, "a null descriptor");
  return *static_cast<NodePointer*>(d);
}

size_t size_of(int type) {
  switch (type) {
    case kDnnTypeBool:
    case kDnnTypeChar: return 1;
    case kDnnTypeInt64:
    case kDnnTypeDouble:
    case kDnnTypeHandle:
    case kDnnTypePointer:
    case kDnnTypeDescriptor: return 8;
    default: return 4;
  }
}

// cuDNN 9.19 on sm_90.
bool has_engines(const Graph& g) {
  const Operation& first = g.operations[0];
  return first.type != kDnnConvolutionFilter || first.result.type == first.operands[0].type;
}

// Copies up to `wanted` values out.
template <class T>
void tell(const std::vector<T>& values, int64_t wanted, int64_t* count, void* to) {
  *count = static_cast<int64_t>(values.size());
  if (wanted > 0 && to)
    std::copy_n(values.begin(), std::min<size_t>(values.size(), static_cast<size_t>(wanted)),
                static_cast<T*>(to));
}

void read_attribute(const Node& n, int name, int type, int64_t wanted, int64_t* count, void* to) {
  auto fill = [&](int64_t i, int wanted_type, const Graph& graph) {
    NodePointer& to_node = node_of(static_cast<DnnDescriptor*>(to)[i]);
    require(to_node->type == wanted_type, "a descriptor of another type to write to");
    to_node->graph = graph;
    to_node->finished = true;
  };
  if (n.type == kDnnHeuristics && name == kDnnHeuristicsResults && type == kDnnTypeDescriptor) {
    *count = has_engines(n.graph) ? std::min<int64_t>(wanted, std::size(kEngines)) : 0;
    for (int64_t i = 0; i < *count; i++) fill(i, kDnnEngineConfig, {kEngines[i].number, n.graph.operations});
  } else if (n.type == kDnnEngineConfig && name == kDnnConfigEngine && type == kDnnTypeDescriptor) {
    require(wanted == 1, "more than one engine");
    *count = 1;
    fill(0, kDnnEngine, n.graph);
  } else if (n.type == kDnnEngine && name == kDnnEngineNumericalNotes && type == kDnnTypeNumericalNote) {
    const int note = engine_of(n.graph.engine)->note;
    tell(note == kNoNote ? std::vector<int>{} : std::vector<int>{note}, wanted, count, to);
  } else if (n.type == kDnnPlan && name == kDnnPlanWorkspace && type == kDnnTypeInt64) {
    tell(std::vector<int64_t>{engine_of(n.graph.engine)->workspace}, wanted, count, to);
  } else if (n.type == kDnnPlan && name == kDnnPlanJson && type == kDnnTypeChar) {
    const std::string text = to_text(n.graph);
    tell(std::vector<char>(text.begin(), text.end()), wanted, count, to);
  } else {
    throw Refusal{kNotSupported, "reading this attribute"};
  }
}

// What is given by value is read now; everything else when the stream comes to it.
Operands operands_of(const Graph& graph, const Node& pack) {
  Operands out;
  const Dims ids = pack.integers(kDnnPackIds);
  const auto pointers = pack.list<void*>(kDnnPackPointers, kDnnTypePointer);
  for (size_t i = 0; i < ids.size(); i++)
    require(out.memory.emplace(ids[i], pointers[i]).second, "an id twice");
  auto take = [&](const Tensor& t) {
    if (t.is_virtual) return;
    void* p = out.memory.count(t.id) ? out.memory.at(t.id) : nullptr;
    require(p, "no address for a tensor");
    require(reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(t.alignment) == 0, "the alignment");
    if (t.by_value) out.scalars[t.id] = *static_cast<const float*>(p);
  };
  for (const Operation& o : graph.operations) {
    for (const Tensor& t : o.operands) take(t);
    take(o.result);
  }
  return out;
}

int execute(void* stream, const Node& plan, const Node& pack) {
  require(plan.finished && pack.finished, "a plan or addresses that are not final");
  const int64_t bytes = engine_of(plan.graph.engine)->workspace;
  auto* workspace = pack.one<void*>(kDnnPackWorkspace, kDnnTypePointer);
  require(bytes == 0 || workspace, "no workspace");
  auto* submit = of_driver<FakeCudaSubmit>("fake_cuda_submit");
  require(submit, "no fake driver", kNotInitialized);
  return submit(stream,
                [graph = plan.graph, operands = operands_of(plan.graph, pack), workspace, bytes] {
                  if (bytes > 0) std::memset(workspace, 0xA5, static_cast<size_t>(bytes));
                  compute(graph, operands);
                }) == 0
             ? 0
             : kExecutionFailed;
}

thread_local std::string last_error;
std::atomic<long> live{0};  // handles and descriptors

// Counts the call, and turns what is thrown into a status and a text.
template <class F>
int call(const char* function, Demand demand, F action) {
  if (auto* enter = of_driver<FakeCudaEnter>("fake_cuda_enter"))
    if (int status = enter(function, demand)) return last_error = "told by the fake cuDNN", status;
  try {
    action();
    return 0;
  } catch (const Refusal& r) {
    return last_error = r.why, r.status;
  }
}

// The real library's way with its parts.
void* part(const char* function, const char* name) {
  void* library = dlopen("libcudnn_graph.so.9", RTLD_NOW);
  void* found = library ? dlsym(library, name) : nullptr;
  if (found) return found;
  std::fprintf(stderr, "Invalid handle. Cannot load symbol %s\n", function);
  std::abort();
}

}  // namespace

extern "C" {

long fake_cudnn_live() { return live; }
size_t cudnnGetVersion() { return reinterpret_cast<size_t (*)()>(part(__func__, "fake_cudnn_version"))(); }
size_t cudnnGetCudartVersion() { return 13010; }
const char* cudnnGetErrorString(int status) {
  return status == kNotSupported ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_OF_THE_FAKE";
}
void cudnnGetLastErrorString(char* text, size_t bytes) {
  std::snprintf(text, bytes, "%s", last_error.c_str());
  last_error.clear();
}
int cudnnCreate(DnnHandle* out) {
  return call(__func__, context_outside_capture, [&] {
    require(of_driver<FakeCudaSubmit>("fake_cuda_submit"), "no fake driver", kNotInitialized);
    *out = reinterpret_cast<DnnHandle>(new Handle);
    live++;
  });
}
int cudnnDestroy(DnnHandle h) {
  return call(__func__, anything, [&] { delete reinterpret_cast<Handle*>(h), live--; });
}
int cudnnSetStream(DnnHandle h, Stream stream) {
  return call(__func__, context, [&] { reinterpret_cast<Handle*>(h)->stream = stream; });
}
int cudnnBackendCreateDescriptor(int type, DnnDescriptor* out) {
  return call(__func__, anything, [&] { *out = new NodePointer(std::make_shared<Node>(type)), live++; });
}
int cudnnBackendDestroyDescriptor(DnnDescriptor d) {
  return call(__func__, anything, [&] { delete &node_of(d), live--; });
}
int cudnnBackendSetAttribute(DnnDescriptor d, int name, int type, int64_t count, const void* values) {
  return call(__func__, anything, [&] {
    Node& n = *node_of(d);
    require(!n.finished, "a descriptor that is final");
    require(count > 0 && values, "no values");
    Attribute a{type, count, {}, {}};
    if (type == kDnnTypeDescriptor)
      for (int64_t i = 0; i < count; i++) {
        a.nodes.push_back(node_of(static_cast<const DnnDescriptor*>(values)[i]));
        require(a.nodes.back()->finished, "a part that is not final");
      }
    const auto* bytes = static_cast<const std::byte*>(values);
    a.bytes.assign(bytes, bytes + static_cast<size_t>(count) * size_of(type));
    n.attributes[name] = std::move(a);
  });
}
int cudnnBackendFinalize(DnnDescriptor d) {
  const bool plan = d && node_of(d)->type == kDnnPlan;  // loads code
  return call(__func__, plan ? context_outside_capture : anything, [&] {
    Node& n = *node_of(d);
    require(!n.finished, "a descriptor that is final");
    finish(n);
    n.finished = true;
  });
}
int cudnnBackendGetAttribute(DnnDescriptor d, int name, int type, int64_t wanted, int64_t* count, void* to) {
  return call(__func__, anything, [&] {
    require(node_of(d)->finished, "a descriptor that is not final");
    read_attribute(*node_of(d), name, type, wanted, count, to);
  });
}
int cudnnBackendExecute(DnnHandle h, DnnDescriptor plan, DnnDescriptor pack) {
  return call(__func__, context, [&] {
    require(execute(reinterpret_cast<Handle*>(h)->stream, *node_of(plan), *node_of(pack)) == 0,
            "the stream refuses it", kExecutionFailed);
  });
}
}
