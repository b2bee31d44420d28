// program.cpp: a planned graph on a CUDA device. The first run hands every launch to the stream; then the
// whole step is captured as one CUDA graph, and a run is one copy of the inputs and one launch of that graph.
#include <cstring>
#include <deque>

#include "codegen/alignment.h"
#include "codegen/cuda/lower_node.h"
#include "codegen/cuda/result_ring.h"
#include "codegen/cuda/step_inputs.h"
#include "codegen/launch_list.h"
#include "ir/debug.h"
#include "ir/op.h"

namespace mezzo::codegen {
namespace cuda {
namespace {

constexpr int64_t kSmallResults = 4096;  // bytes; larger outputs are copied when they are asked for

// The step as a CUDA graph.
class Replay {
 public:
  explicit Replay(std::shared_ptr<CudaDevice> device) : device_(std::move(device)) {}
  ~Replay() { reset(); }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
  explicit operator bool() const { return exec_ != nullptr; }

  // Makes the graph of what `enqueue` hands to the stream, without running it.
  template <class F>
  void capture(F enqueue) {
    reset();
    const DriverApi& api = device_->api();
    device_->check(api.cuStreamBeginCapture_v2(device_->stream(), kCaptureThreadLocal),
                   "beginning a capture");
    CaptureGraph graph = nullptr;
    try {
      enqueue();
    } catch (...) {
      if (api.cuStreamEndCapture(device_->stream(), &graph) == 0 && graph) api.cuGraphDestroy(graph);
      throw;
    }
    device_->check(api.cuStreamEndCapture(device_->stream(), &graph), "ending a capture");
    nodes_ = 0;
    if (api.cuGraphGetNodes) api.cuGraphGetNodes(graph, nullptr, &nodes_);
    int result = api.cuGraphInstantiateWithFlags(&exec_, graph, 0);
    api.cuGraphDestroy(graph);
    device_->check(result, "making a graph of the step");
  }
  void launch() {
    device_->check(device_->api().cuGraphLaunch(exec_, device_->stream()), "launching a step");
  }
  void reset() {
    if (!exec_) return;
    device_->enter();
    device_->api().cuGraphExecDestroy(exec_);
    exec_ = nullptr;
  }
  size_t nodes() const { return exec_ ? nodes_ : 0; }

 private:
  std::shared_ptr<CudaDevice> device_;
  GraphExec exec_ = nullptr;
  size_t nodes_ = 0;
};

// What a step tells the host: its outputs, then its states of one element.
struct Results {
  explicit Results(const ir::Graph& g) {
    for (const ir::Output& o : g.outputs) output_bytes += bytes.emplace_back(o.value.type().bytes());
    outputs = bytes.size();
    size_t number = 0;
    for (const auto& n : g.nodes()) {
      if (!ir::is_state(*n)) continue;
      if (n->type().count() == 1) {
        states.push_back(number);
        bytes.push_back(n->type().bytes());
      }
      number++;
    }
  }
  std::vector<int64_t> bytes;
  size_t outputs = 0;
  int64_t output_bytes = 0;
  std::vector<size_t> states;  // numbers among the State nodes
};

class CudaProgram : public Program {
 public:
  CudaProgram(ir::Graph planned, std::shared_ptr<CudaDevice> device, const CudaOptions& options)
      : graph_(std::move(planned)),
        device_(std::move(device)),
        kernels_(device_, {options.cache_dir, options.dump_dir, options.threads}),
        lowering_(kernels_, options.cache_dir),
        inputs_(device_, graph_),
        results_(graph_),
        ring_(device_, ring_bytes()),
        replay_(device_) {
    ResultRing::add_kernel(kernels_);
    list_.emplace(graph_, lowering_);
    ring_.resolve(kernels_);
  }

  void start(const Bindings& bindings) override {
    bind(bindings);
    send_inputs(bindings);
    if (debug_sync_) {
      for_each_launch([&](size_t i) {
        if (int result = device_->api().cuStreamSynchronize(device_->stream()); result != 0) {
          const LaunchInfo& info = list_->infos()[i];
          device_->fail(result,
                        concat("running ", info.name, " of '", info.origin.empty() ? "" : info.origin.front(),
                               "' (", info.detail, ")"));
        }
      });
      ring_.enqueue();
    } else if (replay_) {
      replay_.launch();
    } else if (ran_) {
      replay_.capture([&] { enqueue(); });
      replay_.launch();
    } else {
      enqueue();  // loads every function, which a capture must not
      ran_ = true;
    }
    under_way_.push_back(ring_.started());
  }

  // Waits for the step and hands out what it says.
  void finish(const Bindings& bindings) override {
    check(!under_way_.empty(), "a run is finished that was not started");
    const uint64_t step = under_way_.front();
    under_way_.pop_front();
    device_->make_current();
    const size_t in_ring = ring_outputs();
    for (size_t k = in_ring; k < bindings.outputs.size(); k++)
      if (auto bytes = static_cast<size_t>(list_->output_type(k).bytes()); bindings.outputs[k] && bytes > 0)
        device_->check(device_->api().cuMemcpyDtoHAsync_v2(bindings.outputs[k], address(list_->output(k)),
                                                           bytes, device_->stream()),
                       "copying an output");
    ring_.wait(step);
    if (in_ring < bindings.outputs.size()) device_->wait();
    auto take = [&](std::byte* to, size_t k) {
      if (to) std::memcpy(to, ring_.result(step, k), static_cast<size_t>(ring_.bytes(k)));
    };
    for (size_t k = 0; k < in_ring && k < bindings.outputs.size(); k++) take(bindings.outputs[k], k);
    if (!bindings.state_copies.empty())
      for (size_t i = 0; i < results_.states.size(); i++)
        take(bindings.state_copies[results_.states[i]], in_ring + i);
    if (under_way_.empty()) device_->settled();
  }

