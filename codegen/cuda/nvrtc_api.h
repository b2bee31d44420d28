// nvrtc_api.h: the part of NVRTC that Mezzo calls: CUDA C++ text to machine code, without a device or a
// driver.
#pragma once
#include "codegen/cuda/api.h"

namespace mezzo::codegen::cuda {

using NvrtcProgram = struct NvrtcProgramTag*;

#define MEZZO_NVRTC_API(X)                                                                          \
  X(true, nvrtcVersion, int(int* major, int* minor))                                                \
  X(true, nvrtcGetErrorString, const char*(int error))                                              \
  X(true, nvrtcCreateProgram,                                                                       \
    int(NvrtcProgram*, const char* source, const char* name, int headers, const char* const* texts, \
        const char* const* names))                                                                  \
  X(true, nvrtcDestroyProgram, int(NvrtcProgram*))                                                  \
  X(true, nvrtcCompileProgram, int(NvrtcProgram, int options, const char* const*))                  \
  X(true, nvrtcGetProgramLogSize, int(NvrtcProgram, size_t*))                                       \
  X(true, nvrtcGetProgramLog, int(NvrtcProgram, char*))                                             \
  X(true, nvrtcGetCUBINSize, int(NvrtcProgram, size_t*))                                            \
  X(true, nvrtcGetCUBIN, int(NvrtcProgram, char*))                                                  \
  X(true, nvrtcGetPTXSize, int(NvrtcProgram, size_t*))                                              \
  X(true, nvrtcGetPTX, int(NvrtcProgram, char*))                                                    \
  X(true, nvrtcGetNumSupportedArchs, int(int* count))                                               \
  X(true, nvrtcGetSupportedArchs, int(int* archs))

MEZZO_DECLARE_API(NvrtcApi, MEZZO_NVRTC_API)

}  // namespace mezzo::codegen::cuda
