#include "codegen/cuda/dnn_plan.h"

#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr int64_t kMostConfigs = 64;  // proposals that are read

bool acceptable(const Descriptor& engine) {
  for (int note : engine.enums(kDnnEngineNumericalNotes, kDnnTypeNumericalNote, 16))
    if (note == kDnnNoteDownConverts || note == kDnnNoteReducedReduction || note == kDnnNoteNondeterministic)
      return false;
  return true;
}

}  // namespace

DnnGraph finish_graph(const CudnnApi& api, const DnnTarget& target,
                      std::vector<std::unique_ptr<Descriptor>> parts,
                      const std::vector<DnnDescriptor>& operations) {
  DnnGraph out{std::move(parts), std::make_unique<Descriptor>(api, kDnnOperationGraph)};
  out.graph->set(kDnnGraphOperations, kDnnTypeDescriptor, operations.data(),
                 static_cast<int64_t>(operations.size()));
  if (target.handle) out.graph->set(kDnnGraphHandle, kDnnTypeHandle, &target.handle, 1);
  out.graph->finish("operation graph");
  return out;
}

DnnProposals propose(const CudnnApi& api, const DnnTarget& target, const DnnGraph& graph) {
  Descriptor heuristics(api, kDnnHeuristics);
  heuristics.set(kDnnHeuristicsGraph, *graph.graph);
  heuristics.set_enum(kDnnHeuristicsMode, kDnnTypeHeuristicMode, kDnnHeuristicsModeA);
  if (target.properties) heuristics.set(kDnnHeuristicsDevice, *target.properties);
  heuristics.finish("heuristics");
  auto configs = heuristics.list(kDnnHeuristicsResults, kDnnEngineConfig, kMostConfigs);
  DnnProposals out;
  out.proposed = static_cast<int>(configs.size());
  for (Descriptor& config : configs) {
    auto engine = config.list(kDnnConfigEngine, kDnnEngine, 1);
    if (!engine.empty() && acceptable(engine[0])) out.configs.push_back(std::move(config));
  }
  return out;
}

DnnPlan build_plan(const CudnnApi& api, const DnnTarget& target, const DnnGraph& graph,
                   const std::string& what) {
  const DnnProposals proposals = propose(api, target, graph);
  std::string refusal =
      proposals.proposed == 0 ? "nothing is proposed" : "what is proposed is not reproducible or not precise";
  int tried = 0;
  for (const Descriptor& config : proposals.configs) try {
      tried++;
      Descriptor built(api, kDnnPlan);
      if (target.handle) built.set(kDnnPlanHandle, kDnnTypeHandle, &target.handle, 1);
      if (target.properties) built.set(kDnnPlanDevice, *target.properties);
      built.set(kDnnPlanConfig, config).finish("plan");
      int64_t workspace = built.integer(kDnnPlanWorkspace);
      return {std::move(built), workspace, proposals.proposed, tried};
    } catch (const DnnRefusal& e) {
      refusal = e.what();
    }
  throw DnnRefusal(concat(what, ": ", refusal, " (", proposals.proposed, " proposals)"));
}

DnnLibrary::DnnLibrary(const CudnnApi& api, std::shared_ptr<CudaDevice> device, const std::string& cache_dir)
    : api_(api), device_(std::move(device)), cache_(cache_dir) {
  device_->make_current();
  int status = api_.cudnnCreate(&handle_);
  if (status == 0) status = api_.cudnnSetStream(handle_, device_->stream());
  if (status == 0) return;
  if (handle_) api_.cudnnDestroy(handle_);
  throw Error(ErrorCode::unsupported,
              concat("cuDNN does not start on the device: ", api_.cudnnGetErrorString(status)), "cuda",
              "it may be of another CUDA version than the driver (`mezzo doctor`); MEZZO_DEBUG=no_cudnn uses "
              "own kernels instead");
}

DnnLibrary::~DnnLibrary() {
  device_->enter();
  api_.cudnnDestroy(handle_);
}

// A plan that was built before, with its compiled code, is restored from its text.
Descriptor DnnLibrary::plan(const std::string& text, const std::function<DnnGraph(const DnnTarget&)>& make) {
  device_->make_current();
  std::string key = ObjectCache::key(concat("mezzo cudnn 1\n", api_.cudnnGetVersion(), "\n", device_->name(),
                                            " ", device_->arch(), "\n", text));
  if (auto known = cache_.load(key)) try {
      Descriptor restored(api_, kDnnPlan);
      restored.set(kDnnPlanHandle, kDnnTypeHandle, &handle_, 1)
          .set_text(kDnnPlanJson, *known)
          .finish("restored plan");
      return restored;
    } catch (const DnnRefusal&) {  // of no use after all: it is built and stored again
    }
  const DnnTarget target{handle_, nullptr};
  DnnPlan built = build_plan(api_, target, make(target), text);
  cache_.store(key, built.plan.text(kDnnPlanJson));
  return std::move(built.plan);
}

void DnnLibrary::execute(const Descriptor& plan, const std::vector<int64_t>& ids, std::byte* const* addresses,
                         std::byte* workspace) const try {
  Descriptor pack(api_, kDnnVariantPack);
  pack.set(kDnnPackIds, ids)
      .set(kDnnPackPointers, kDnnTypePointer, addresses, static_cast<int64_t>(ids.size()));
  pack.set(kDnnPackWorkspace, kDnnTypePointer, &workspace, 1).finish("addresses");
  if (int status = api_.cudnnBackendExecute(handle_, plan.handle(), pack.handle()); status != 0) {
    char text[1024] = "";
    api_.cudnnGetLastErrorString(text, sizeof text);
    throw InternalError(concat("cuDNN does not run a plan: ", api_.cudnnGetErrorString(status), ": ", text));
  }
} catch (const DnnRefusal& e) {  // there is nothing else to run in the plan's place any more
  throw InternalError(concat("cuDNN does not run a plan: ", e.what()));
}

}  // namespace mezzo::codegen::cuda
