#include "codegen/cuda/libraries.h"

#include "ir/debug.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr int kOldestMajor = 12;  // of CUDA

const LibrarySpec kDriver{"the NVIDIA driver", "libcuda", {"libcuda.so.1"}, true};
const LibrarySpec kNvrtc{"NVRTC", "libnvrtc", {"libnvrtc.so.13", "libnvrtc.so.12"}};
const LibrarySpec kCublasLt{"cuBLASLt", "libcublasLt", {"libcublasLt.so.13", "libcublasLt.so.12"}};
// The least that NVIDIA says it works with (its configuration GRAPH_JIT_ONLY).
const LibrarySpec kCudnn{"cuDNN",
                         "libcudnn",
                         {"libcudnn.so.9"},
                         false,
                         {"libcudnn_graph.so.9", "libcudnn_engines_runtime_compiled.so.9"}};

std::string refuse_major(std::string_view what, int found, int major) {
  if (found < kOldestMajor) return concat(what, " ", found, " is too old, ", kOldestMajor, " is needed");
  if (major > 0 && found > major)
    return concat(what, " ", found, " is newer than what the driver supports (CUDA ", major, ")");
  return {};
}

template <class Api>
using Accept = std::function<std::string(Api&, Library&)>;

// An open library with its functions; `accept` sees them bound.
template <class Api>
Loaded<Api> load(const LibrarySpec& spec, const Environment& environment, const Accept<Api>& accept) {
  Loaded<Api> out{};
  out.library = find_library(spec, environment, [&](Library& library) {
    std::string missing = bind(out.api, library);
    return missing.empty() ? accept(out.api, library) : missing;
  });
  return out;
}

template <class Api>
Loaded<Api> switched_off(const std::string& word) {
  Loaded<Api> out{};
  out.library.attempts.push_back(concat("switched off by MEZZO_DEBUG=", word));
  return out;
}

int driver_major() {
  const auto& driver = driver_library();
  int version = 0;
  return driver && driver.api.cuDriverGetVersion(&version) == 0 ? version / 1000 : 0;
}

std::string lines(const std::vector<std::string>& attempts) {
  std::string out;
  for (const std::string& a : attempts) out += "\n  " + a;
  return out;
}

[[noreturn]] void missing(const LibrarySpec& spec, const Library& library, const std::string& hint) {
  throw Error(ErrorCode::unsupported,
              concat("the cuda device needs ", spec.name, ", and ", spec.sonames.front(),
                     " cannot be used:", lines(library.attempts)),
              "cuda", hint);
}

template <class Api>
LibraryReport report(const LibrarySpec& spec, const Loaded<Api>& loaded, std::string lost) {
  const Library& l = loaded.library;
  std::string name = spec.part_of_driver ? "CUDA driver" : spec.name;
  return {name, l.path, l.version, l.how, std::move(lost), l.attempts, l.lacks, static_cast<bool>(l)};
}

}  // namespace

Loaded<DriverApi> load_driver(const Environment& environment) {
  return load<DriverApi>(kDriver, environment, [](DriverApi& api, Library& library) -> std::string {
    int version = 0;
    if (int error = api.cuDriverGetVersion(&version); error != 0)
      return error == kStubLibrary ? "it is the toolkit's stub, not a driver" : concat("error ", error);
    library.version = concat("CUDA ", version / 1000, ".", version % 1000 / 10);
    if (version / 1000 < kOldestMajor)
      return concat("the driver supports ", library.version, ", CUDA ", kOldestMajor, ".0 is needed");
    return {};
  });
}

Loaded<NvrtcApi> load_nvrtc(const Environment& environment, int major) {
  return load<NvrtcApi>(kNvrtc, environment, [&](NvrtcApi& api, Library& library) -> std::string {
    int found = 0, minor = 0;
    if (api.nvrtcVersion(&found, &minor) != 0) return "it does not tell its version";
    library.version = concat(found, ".", minor);
    return refuse_major("NVRTC", found, major);
  });
}

Loaded<CublasLtApi> load_cublaslt(const Environment& environment, int major) {
  return load<CublasLtApi>(kCublasLt, environment, [&](CublasLtApi& api, Library& library) -> std::string {
    size_t version = api.cublasLtGetVersion();
    library.version = concat(version / 10000, ".", version / 100 % 100, ".", version % 100);
    return refuse_major("cuBLASLt", static_cast<int>(version / 10000), major);
  });
}

Loaded<CudnnApi> load_cudnn(const Environment& environment, int major) {
  return load<CudnnApi>(kCudnn, environment, [&](CudnnApi& api, Library& library) -> std::string {
    size_t version = api.cudnnGetVersion();
    library.version = concat(version / 10000, ".", version / 100 % 100, ".", version % 100);
    if (version / 10000 != 9) return concat("cuDNN ", version / 10000, ", 9 is needed");
    return refuse_major("cuDNN for CUDA", static_cast<int>(api.cudnnGetCudartVersion() / 1000), major);
  });
}

const Loaded<DriverApi>& driver_library() {
  static const auto loaded = load_driver(Environment::of_process());
  return loaded;
}
const Loaded<NvrtcApi>& nvrtc_library() {
  static const auto loaded = load_nvrtc(Environment::of_process(), driver_major());
  return loaded;
}
const Loaded<CublasLtApi>& cublaslt_library() {
  static const auto loaded = ir::debug().has("no_cublaslt")
                                 ? switched_off<CublasLtApi>("no_cublaslt")
                                 : load_cublaslt(Environment::of_process(), driver_major());
  return loaded;
}
const Loaded<CudnnApi>& cudnn_library() {
  cublaslt_library();  // some engines want it; they shall find the one chosen here
  static const auto loaded = ir::debug().has("no_cudnn")
                                 ? switched_off<CudnnApi>("no_cudnn")
                                 : load_cudnn(Environment::of_process(), driver_major());
  return loaded;
}

const DriverApi& need_driver() {
  const auto& driver = driver_library();
  if (!driver) missing(kDriver, driver.library, "install or update the NVIDIA driver, or use --device cpu");
  return driver.api;
}

const NvrtcApi& need_nvrtc() {
  const auto& nvrtc = nvrtc_library();
  if (!nvrtc)
    missing(
        kNvrtc, nvrtc.library,
        "install a CUDA toolkit or the Python wheel nvidia-cuda-nvrtc of the driver's CUDA version, or set "
        "MEZZO_CUDA_PATH to the folder of the libraries; `mezzo doctor` shows what is found");
  return nvrtc.api;
}

std::vector<LibraryReport> report_libraries() {
  return {
      report(kDriver, driver_library(), "no cuda device"),
      report(kNvrtc, nvrtc_library(), "no cuda device: kernels cannot be compiled"),
      report(kCublasLt, cublaslt_library(),
             "matrix products on the cuda device use own kernels, which are slower"),
      report(
          kCudnn, cudnn_library(),
          "convolutions on the cuda device, and attention with excess numerics, use own kernels, which are "
          "slower")};
}

}  // namespace mezzo::codegen::cuda
