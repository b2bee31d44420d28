// libraries.h: NVIDIA's libraries as this process uses them: each looked for once, when it is first needed.
#pragma once
#include "codegen/cuda/cublaslt_api.h"
#include "codegen/cuda/cudnn_api.h"
#include "codegen/cuda/driver_api.h"
#include "codegen/cuda/nvrtc_api.h"

namespace mezzo::codegen::cuda {

template <class Api>
struct Loaded {
  Library library;
  Api api;
  explicit operator bool() const { return static_cast<bool>(library); }
};

// Thread-safe. The libraries of a toolkit are those whose major version the driver supports, where there is a
// driver. MEZZO_DEBUG=no_cublaslt and no_cudnn leave those out, to see what own kernels do.
const Loaded<DriverApi>& driver_library();
const Loaded<NvrtcApi>& nvrtc_library();
const Loaded<CublasLtApi>& cublaslt_library();
const Loaded<CudnnApi>& cudnn_library();

// The same without memory. `major`: the newest CUDA major that will do; 0: any.
Loaded<DriverApi> load_driver(const Environment& environment);
Loaded<NvrtcApi> load_nvrtc(const Environment& environment, int major);
Loaded<CublasLtApi> load_cublaslt(const Environment& environment, int major);
Loaded<CudnnApi> load_cudnn(const Environment& environment, int major);

// What the cuda device cannot do without. Throws Error(unsupported) with what was tried.
const DriverApi& need_driver();
const NvrtcApi& need_nvrtc();

struct LibraryReport {
  std::string name, path, version, how;
  std::string lost;                   // without it
  std::vector<std::string> attempts;  // what was tried in vain
  std::vector<std::string> lacks;     // optional functions it does not have
  bool found = false;
};
std::vector<LibraryReport> report_libraries();

}  // namespace mezzo::codegen::cuda
