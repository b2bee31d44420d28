#include "codegen/cuda/convolution.h"

#include <algorithm>

#include "ir/op.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr int64_t kMostConfigs = 64;  // proposals that are read
constexpr int64_t kAlignment = 16;    // of operands in bytes
enum TensorId : int64_t { kX = 1, kW = 2, kY = 3 };

std::optional<int> dnn_type(ir::DType t) {
  switch (t) {
    case ir::DType::f32: return kDnnFloat;
    case ir::DType::f64: return kDnnDouble;
    case ir::DType::f16: return kDnnHalf;
    case ir::DType::bf16: return kDnnBfloat16;
    default: return std::nullopt;
  }
}

// The attributes of one of the three operations.
struct OperationNames {
  int type, convolution, x, w, y, alpha, beta;
};
OperationNames names_of(ProductKind kind) {
  if (kind == ProductKind::convolution)
    return {kDnnConvolutionForward, kDnnForwardConvolution, kDnnForwardX,   kDnnForwardW,
            kDnnForwardY,           kDnnForwardAlpha,       kDnnForwardBeta};
  if (kind == ProductKind::input_grad)
    return {kDnnConvolutionData, kDnnDataConvolution, kDnnDataX,   kDnnDataW,
            kDnnDataY,           kDnnDataAlpha,       kDnnDataBeta};
  return {kDnnConvolutionFilter, kDnnFilterConvolution, kDnnFilterX,   kDnnFilterW,
          kDnnFilterY,           kDnnFilterAlpha,       kDnnFilterBeta};
}

Descriptor make_tensor(const CudnnApi& api, const ConvolutionPlan::Tensor& t, int64_t id) {
  Descriptor d(api, kDnnTensor);
  d.set(kDnnTensorId, id).set_enum(kDnnTensorType, kDnnTypeDataType, t.type);
  d.set(kDnnTensorDims, t.dims).set(kDnnTensorStrides, t.strides).set(kDnnTensorAlignment, kAlignment);
  d.finish("tensor");
  return d;
}

// The parts stay alive with the graph they make.
struct OperationGraph {
  std::vector<Descriptor> parts;
  Descriptor graph;
};

OperationGraph make_graph(const CudnnApi& api, const DnnTarget& target, const ConvolutionPlan& p) {
  OperationGraph out{{}, Descriptor(api, kDnnOperationGraph)};
  out.parts.push_back(make_tensor(api, p.x, kX));
  out.parts.push_back(make_tensor(api, p.w, kW));
  out.parts.push_back(make_tensor(api, p.y, kY));
  Descriptor& convolution = out.parts.emplace_back(api, kDnnConvolution);
  convolution.set_enum(kDnnConvolutionComputeType, kDnnTypeDataType, p.compute);
  convolution.set_enum(kDnnConvolutionModeAttr, kDnnTypeConvolutionMode, kDnnCrossCorrelation);
  convolution.set(kDnnConvolutionSpatialDims, static_cast<int64_t>(p.strides.size()));
  convolution.set(kDnnConvolutionPrePads, p.pads_begin).set(kDnnConvolutionPostPads, p.pads_end);
  convolution.set(kDnnConvolutionStrides, p.strides).set(kDnnConvolutionDilations, p.dilations);
  convolution.finish("convolution");

  const OperationNames n = names_of(p.kind);
  Descriptor operation(api, n.type);
  operation.set(n.convolution, out.parts[3])
      .set(n.x, out.parts[0])
      .set(n.w, out.parts[1])
      .set(n.y, out.parts[2]);
  const float one = 1, zero = 0;
  const double wide_one = 1, wide_zero = 0;
  const bool wide = p.compute == kDnnDouble;
  operation.set(n.alpha, wide ? kDnnTypeDouble : kDnnTypeFloat,
                wide ? static_cast<const void*>(&wide_one) : &one, 1);
  operation.set(n.beta, wide ? kDnnTypeDouble : kDnnTypeFloat,
                wide ? static_cast<const void*>(&wide_zero) : &zero, 1);
  operation.finish("convolution operation");
  out.graph.set(kDnnGraphOperations, operation);
  out.parts.push_back(std::move(operation));
  if (target.handle) out.graph.set(kDnnGraphHandle, kDnnTypeHandle, &target.handle, 1);
  out.graph.finish("operation graph");
  return out;
}

