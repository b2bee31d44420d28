// Own declarations of CUDA's libraries against the real headers, where they are installed. Most of it is
// checked while this file compiles.
#include <cublasLt.h>
#include <cuda.h>
#include <cudnn.h>
#include <gtest/gtest.h>
#include <nvrtc.h>

#include <cstdio>

#include "codegen/cuda/cublaslt_api.h"
#include "codegen/cuda/cudnn_api.h"
#include "codegen/cuda/driver_api.h"
#include "codegen/cuda/nvrtc_api.h"

namespace mezzo::codegen::cuda {
namespace {

template <class>
inline constexpr bool kIsPointer = false;
template <class T>
inline constexpr bool kIsPointer<T*> = true;

// Equal as far as a call is concerned: enums and ints, pointers to anything.
template <class A, class B>
constexpr bool passed_alike() {
  if constexpr (std::is_void_v<A> || std::is_void_v<B>)
    return std::is_void_v<A> == std::is_void_v<B>;
  else
    return sizeof(A) == sizeof(B) && kIsPointer<A> == kIsPointer<B> &&
           std::is_floating_point_v<A> == std::is_floating_point_v<B>;
}
template <class A, class B>
inline constexpr bool kSameCall = false;
template <class R, class... A, class S, class... B>
inline constexpr bool kSameCall<R(A...), S(B...)> = [] {
  if constexpr (sizeof...(A) != sizeof...(B))
    return false;
  else
    return passed_alike<R, S>() && (passed_alike<A, B>() && ...);
}();

int functions = 0, values = 0;

#define SAME_FUNCTION(required, name, signature)                                        \
  static_assert(kSameCall<std::remove_pointer_t<decltype(&::name)>, signature>, #name); \
  functions++;
#define SAME_VALUE(ours, theirs, value)                          \
  static_assert(static_cast<int>(::theirs) == (value), #theirs); \
  static_assert(ours == (value));                                \
  values++;

TEST(Declarations, MatchTheHeaders) {
  MEZZO_DRIVER_API(SAME_FUNCTION)
  MEZZO_DRIVER_VALUES(SAME_VALUE)
  MEZZO_NVRTC_API(SAME_FUNCTION)
  MEZZO_CUBLASLT_API(SAME_FUNCTION)
  MEZZO_CUBLASLT_VALUES(SAME_VALUE)
  MEZZO_CUDNN_API(SAME_FUNCTION)
  MEZZO_CUDNN_VALUES(SAME_VALUE)
  static_assert(sizeof(LtAlgo) == sizeof(cublasLtMatmulAlgo_t));
  static_assert(sizeof(LtHeuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
  static_assert(offsetof(LtHeuristic, workspace_bytes) ==
                offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
  static_assert(offsetof(LtHeuristic, status) == offsetof(cublasLtMatmulHeuristicResult_t, state));
  static_assert(sizeof(DevicePointer) == sizeof(CUdeviceptr));
  std::printf("%d functions, %d constants and 2 structs are as in CUDA %d, cuDNN %d\n", functions, values,
              CUDA_VERSION, CUDNN_VERSION);
  EXPECT_GT(functions, 70);
  EXPECT_GT(values, 100);
}

}  // namespace
}  // namespace mezzo::codegen::cuda
