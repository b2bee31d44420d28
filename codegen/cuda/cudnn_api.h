// cudnn_api.h: the part of cuDNN 9 that Mezzo calls: its backend (graph) API.
#pragma once
#include "codegen/cuda/driver_api.h"

namespace mezzo::codegen::cuda {

using DnnHandle = struct DnnHandleTag*;
using DnnDescriptor = void*;

#define MEZZO_CUDNN_API(X)                                                                              \
  X(true, cudnnGetVersion, size_t())                                                                    \
  X(true, cudnnGetCudartVersion, size_t())                                                              \
  X(true, cudnnGetErrorString, const char*(int status))                                                 \
  X(true, cudnnGetLastErrorString, void(char* text, size_t bytes))                                      \
  X(true, cudnnCreate, int(DnnHandle*))                                                                 \
  X(true, cudnnDestroy, int(DnnHandle))                                                                 \
  X(true, cudnnSetStream, int(DnnHandle, Stream))                                                       \
  X(true, cudnnBackendCreateDescriptor, int(int type, DnnDescriptor*))                                  \
  X(true, cudnnBackendDestroyDescriptor, int(DnnDescriptor))                                            \
  X(true, cudnnBackendFinalize, int(DnnDescriptor))                                                     \
  X(true, cudnnBackendSetAttribute, int(DnnDescriptor, int name, int type, int64_t count, const void*)) \
  X(true, cudnnBackendGetAttribute,                                                                     \
    int(DnnDescriptor, int name, int type, int64_t wanted, int64_t* count, void*))                      \
  X(true, cudnnBackendExecute, int(DnnHandle, DnnDescriptor plan, DnnDescriptor variant_pack))

#define MEZZO_CUDNN_VALUES(X)                                                                  \
  X(kDnnFloat, CUDNN_DATA_FLOAT, 0)                                                            \
  X(kDnnDouble, CUDNN_DATA_DOUBLE, 1)                                                          \
  X(kDnnHalf, CUDNN_DATA_HALF, 2)                                                              \
  X(kDnnBfloat16, CUDNN_DATA_BFLOAT16, 9)                                                      \
  X(kDnnTypeHandle, CUDNN_TYPE_HANDLE, 0)                                                      \
  X(kDnnTypeDataType, CUDNN_TYPE_DATA_TYPE, 1)                                                 \
  X(kDnnTypeBool, CUDNN_TYPE_BOOLEAN, 2)                                                       \
  X(kDnnTypeInt64, CUDNN_TYPE_INT64, 3)                                                        \
  X(kDnnTypeFloat, CUDNN_TYPE_FLOAT, 4)                                                        \
  X(kDnnTypeDouble, CUDNN_TYPE_DOUBLE, 5)                                                      \
  X(kDnnTypePointer, CUDNN_TYPE_VOID_PTR, 6)                                                   \
  X(kDnnTypeConvolutionMode, CUDNN_TYPE_CONVOLUTION_MODE, 7)                                   \
  X(kDnnTypeHeuristicMode, CUDNN_TYPE_HEUR_MODE, 8)                                            \
  X(kDnnTypeNumericalNote, CUDNN_TYPE_NUMERICAL_NOTE, 11)                                      \
  X(kDnnTypeDescriptor, CUDNN_TYPE_BACKEND_DESCRIPTOR, 15)                                     \
  X(kDnnTypeBehaviorNote, CUDNN_TYPE_BEHAVIOR_NOTE, 19)                                        \
  X(kDnnTypeChar, CUDNN_TYPE_CHAR, 24)                                                         \
  X(kDnnConvolution, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, 1)                                  \
  X(kDnnEngine, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 2)                                            \
  X(kDnnEngineConfig, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, 3)                                   \
  X(kDnnHeuristics, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, 4)                                    \
  X(kDnnPlan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, 5)                                      \
  X(kDnnConvolutionForward, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, 10)        \
  X(kDnnConvolutionFilter, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, 11) \
  X(kDnnConvolutionData, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, 12)     \
  X(kDnnOperationGraph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, 15)                           \
  X(kDnnVariantPack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, 16)                                \
  X(kDnnTensor, CUDNN_BACKEND_TENSOR_DESCRIPTOR, 17)                                           \
  X(kDnnDeviceProperties, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, 38)                             \
  X(kDnnConvolutionComputeType, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, 100)                         \
  X(kDnnConvolutionModeAttr, CUDNN_ATTR_CONVOLUTION_CONV_MODE, 101)                            \
  X(kDnnConvolutionDilations, CUDNN_ATTR_CONVOLUTION_DILATIONS, 102)                           \
  X(kDnnConvolutionStrides, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 103)                        \
  X(kDnnConvolutionPostPads, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 104)                        \
  X(kDnnConvolutionPrePads, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 105)                          \
  X(kDnnConvolutionSpatialDims, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 106)                      \
  X(kDnnHeuristicsMode, CUDNN_ATTR_ENGINEHEUR_MODE, 200)                                       \
  X(kDnnHeuristicsGraph, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 201)                           \
  X(kDnnHeuristicsResults, CUDNN_ATTR_ENGINEHEUR_RESULTS, 202)                                 \
  X(kDnnHeuristicsDevice, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, 204)                               \
  X(kDnnConfigEngine, CUDNN_ATTR_ENGINECFG_ENGINE, 300)                                        \
  X(kDnnPlanHandle, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, 400)                                     \
  X(kDnnPlanConfig, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 401)                              \
  X(kDnnPlanWorkspace, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 402)                          \
  X(kDnnPlanJson, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, 405)                          \
  X(kDnnPlanDevice, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, 407)                                 \
  X(kDnnForwardAlpha, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 700)                     \
  X(kDnnForwardBeta, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 701)                       \
  X(kDnnForwardConvolution, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 702)           \
  X(kDnnForwardW, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 703)                             \
  X(kDnnForwardX, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 704)                             \
  X(kDnnForwardY, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 705)                             \
  X(kDnnDataAlpha, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 706)                       \
  X(kDnnDataBeta, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 707)                         \
  X(kDnnDataConvolution, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 708)             \
  X(kDnnDataW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, 709)                               \
  X(kDnnDataX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 710)                              \
  X(kDnnDataY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 711)                              \
  X(kDnnFilterAlpha, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 712)                   \
  X(kDnnFilterBeta, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 713)                     \
  X(kDnnFilterConvolution, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 714)         \
  X(kDnnFilterW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 715)                          \
  X(kDnnFilterX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 716)                           \
  X(kDnnFilterY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, 717)                          \
  X(kDnnGraphHandle, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, 800)                                    \
  X(kDnnGraphOperations, CUDNN_ATTR_OPERATIONGRAPH_OPS, 801)                                   \
  X(kDnnTensorAlignment, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 900)                                \
  X(kDnnTensorType, CUDNN_ATTR_TENSOR_DATA_TYPE, 901)                                          \
  X(kDnnTensorDims, CUDNN_ATTR_TENSOR_DIMENSIONS, 902)                                         \
  X(kDnnTensorStrides, CUDNN_ATTR_TENSOR_STRIDES, 903)                                         \
  X(kDnnTensorId, CUDNN_ATTR_TENSOR_UNIQUE_ID, 906)                                            \
  X(kDnnPackIds, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 1000)                                     \
  X(kDnnPackPointers, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, 1001)                             \
  X(kDnnPackWorkspace, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, 1003)                                \
  X(kDnnEngineNumericalNotes, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, 1303)                          \
  X(kDnnEngineBehaviorNotes, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, 1305)                            \
  X(kDnnDeviceJson, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, 2702)                           \
  X(kDnnInt32, CUDNN_DATA_INT32, 4)                                                            \
  X(kDnnBoolean, CUDNN_DATA_BOOLEAN, 11)                                                       \
  X(kDnnTypePointwiseMode, CUDNN_TYPE_POINTWISE_MODE, 14)                                      \
  X(kDnnTypeReduction, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 18)                                 \
  X(kDnnPointwise, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, 0)                                      \
  X(kDnnPointwiseOperation, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, 13)                  \
  X(kDnnMatmul, CUDNN_BACKEND_MATMUL_DESCRIPTOR, 18)                                           \
  X(kDnnMatmulOperation, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, 19)                        \
  X(kDnnReduction, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, 21)                                     \
  X(kDnnReductionOperation, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, 22)                  \
  X(kDnnReshapeOperation, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, 31)                      \
  X(kDnnPointwiseModeAttr, CUDNN_ATTR_POINTWISE_MODE, 0)                                       \
  X(kDnnPointwiseMath, CUDNN_ATTR_POINTWISE_MATH_PREC, 1)                                      \
  X(kDnnPointwiseAxis, CUDNN_ATTR_POINTWISE_AXIS, 9)                                           \
  X(kDnnPointwiseDescriptor, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 750)                \
  X(kDnnPointwiseX, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 751)                                 \
  X(kDnnPointwiseB, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 752)                                 \
  X(kDnnPointwiseY, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 753)                                 \
  X(kDnnPointwiseT, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, 758)                                 \
  X(kDnnMatmulCompute, CUDNN_ATTR_MATMUL_COMP_TYPE, 1500)                                      \
  X(kDnnMatmulA, CUDNN_ATTR_OPERATION_MATMUL_ADESC, 1520)                                      \
  X(kDnnMatmulB, CUDNN_ATTR_OPERATION_MATMUL_BDESC, 1521)                                      \
  X(kDnnMatmulC, CUDNN_ATTR_OPERATION_MATMUL_CDESC, 1522)                                      \
  X(kDnnMatmulDescriptor, CUDNN_ATTR_OPERATION_MATMUL_DESC, 1523)                              \
  X(kDnnReductionOperator, CUDNN_ATTR_REDUCTION_OPERATOR, 1600)                                \
  X(kDnnReductionCompute, CUDNN_ATTR_REDUCTION_COMP_TYPE, 1601)                                \
  X(kDnnReductionX, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, 1610)                                \
  X(kDnnReductionY, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, 1611)                                \
  X(kDnnReductionDescriptor, CUDNN_ATTR_OPERATION_REDUCTION_DESC, 1612)                        \
  X(kDnnReshapeX, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, 2200)                                    \
  X(kDnnReshapeY, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, 2201)                                    \
  X(kDnnTensorVirtual, CUDNN_ATTR_TENSOR_IS_VIRTUAL, 907)                                      \
  X(kDnnTensorByValue, CUDNN_ATTR_TENSOR_IS_BY_VALUE, 908)                                     \
  X(kDnnAdd, CUDNN_POINTWISE_ADD, 0)                                                           \
  X(kDnnMul, CUDNN_POINTWISE_MUL, 1)                                                           \
  X(kDnnDiv, CUDNN_POINTWISE_DIV, 6)                                                           \
  X(kDnnSub, CUDNN_POINTWISE_SUB, 9)                                                           \
  X(kDnnExp, CUDNN_POINTWISE_EXP, 13)                                                          \
  X(kDnnLog, CUDNN_POINTWISE_LOG, 15)                                                          \
  X(kDnnCompareGe, CUDNN_POINTWISE_CMP_GE, 303)                                                \
  X(kDnnIndex, CUDNN_POINTWISE_GEN_INDEX, 501)                                                 \
  X(kDnnSelect, CUDNN_POINTWISE_BINARY_SELECT, 601)                                            \
  X(kDnnReduceAdd, CUDNN_REDUCE_TENSOR_ADD, 0)                                                 \
  X(kDnnReduceMax, CUDNN_REDUCE_TENSOR_MAX, 3)                                                 \
  X(kDnnHeuristicsModeA, CUDNN_HEUR_MODE_A, 3)                                                 \
  X(kDnnCrossCorrelation, CUDNN_CROSS_CORRELATION, 1)                                          \
  X(kDnnNoteDownConverts, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, 1)                         \
  X(kDnnNoteReducedReduction, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, 2)             \
  X(kDnnNoteNondeterministic, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 4)                        \
  X(kDnnNoteRuntimeCompilation, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION, 0)

MEZZO_CUDNN_VALUES(MEZZO_API_VALUE)
MEZZO_DECLARE_API(CudnnApi, MEZZO_CUDNN_API)

}  // namespace mezzo::codegen::cuda