bool acceptable(const Descriptor& engine) {
  for (int note : engine.enums(kDnnEngineNumericalNotes, kDnnTypeNumericalNote, 16))
    if (note == kDnnNoteDownConverts || note == kDnnNoteReducedReduction || note == kDnnNoteNondeterministic)
      return false;
  return true;
}

}  // namespace

std::string ConvolutionPlan::text() const {
  std::string out = concat("convolution ", static_cast<int>(kind), " ", compute);
  auto list = [&](const std::vector<int64_t>& v) {
    out += " |";
    for (int64_t i : v) out += concat(" ", i);
  };
  for (const Tensor* t : {&x, &w, &y}) {
    out += concat(" / ", t->type);
    list(t->dims);
    list(t->strides);
  }
  for (auto* v : {&strides, &dilations, &pads_begin, &pads_end}) list(*v);
  return out;
}

std::optional<ConvolutionPlan> plan_convolution(const ir::Node& node, ProductKind kind, ir::DType result) {
  auto type = dnn_type(node.in_type(0).dtype), result_type = dnn_type(result);
  if (!type || !result_type) return std::nullopt;
  const ConvolutionSizes s = convolution_sizes(node, kind);
  const size_t given = node.ints("strides").size(), rank = std::max<size_t>(2, given), first = 3 - rank;
  const int64_t per_group = s.channels / s.groups;
  ConvolutionPlan p{kind};
  p.compute = *type == kDnnDouble ? kDnnDouble : kDnnFloat;
  p.x = {*type, {s.batch, s.channels}, {s.x[0], s.x[1]}};
  p.y = {*type, {s.batch, s.filters}, {s.y[0], s.y[1]}};
  p.w = {*type, {s.filters, per_group}, {}};
  int64_t taps = 1;
  for (size_t j = first; j < 3; j++) {
    p.x.dims.push_back(s.in[j]);
    p.y.dims.push_back(s.out[j]);
    p.w.dims.push_back(s.kernel[j]);
    p.strides.push_back(s.strides[j]);
    p.dilations.push_back(s.dilations[j]);
    p.pads_begin.push_back(s.pads[j]);
    // An axis that is only there to make two starts with stride 0 in the sizes; its extent is 1.
    p.x.strides.push_back(s.x[2 + j] != 0 ? s.x[2 + j] : s.x[0]);
    p.y.strides.push_back(s.y[2 + j] != 0 ? s.y[2 + j] : s.y[0]);
    taps *= s.kernel[j];
  }
  p.pads_end.assign(rank - given, 0);
  p.pads_end.insert(p.pads_end.end(), node.ints("pads_end").begin(), node.ints("pads_end").end());
  p.filter_last = node.i("channels_last") != 0 && taps > 1 && per_group > 1;
  p.w.strides = ir::strides_of(p.w.dims);
  if (p.filter_last) {
    p.w.strides = {taps * per_group, 1};
    int64_t stride = taps * per_group;
    for (size_t j = first; j < 3; j++) p.w.strides.push_back(stride /= s.kernel[j]);
  }
  (kind == ProductKind::convolution ? p.y : kind == ProductKind::input_grad ? p.x : p.w).type = *result_type;
  return p;
}

BuiltConvolution build_convolution(const CudnnApi& api, const DnnTarget& target,
                                   const ConvolutionPlan& plan) {
  OperationGraph graph = make_graph(api, target, plan);
  Descriptor heuristics(api, kDnnHeuristics);
  heuristics.set(kDnnHeuristicsGraph, graph.graph);
  heuristics.set_enum(kDnnHeuristicsMode, kDnnTypeHeuristicMode, kDnnHeuristicsModeA);
  if (target.properties) heuristics.set(kDnnHeuristicsDevice, *target.properties);
  heuristics.finish("heuristics");
  auto configs = heuristics.list(kDnnHeuristicsResults, kDnnEngineConfig, kMostConfigs);
  std::string refusal = "nothing is proposed";
  int tried = 0;
  for (const Descriptor& config : configs) try {
      auto engine = config.list(kDnnConfigEngine, kDnnEngine, 1);
      if (engine.empty() || !acceptable(engine[0])) {
        refusal = "what is proposed is not reproducible or not precise";
        continue;
      }
      tried++;
      Descriptor built(api, kDnnPlan);
      if (target.handle) built.set(kDnnPlanHandle, kDnnTypeHandle, &target.handle, 1);
      if (target.properties) built.set(kDnnPlanDevice, *target.properties);
      built.set(kDnnPlanConfig, config).finish("plan");
      int64_t workspace = built.integer(kDnnPlanWorkspace);
      return {std::move(built), workspace, static_cast<int>(configs.size()), tried};
    } catch (const DnnRefusal& e) {
      refusal = e.what();
    }
  throw DnnRefusal(concat(plan.text(), ": ", refusal, " (", configs.size(), " proposals)"));
}

