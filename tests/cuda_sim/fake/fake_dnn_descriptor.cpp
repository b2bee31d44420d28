#include "tests/cuda_sim/fake/fake_dnn_descriptor.h"

#include <set>

namespace mezzo::fake_dnn {
namespace {

void finish_tensor(Node& n) {
  Tensor& t = n.tensor;
  t.id = n.one<int64_t>(kDnnTensorId, kDnnTypeInt64);
  t.type = n.choice(kDnnTensorType, kDnnTypeDataType);
  t.alignment = n.one<int64_t>(kDnnTensorAlignment, kDnnTypeInt64);
  t.dims = n.integers(kDnnTensorDims), t.strides = n.integers(kDnnTensorStrides);
  if (n.has(kDnnTensorVirtual)) t.is_virtual = n.one<char>(kDnnTensorVirtual, kDnnTypeBool) != 0;
  if (n.has(kDnnTensorByValue)) t.by_value = n.one<char>(kDnnTensorByValue, kDnnTypeBool) != 0;
  require(!t.dims.empty() && t.dims.size() == t.strides.size(), "dims and strides of a tensor");
  for (size_t k = 0; k < t.dims.size(); k++)
    require(t.dims[k] > 0 && t.strides[k] > 0, "a tensor without elements");
}

void finish_convolution(const Node& n) {
  n.choice(kDnnConvolutionComputeType, kDnnTypeDataType);
  require(n.choice(kDnnConvolutionModeAttr, kDnnTypeConvolutionMode) == kDnnCrossCorrelation, "the mode",
          kNotSupported);
  const auto axes = static_cast<size_t>(n.one<int64_t>(kDnnConvolutionSpatialDims, kDnnTypeInt64));
  for (int name :
       {kDnnConvolutionStrides, kDnnConvolutionDilations, kDnnConvolutionPrePads, kDnnConvolutionPostPads})
    require(n.integers(name).size() == axes, "attribute " + std::to_string(name) + " of another rank");
}

// `wanted`: the scalar in the type of the computation.
void require_scalar(const Node& n, int name, bool wide, double wanted) {
  const double v = wide ? n.one<double>(name, kDnnTypeDouble) : n.one<float>(name, kDnnTypeFloat);
  require(v == wanted, "a scaled convolution", kNotSupported);
}
void convolution_operation(Node& n, int how, int a, int b, int result, int alpha, int beta) {
  const Node& c = n.node(how, kDnnConvolution);
  const bool wide = c.choice(kDnnConvolutionComputeType, kDnnTypeDataType) == kDnnDouble;
  require_scalar(n, alpha, wide, 1), require_scalar(n, beta, wide, 0);
  Operation& o = n.operation;
  o.operands = {n.tensor_of(a), n.tensor_of(b)}, o.result = n.tensor_of(result);
  o.strides = c.integers(kDnnConvolutionStrides), o.dilations = c.integers(kDnnConvolutionDilations);
  o.pads_begin = c.integers(kDnnConvolutionPrePads), o.pads_end = c.integers(kDnnConvolutionPostPads);
  for (const Tensor& t : o.operands) require(wide == (t.type == kDnnDouble), "the type of the computation");
}

void pointwise_operation(Node& n) {
  const Node& how = n.node(kDnnPointwiseDescriptor, kDnnPointwise);
  Operation& o = n.operation;
  o.mode = how.choice(kDnnPointwiseModeAttr, kDnnTypePointwiseMode);
  if (o.mode == kDnnIndex) o.axis = how.one<int64_t>(kDnnPointwiseAxis, kDnnTypeInt64);
  for (int name : {kDnnPointwiseX, kDnnPointwiseB, kDnnPointwiseT})
    if (n.has(name)) o.operands.push_back(n.tensor_of(name));
  o.result = n.tensor_of(kDnnPointwiseY);
  const std::set<int> of_one{kDnnExp, kDnnLog, kDnnIndex},
      of_two{kDnnAdd, kDnnMul, kDnnDiv, kDnnSub, kDnnCompareGe};
  const size_t needed = of_one.count(o.mode) ? 1 : of_two.count(o.mode) ? 2 : 3;
  require(needed < 3 || o.mode == kDnnSelect, "the elementwise operation", kNotSupported);
  require(o.operands.size() == needed, "operands of an elementwise operation");
}

void finish_operation(Node& n) {
  Operation& o = n.operation;
  o.type = n.type;
  switch (n.type) {
    case kDnnConvolutionForward:
      convolution_operation(n, kDnnForwardConvolution, kDnnForwardX, kDnnForwardW, kDnnForwardY,
                            kDnnForwardAlpha, kDnnForwardBeta);
      break;
    case kDnnConvolutionData:
      convolution_operation(n, kDnnDataConvolution, kDnnDataY, kDnnDataW, kDnnDataX, kDnnDataAlpha,
                            kDnnDataBeta);
      break;
    case kDnnConvolutionFilter:
      convolution_operation(n, kDnnFilterConvolution, kDnnFilterX, kDnnFilterY, kDnnFilterW, kDnnFilterAlpha,
                            kDnnFilterBeta);
      break;
    case kDnnPointwiseOperation: pointwise_operation(n); break;
    case kDnnMatmulOperation:
      n.node(kDnnMatmulDescriptor, kDnnMatmul).choice(kDnnMatmulCompute, kDnnTypeDataType);
      o.operands = {n.tensor_of(kDnnMatmulA), n.tensor_of(kDnnMatmulB)}, o.result = n.tensor_of(kDnnMatmulC);
      break;
    case kDnnReductionOperation:
      o.mode =
          n.node(kDnnReductionDescriptor, kDnnReduction).choice(kDnnReductionOperator, kDnnTypeReduction);
      o.operands = {n.tensor_of(kDnnReductionX)}, o.result = n.tensor_of(kDnnReductionY);
      break;
    default: o.operands = {n.tensor_of(kDnnReshapeX)}, o.result = n.tensor_of(kDnnReshapeY);
  }
  const std::string why = wrong(o);
  require(why.empty(), why);
}

void finish_graph(Node& n) {
  require(n.one<void*>(kDnnGraphHandle, kDnnTypeHandle), "a graph without the library's handle");
  std::set<int64_t> made;
  for (const NodePointer& part : n.attribute(kDnnGraphOperations, kDnnTypeDescriptor).nodes) {
    for (const Tensor& t : part->operation.operands)
      require(!t.is_virtual || made.count(t.id), "a virtual tensor that nothing computes");
    made.insert(part->operation.result.id);
    n.graph.operations.push_back(part->operation);
  }
  require(!n.graph.operations.empty(), "a graph without operations");
}

// Of its own accord, or of a text.
void finish_plan(Node& n) {
  require(n.one<void*>(kDnnPlanHandle, kDnnTypeHandle), "a plan without the library's handle");
  if (n.has(kDnnPlanJson)) {
    const auto text = n.list<char>(kDnnPlanJson, kDnnTypeChar);
    auto graph = from_text({text.begin(), text.end()});
    require(graph && engine_of(graph->engine), "a text that is no plan");
    n.graph = std::move(*graph);
    return;
  }
  n.graph = n.node(kDnnPlanConfig, kDnnEngineConfig).graph;
  require(engine_of(n.graph.engine)->status == 0, "the engine does not do it",
          engine_of(n.graph.engine)->status);
}

}  // namespace

const Engine* engine_of(int number) {
  for (const Engine& e : kEngines)
    if (e.number == number) return &e;
  return nullptr;
}

void finish(Node& n) {
  switch (n.type) {
    case kDnnTensor: return finish_tensor(n);
    case kDnnConvolution: return finish_convolution(n);
    case kDnnPointwise:
    case kDnnMatmul:
    case kDnnReduction: return;
    case kDnnOperationGraph: return finish_graph(n);
    case kDnnHeuristics:
      require(n.choice(kDnnHeuristicsMode, kDnnTypeHeuristicMode) == kDnnHeuristicsModeA, "the mode",
              kNotSupported);
      n.graph = n.node(kDnnHeuristicsGraph, kDnnOperationGraph).graph;
      return;
    case kDnnPlan: return finish_plan(n);
    case kDnnVariantPack:
      require(n.integers(kDnnPackIds).size() == n.list<void*>(kDnnPackPointers, kDnnTypePointer).size(),
              "ids and addresses of different numbers");
      n.one<void*>(kDnnPackWorkspace, kDnnTypePointer);
      return;
    case kDnnDeviceProperties: throw Refusal{kNotSupported, "the fake cuDNN needs the device itself"};
    default: return finish_operation(n);
  }
}

}  // namespace mezzo::fake_dnn
