// cublaslt_api.h: the part of cuBLASLt that Mezzo calls: matrix products with an epilogue.
#pragma once
#include "codegen/cuda/driver_api.h"

namespace mezzo::codegen::cuda {

using LtHandle = struct LtHandleTag*;
using LtMatmul = struct LtMatmulTag*;
using LtLayout = struct LtLayoutTag*;
using LtPreference = struct LtPreferenceTag*;

// Plain data; may be kept on disk for the same library version and device.
struct LtAlgo {
  uint64_t data[8];
};
struct LtHeuristic {
  LtAlgo algo;
  size_t workspace_bytes;
  int status;  // of this entry: 0 = usable
  float waves;
  int reserved[4];
};

#define MEZZO_CUBLASLT_API(X)                                                                                \
  X(true, cublasLtGetVersion, size_t())                                                                      \
  X(false, cublasLtGetStatusString, const char*(int status))                                                 \
  X(true, cublasLtCreate, int(LtHandle*))                                                                    \
  X(true, cublasLtDestroy, int(LtHandle))                                                                    \
  X(true, cublasLtMatmulDescCreate, int(LtMatmul*, int compute, int scale_type))                             \
  X(true, cublasLtMatmulDescDestroy, int(LtMatmul))                                                          \
  X(true, cublasLtMatmulDescSetAttribute, int(LtMatmul, int attribute, const void*, size_t bytes))           \
  X(true, cublasLtMatrixLayoutCreate, int(LtLayout*, int type, uint64_t rows, uint64_t columns, int64_t ld)) \
  X(true, cublasLtMatrixLayoutDestroy, int(LtLayout))                                                        \
  X(true, cublasLtMatrixLayoutSetAttribute, int(LtLayout, int attribute, const void*, size_t bytes))         \
  X(true, cublasLtMatmulPreferenceCreate, int(LtPreference*))                                                \
  X(true, cublasLtMatmulPreferenceDestroy, int(LtPreference))                                                \
  X(true, cublasLtMatmulPreferenceSetAttribute, int(LtPreference, int attribute, const void*, size_t bytes)) \
  X(true, cublasLtMatmulAlgoGetHeuristic,                                                                    \
    int(LtHandle, LtMatmul, LtLayout a, LtLayout b, LtLayout c, LtLayout d, LtPreference, int want,          \
        LtHeuristic*, int* got))                                                                             \
  X(true, cublasLtMatmul,                                                                                    \
    int(LtHandle, LtMatmul, const void* alpha, const void* a, LtLayout, const void* b, LtLayout,             \
        const void* beta, const void* c, LtLayout, void* d, LtLayout, const LtAlgo*, void* workspace,        \
        size_t workspace_bytes, Stream))

#define MEZZO_CUBLASLT_VALUES(X)                                        \
  X(kLtNotInitialized, CUBLAS_STATUS_NOT_INITIALIZED, 1)                \
  X(kLtNotSupported, CUBLAS_STATUS_NOT_SUPPORTED, 15)                   \
  X(kLtCompute32F, CUBLAS_COMPUTE_32F, 68)                              \
  X(kLtCompute64F, CUBLAS_COMPUTE_64F, 70)                              \
  X(kLtFloat32, CUDA_R_32F, 0)                                          \
  X(kLtFloat64, CUDA_R_64F, 1)                                          \
  X(kLtFloat16, CUDA_R_16F, 2)                                          \
  X(kLtBfloat16, CUDA_R_16BF, 14)                                       \
  X(kLtPlain, CUBLAS_OP_N, 0)                                           \
  X(kLtTransposed, CUBLAS_OP_T, 1)                                      \
  X(kLtTransA, CUBLASLT_MATMUL_DESC_TRANSA, 3)                          \
  X(kLtTransB, CUBLASLT_MATMUL_DESC_TRANSB, 4)                          \
  X(kLtEpilogue, CUBLASLT_MATMUL_DESC_EPILOGUE, 7)                      \
  X(kLtBiasPointer, CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8)               \
  X(kLtBiasType, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 26)               \
  X(kLtAuxPointer, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 11)       \
  X(kLtAuxLd, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 12)                 \
  X(kLtEpilogueDefault, CUBLASLT_EPILOGUE_DEFAULT, 1)                   \
  X(kLtEpilogueBias, CUBLASLT_EPILOGUE_BIAS, 4)                         \
  X(kLtEpilogueGeluAux, CUBLASLT_EPILOGUE_GELU_AUX, 160)                \
  X(kLtEpilogueGeluAuxBias, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 164)       \
  X(kLtEpilogueDGelu, CUBLASLT_EPILOGUE_DGELU, 192)                     \
  X(kLtEpilogueDGeluBGrad, CUBLASLT_EPILOGUE_DGELU_BGRAD, 208)          \
  X(kLtBatchCount, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5)               \
  X(kLtBatchStride, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6)     \
  X(kLtWorkspaceBytes, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)     \
  X(kLtReductionSchemes, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3) \
  X(kLtAlignmentA, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5)       \
  X(kLtAlignmentB, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6)       \
  X(kLtAlignmentC, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7)       \
  X(kLtAlignmentD, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8)       \
  X(kLtReductionNone, CUBLASLT_REDUCTION_SCHEME_NONE, 0)                \
  X(kLtReductionInPlace, CUBLASLT_REDUCTION_SCHEME_INPLACE, 1)          \
  X(kLtReductionInComputeType, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)

MEZZO_CUBLASLT_VALUES(MEZZO_API_VALUE)
MEZZO_DECLARE_API(CublasLtApi, MEZZO_CUBLASLT_API)

}  // namespace mezzo::codegen::cuda
