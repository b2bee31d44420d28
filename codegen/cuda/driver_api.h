// driver_api.h: the part of the CUDA driver that Mezzo calls (libcuda.so.1, CUDA 12 and later).
#pragma once
#include "codegen/cuda/api.h"

namespace mezzo::codegen::cuda {

using Context = struct ContextTag*;
using Module = struct ModuleTag*;
using Function = struct FunctionTag*;
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using CaptureGraph = struct CaptureGraphTag*;
using GraphExec = struct GraphExecTag*;
using GraphNode = struct GraphNodeTag*;
using DevicePointer = unsigned long long;

#define MEZZO_DRIVER_API(X)                                                                                 \
  X(true, cuInit, int(unsigned flags))                                                                      \
  X(true, cuDriverGetVersion, int(int* version))                                                            \
  X(true, cuGetErrorName, int(int error, const char** name))                                                \
  X(true, cuGetErrorString, int(int error, const char** text))                                              \
  X(true, cuDeviceGetCount, int(int* count))                                                                \
  X(true, cuDeviceGet, int(int* device, int ordinal))                                                       \
  X(true, cuDeviceGetName, int(char* name, int length, int device))                                         \
  X(true, cuDeviceGetAttribute, int(int* value, int attribute, int device))                                 \
  X(true, cuDeviceTotalMem_v2, int(size_t * bytes, int device))                                             \
  X(true, cuDevicePrimaryCtxRetain, int(Context*, int device))                                              \
  X(true, cuDevicePrimaryCtxRelease_v2, int(int device))                                                    \
  X(true, cuCtxSetCurrent, int(Context))                                                                    \
  X(true, cuMemGetInfo_v2, int(size_t * free, size_t * total))                                              \
  X(true, cuMemAlloc_v2, int(DevicePointer*, size_t bytes))                                                 \
  X(true, cuMemFree_v2, int(DevicePointer))                                                                 \
  X(true, cuMemHostAlloc, int(void**, size_t bytes, unsigned flags))                                        \
  X(true, cuMemFreeHost, int(void*))                                                                        \
  X(true, cuMemcpyHtoDAsync_v2, int(DevicePointer to, const void* from, size_t bytes, Stream))              \
  X(true, cuMemcpyDtoHAsync_v2, int(void* to, DevicePointer from, size_t bytes, Stream))                    \
  X(true, cuMemcpyDtoDAsync_v2, int(DevicePointer to, DevicePointer from, size_t bytes, Stream))            \
  X(true, cuMemsetD8Async, int(DevicePointer, unsigned char value, size_t bytes, Stream))                   \
  X(true, cuStreamCreate, int(Stream*, unsigned flags))                                                     \
  X(true, cuStreamDestroy_v2, int(Stream))                                                                  \
  X(true, cuStreamSynchronize, int(Stream))                                                                 \
  X(true, cuStreamQuery, int(Stream))                                                                       \
  X(true, cuStreamBeginCapture_v2, int(Stream, int mode))                                                   \
  X(true, cuStreamEndCapture, int(Stream, CaptureGraph*))                                                   \
  X(true, cuGraphInstantiateWithFlags, int(GraphExec*, CaptureGraph, unsigned long long flags))             \
  X(true, cuGraphLaunch, int(GraphExec, Stream))                                                            \
  X(true, cuGraphDestroy, int(CaptureGraph))                                                                \
  X(true, cuGraphExecDestroy, int(GraphExec))                                                               \
  X(false, cuGraphGetNodes, int(CaptureGraph, GraphNode*, size_t * count))                                  \
  X(true, cuEventCreate, int(Event*, unsigned flags))                                                       \
  X(true, cuEventDestroy_v2, int(Event))                                                                    \
  X(true, cuEventRecord, int(Event, Stream))                                                                \
  X(true, cuStreamWaitEvent, int(Stream, Event, unsigned flags))                                            \
  X(true, cuEventSynchronize, int(Event))                                                                   \
  X(true, cuEventElapsedTime, int(float* milliseconds, Event start, Event end))                             \
  X(true, cuModuleLoadDataEx, int(Module*, const void* image, unsigned options, int* names, void** values)) \
  X(true, cuModuleUnload, int(Module))                                                                      \
  X(true, cuModuleGetFunction, int(Function*, Module, const char* name))                                    \
  X(true, cuFuncSetAttribute, int(Function, int attribute, int value))                                      \
  X(true, cuLaunchKernel,                                                                                   \
    int(Function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,    \
        unsigned block_z, unsigned shared_bytes, Stream, void** args, void** extra))

#define MEZZO_DRIVER_VALUES(X)                                               \
  X(kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY, 2)                               \
  X(kStubLibrary, CUDA_ERROR_STUB_LIBRARY, 34)                               \
  X(kDeviceUnavailable, CUDA_ERROR_DEVICE_UNAVAILABLE, 46)                   \
  X(kNoDevice, CUDA_ERROR_NO_DEVICE, 100)                                    \
  X(kInvalidDevice, CUDA_ERROR_INVALID_DEVICE, 101)                          \
  X(kInvalidImage, CUDA_ERROR_INVALID_IMAGE, 200)                            \
  X(kNoBinaryForGpu, CUDA_ERROR_NO_BINARY_FOR_GPU, 209)                      \
  X(kUncorrectableEcc, CUDA_ERROR_ECC_UNCORRECTABLE, 214)                    \
  X(kInvalidPtx, CUDA_ERROR_INVALID_PTX, 218)                                \
  X(kUnsupportedPtxVersion, CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222)         \
  X(kInvalidSource, CUDA_ERROR_INVALID_SOURCE, 300)                          \
  X(kNotReady, CUDA_ERROR_NOT_READY, 600)                                    \
  X(kIllegalAddress, CUDA_ERROR_ILLEGAL_ADDRESS, 700)                        \
  X(kLaunchTimeout, CUDA_ERROR_LAUNCH_TIMEOUT, 702)                          \
  X(kAssert, CUDA_ERROR_ASSERT, 710)                                         \
  X(kLaunchFailed, CUDA_ERROR_LAUNCH_FAILED, 719)                            \
  X(kHardwareStackError, CUDA_ERROR_HARDWARE_STACK_ERROR, 714)               \
  X(kDriverMismatch, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)                 \
  X(kAttributeL2Bytes, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38)                \
  X(kAttributeMultiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16) \
  X(kAttributeMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)       \
  X(kAttributeMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76)       \
  X(kMaxDynamicShared, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8)   \
  X(kStreamNonBlocking, CU_STREAM_NON_BLOCKING, 1)                           \
  X(kCaptureThreadLocal, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1)             \
  X(kEventDefault, CU_EVENT_DEFAULT, 0)                                      \
  X(kEventWithoutTime, CU_EVENT_DISABLE_TIMING, 2)                           \
  X(kJitErrorLog, CU_JIT_ERROR_LOG_BUFFER, 5)                                \
  X(kJitErrorLogBytes, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 6)

MEZZO_DRIVER_VALUES(MEZZO_API_VALUE)
MEZZO_DECLARE_API(DriverApi, MEZZO_DRIVER_API)

}  // namespace mezzo::codegen::cuda