  // The next run may be sent before this one has told its results; more than that wins nothing.
  size_t most_under_way() const override { return ring_outputs() == results_.outputs ? 2 : 1; }

  void run_timed(const Bindings& bindings, std::vector<int64_t>& nanoseconds) override {
    check(under_way_.empty(), "a run is timed behind one that was not finished");
    nanoseconds.resize(list_->size());
    bind(bindings);
    send_inputs(bindings);
    const DriverApi& api = device_->api();
    std::vector<Event> events(list_->size() + 1);
    for (Event& e : events) device_->check(api.cuEventCreate(&e, kEventDefault), "making an event");
    auto record = [&](size_t i) {
      device_->check(api.cuEventRecord(events[i], device_->stream()), "taking the time");
    };
    list_->start();
    record(0);
    for (size_t i = 0; i < list_->size(); i++) {
      list_->launch(i);
      record(i + 1);
    }
    ring_.enqueue();
    under_way_.push_back(ring_.started());
    finish(bindings);
    device_->wait();
    for (size_t i = 0; i < list_->size(); i++) {
      float milliseconds = 0;
      device_->check(api.cuEventElapsedTime(&milliseconds, events[i], events[i + 1]), "taking the time");
      nanoseconds[i] += static_cast<int64_t>(static_cast<double>(milliseconds) * 1e6);
    }
    for (Event e : events) api.cuEventDestroy_v2(e);
  }

  bool stage(const std::vector<const std::byte*>& inputs) override { return inputs_.stage(inputs); }
  int64_t arena_bytes() const override { return list_->arena_bytes(); }
  const std::vector<LaunchInfo>& launches() const override { return list_->infos(); }
  size_t graph_nodes() const override { return replay_.nodes(); }

 private:
  // Sets the addresses of this run; what a captured step was made for must not change.
  void bind(const Bindings& bindings) {
    device_->make_current();
    inputs_.allocate();
    upload_constants();
    Bindings on_device = bindings;
    on_device.inputs = inputs_.addresses();
    if (!list_->bind(on_device, constants_) && bound_) return;
    if (!under_way_.empty()) device_->wait();  // it still reads what is about to change
    bound_ = false;
    replay_.reset();
    std::vector<const std::byte*> sources;
    for (size_t k = 0; k < ring_outputs(); k++) sources.push_back(list_->output(k));
    for (size_t state : results_.states) sources.push_back(bindings.states[state]);
    ring_.set_sources(sources);
    bound_ = true;
  }

  void send_inputs(const Bindings& bindings) {
    if (bindings.staged)
      inputs_.take();
    else
      inputs_.send(bindings.inputs);
  }

  // Large outputs do not pass through the ring.
  size_t ring_outputs() const { return results_.output_bytes <= kSmallResults ? results_.outputs : 0; }
  std::vector<int64_t> ring_bytes() const {
    auto first = results_.bytes.begin() + static_cast<int64_t>(results_.outputs - ring_outputs());
    return {first, results_.bytes.end()};
  }

  void upload_constants() {
    if (!constants_.empty() || list_->constants().empty()) return;
    int64_t total = 0;
    for (const ir::TensorPtr& c : list_->constants()) total += device_aligned(c->bytes());
    constant_memory_ = DeviceMemory(device_, total);
    std::byte* at = constant_memory_.data();
    std::vector<const std::byte*> places;
    for (const ir::TensorPtr& c : list_->constants()) {
      device_->upload(at, c->data(), c->bytes());
      places.push_back(at);
      at += device_aligned(c->bytes());
    }
    constants_ = std::move(places);
  }

  template <class F>
  void for_each_launch(F after) {
    list_->start();
    for (size_t i = 0; i < list_->size(); i++) {
      list_->launch(i);
      after(i);
    }
  }
  void enqueue() {
    for_each_launch([](size_t) {});
    ring_.enqueue();
  }

  ir::Graph graph_;
  std::shared_ptr<CudaDevice> device_;
  KernelSet kernels_;
  NodeLowering lowering_;
  std::optional<LaunchList> list_;
  StepInputs inputs_;
  Results results_;
  ResultRing ring_;
  Replay replay_;
  DeviceMemory constant_memory_;
  std::vector<const std::byte*> constants_;
  std::deque<uint64_t> under_way_;  // started and not finished: numbers of the ring
  bool bound_ = false;              // to the addresses that the list has
  bool ran_ = false;
  const bool debug_sync_ = ir::debug().has("sync");
};

}  // namespace
}  // namespace cuda

std::unique_ptr<Program> compile_cuda(const ir::Graph& planned, const CudaOptions& options) {
  auto device = std::dynamic_pointer_cast<cuda::CudaDevice>(options.device);
  check(device != nullptr, "compile_cuda without a CUDA device");
  return std::make_unique<cuda::CudaProgram>(ir::clone(planned), std::move(device), options);
}

}  // namespace mezzo::codegen
