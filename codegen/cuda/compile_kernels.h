// compile_kernels.h: CUDA C++ text -> code for one architecture, through NVRTC, with a cache on disk.
#pragma once
#include <string>
#include <vector>

#include "codegen/cuda/nvrtc_api.h"
#include "codegen/object_cache.h"

namespace mezzo::codegen::cuda {

// Code of one text. `ptx`: the driver translates it when it loads it (for devices newer than NVRTC).
struct Image {
  std::string code;
  bool ptx = false;
  bool cached = false;  // read from disk
};

class KernelCompiler {
 public:
  struct Settings {
    int arch = 0;           // compute capability: 90
    std::string cache_dir;  // empty: no cache
    int threads = 0;        // compiling at the same time; 0: all
  };
  // Throws Error(unsupported) for a device that NVRTC has no code for.
  KernelCompiler(const NvrtcApi& api, Settings settings);

  // Every text is a translation unit of its own; they are compiled in parallel. Throws InternalError with
  // NVRTC's log.
  std::vector<Image> compile(const std::vector<std::string>& texts) const;
  // The same text once more, whatever the cache says: for code that the driver refused.
  Image compile_again(const std::string& text) const;

  // --gpu-architecture's value: sm_90, or compute_90 where the device is newer than everything NVRTC knows.
  const std::string& target() const { return target_; }
  // Kernel text -> key of the cache.
  std::string key(const std::string& text) const;

 private:
  std::string build(const std::string& text) const;
  bool ptx() const { return target_.starts_with("compute_"); }

  const NvrtcApi& api_;
  Settings settings_;
  ObjectCache cache_;
  std::string target_, version_;
  std::vector<std::string> options_;
};

}  // namespace mezzo::codegen::cuda
