// kernel_set.h: the generated functions of a program, compiled together and loaded onto the device.
#pragma once
#include "codegen/cuda/compile_kernels.h"
#include "codegen/cuda/device.h"
#include "codegen/cuda/kernel_texts.h"
#include "codegen/launch.h"

namespace mezzo::codegen::cuda {

// Loaded code. Lives as long as functions of it are launched.
class LoadedModule {
 public:
  // Throws Error(unsupported) where the driver does not take code of this kind at all. Null `handle` where it
  // refuses this very image (damaged, or of another device).
  LoadedModule(std::shared_ptr<CudaDevice> device, const Image& image);
  ~LoadedModule();
  LoadedModule(LoadedModule&& other) noexcept { *this = std::move(other); }
  LoadedModule& operator=(LoadedModule&& other) noexcept;
  explicit operator bool() const { return module_ != nullptr; }
  const std::string& refusal() const { return refusal_; }
  Function find(const std::string& name) const;

 private:
  std::shared_ptr<CudaDevice> device_;
  Module module_ = nullptr;
  std::string refusal_;
};

// Collects texts and makes functions of them.
class KernelSet {
 public:
  struct Settings {
    std::string cache_dir, dump_dir;
    int threads = 0;
  };
  KernelSet(std::shared_ptr<CudaDevice> device, Settings settings);

  // `emit(number)` writes the text with functions named after the number. The launch is ready after
  // compile().
  std::unique_ptr<Launch> add(const std::function<KernelSource(int number)>& emit);
  // Text that defines `function`, for the runtime itself.
  void add_function(std::string function, std::string text) {
    texts_.add(std::move(function), std::move(text));
  }
  void compile();
  Function find(const std::string& name) const;

  size_t program_count() const { return modules_.size(); }
  int cached_count() const { return cached_; }
  const CudaDevice& device() const { return *device_; }
  const std::shared_ptr<CudaDevice>& shared_device() const { return device_; }

 private:
  std::shared_ptr<CudaDevice> device_;
  Settings settings_;
  KernelTexts texts_;
  std::vector<LoadedModule> modules_;
  std::vector<class KernelLaunch*> launches_;
  int cached_ = 0;
};

}  // namespace mezzo::codegen::cuda
