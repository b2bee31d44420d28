#include "codegen/cuda/convolution.h"

#include <algorithm>

#include "ir/op.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // of operands in bytes
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

DnnGraph convolution_graph(const CudnnApi& api, const DnnTarget& target, const ConvolutionPlan& p) {
  std::vector<std::unique_ptr<Descriptor>> parts;
  auto keep = [&](Descriptor d) -> Descriptor& {
    return *parts.emplace_back(std::make_unique<Descriptor>(std::move(d)));
  };
  const Descriptor &x = keep(make_tensor(api, p.x, kX)), &w = keep(make_tensor(api, p.w, kW)),
                   &y = keep(make_tensor(api, p.y, kY));
  Descriptor& convolution = keep(Descriptor(api, kDnnConvolution));
  convolution.set_enum(kDnnConvolutionComputeType, kDnnTypeDataType, p.compute);
  convolution.set_enum(kDnnConvolutionModeAttr, kDnnTypeConvolutionMode, kDnnCrossCorrelation);
  convolution.set(kDnnConvolutionSpatialDims, static_cast<int64_t>(p.strides.size()));
  convolution.set(kDnnConvolutionPrePads, p.pads_begin).set(kDnnConvolutionPostPads, p.pads_end);
  convolution.set(kDnnConvolutionStrides, p.strides).set(kDnnConvolutionDilations, p.dilations);
  convolution.finish("convolution");

  const OperationNames n = names_of(p.kind);
  Descriptor& operation = keep(Descriptor(api, n.type));
  operation.set(n.convolution, convolution).set(n.x, x).set(n.w, w).set(n.y, y);
  const float one = 1, zero = 0;
  const double wide_one = 1, wide_zero = 0;
  const bool wide = p.compute == kDnnDouble;
  operation.set(n.alpha, wide ? kDnnTypeDouble : kDnnTypeFloat,
                wide ? static_cast<const void*>(&wide_one) : &one, 1);
  operation.set(n.beta, wide ? kDnnTypeDouble : kDnnTypeFloat,
                wide ? static_cast<const void*>(&wide_zero) : &zero, 1);
  operation.finish("convolution operation");
  return finish_graph(api, target, std::move(parts), {operation.handle()});
}

namespace {

class ConvolutionLaunch : public Launch {
 public:
  ConvolutionLaunch(const ConvolutionPlan& plan, Descriptor built, const DnnLibrary& library)
      : library_(library), plan_(std::move(built)) {
    scratch_bytes = plan_.integer(kDnnPlanWorkspace);
    ids_ = plan.kind == ProductKind::convolution  ? std::vector<int64_t>{kX, kW, kY}
           : plan.kind == ProductKind::input_grad ? std::vector<int64_t>{kY, kW, kX}
                                                  : std::vector<int64_t>{kX, kY, kW};
    info.detail = "cuDNN";
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    library_.execute(plan_, ids_, arguments, scratch);
  }

 private:
  const DnnLibrary& library_;
  Descriptor plan_;
  std::vector<int64_t> ids_;  // of the arguments
};

}  // namespace

std::unique_ptr<Launch> dnn_convolution(DnnLibrary& library, const ConvolutionPlan& plan) try {
  auto make = [&](const DnnTarget& target) { return convolution_graph(library.api(), target, plan); };
  return std::make_unique<ConvolutionLaunch>(plan, library.plan(plan.text(), make), library);
} catch (const DnnRefusal&) {
  return nullptr;
}

}  // namespace mezzo::codegen::cuda
