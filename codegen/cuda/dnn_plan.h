// dnn_plan.h: execution plans of cuDNN's graph API: proposed, chosen, built, kept on disk, run.
#pragma once
#include <functional>
#include <memory>

#include "codegen/cuda/device.h"
#include "codegen/cuda/dnn_descriptor.h"
#include "codegen/object_cache.h"

namespace mezzo::codegen::cuda {

// For whom plans are made: a device with its handle, or a description of one that is not here.
struct DnnTarget {
  DnnHandle handle = nullptr;
  const Descriptor* properties = nullptr;
};

// The parts stay alive with the graph they make.
struct DnnGraph {
  std::vector<std::unique_ptr<Descriptor>> parts;
  std::unique_ptr<Descriptor> graph;
};
// Makes a graph of operations, in the order of the data.
DnnGraph finish_graph(const CudnnApi& api, const DnnTarget& target,
                      std::vector<std::unique_ptr<Descriptor>> parts,
                      const std::vector<DnnDescriptor>& operations);

// What the library proposes for a graph, best first, each with its engine. Left out is what is not
// reproducible, reads operands as narrower numbers or sums in 16 bits.
struct DnnProposals {
  std::vector<Descriptor> configs;
  int proposed = 0;
};
DnnProposals propose(const CudnnApi& api, const DnnTarget& target, const DnnGraph& graph);

// The first proposal that can be built. Throws DnnRefusal where none can.
struct DnnPlan {
  Descriptor plan;
  int64_t workspace = 0;
  int proposed = 0, tried = 0;  // engine configurations
};
DnnPlan build_plan(const CudnnApi& api, const DnnTarget& target, const DnnGraph& graph,
                   const std::string& what);

// The library's handle on a device, and the plans that were built.
class DnnLibrary {
 public:
  // Throws Error(unsupported) where the library does not start on the device.
  DnnLibrary(const CudnnApi& api, std::shared_ptr<CudaDevice> device, const std::string& cache_dir);
  ~DnnLibrary();
  DnnLibrary(const DnnLibrary&) = delete;
  DnnLibrary& operator=(const DnnLibrary&) = delete;

  const CudnnApi& api() const { return api_; }
  // The plan for what `text` says, restored from its text or built of `make`. Throws DnnRefusal.
  Descriptor plan(const std::string& text, const std::function<DnnGraph(const DnnTarget&)>& make);
  // Runs a plan on the addresses of the moment, one for each id.
  void execute(const Descriptor& plan, const std::vector<int64_t>& ids, std::byte* const* addresses,
               std::byte* workspace) const;

 private:
  const CudnnApi& api_;
  std::shared_ptr<CudaDevice> device_;
  ObjectCache cache_;
  DnnHandle handle_ = nullptr;
};

}  // namespace mezzo::codegen::cuda