// Runs a plan on the addresses of the moment.
class ConvolutionLaunch : public Launch {
 public:
  ConvolutionLaunch(const ConvolutionPlan& plan, Descriptor built, const Convolutions& owner)
      : api_(owner.api_), handle_(owner.handle_), plan_(std::move(built)) {
    scratch_bytes = plan_.integer(kDnnPlanWorkspace);
    ids_ = plan.kind == ProductKind::convolution  ? std::vector<int64_t>{kX, kW, kY}
           : plan.kind == ProductKind::input_grad ? std::vector<int64_t>{kY, kW, kX}
                                                  : std::vector<int64_t>{kX, kY, kW};
    info.detail = "cuDNN";
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    Descriptor pack(api_, kDnnVariantPack);
    pack.set(kDnnPackIds, ids_).set(kDnnPackPointers, kDnnTypePointer, arguments, 3);
    pack.set(kDnnPackWorkspace, kDnnTypePointer, &scratch, 1).finish("addresses");
    if (int status = api_.cudnnBackendExecute(handle_, plan_.handle(), pack.handle()); status != 0) {
      char text[1024] = "";
      api_.cudnnGetLastErrorString(text, sizeof text);
      throw InternalError(
          concat("cuDNN does not run a plan: ", api_.cudnnGetErrorString(status), ": ", text));
    }
  }

 private:
  const CudnnApi& api_;
  DnnHandle handle_;
  Descriptor plan_;
  std::vector<int64_t> ids_;  // of the arguments
};

Convolutions::Convolutions(const CudnnApi& api, std::shared_ptr<CudaDevice> device,
                           const std::string& cache_dir)
    : api_(api), device_(std::move(device)), cache_(cache_dir) {
  device_->make_current();
  int status = api_.cudnnCreate(&handle_);
  if (status == 0) status = api_.cudnnSetStream(handle_, device_->stream());
  if (status != 0)
    throw Error(
        ErrorCode::unsupported,
        concat("cuDNN does not start on the device: ", api_.cudnnGetErrorString(status)), "cuda",
        "it may be of another CUDA version than the driver (`mezzo doctor`); MEZZO_DEBUG=no_cudnn uses own "
        "kernels instead");
}

Convolutions::~Convolutions() {
  device_->enter();
  api_.cudnnDestroy(handle_);
}

// A plan that was built before, with its compiled code, is restored from its text.
Descriptor Convolutions::restore_or_build(const ConvolutionPlan& plan) {
  std::string key = ObjectCache::key(concat("mezzo cudnn 1\n", api_.cudnnGetVersion(), "\n", device_->name(),
                                            " ", device_->arch(), "\n", plan.text()));
  if (auto known = cache_.load(key)) try {
      Descriptor restored(api_, kDnnPlan);
      restored.set(kDnnPlanHandle, kDnnTypeHandle, &handle_, 1)
          .set_text(kDnnPlanJson, *known)
          .finish("restored plan");
      return restored;
    } catch (const DnnRefusal&) {  // of no use after all: it is built and stored again
    }
  BuiltConvolution built = build_convolution(api_, {handle_, nullptr}, plan);
  cache_.store(key, built.plan.text(kDnnPlanJson));
  return std::move(built.plan);
}

std::unique_ptr<Launch> Convolutions::add(const ConvolutionPlan& plan) try {
  device_->make_current();
  return std::make_unique<ConvolutionLaunch>(plan, restore_or_build(plan), *this);
} catch (const DnnRefusal&) {
  return nullptr;
}

}  // namespace mezzo::codegen::cuda
