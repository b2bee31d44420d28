#include "codegen/cuda/kernel_set.h"

#include <filesystem>
#include <fstream>

#include "codegen/alignment.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

// Kernels that are compiled as one text: few enough to share the work, many enough to parse the prelude
// rarely.
constexpr size_t kKernelsPerProgram = 16;
constexpr unsigned kSharedWithoutAsking = 48 << 10;  // bytes of shared memory every kernel may have

}  // namespace

// Runs the functions of one node.
class KernelLaunch : public Launch {
 public:
  KernelLaunch(KernelSource source, const KernelSet& set)
      : device_(set.device()), calls_(std::move(source.launches)) {
    info.detail = source.detail;
    for (int64_t bytes : source.scratch_bytes) {
      scratch_at_.push_back(scratch_bytes);
      scratch_bytes += device_aligned(bytes);
    }
  }

  void resolve(const KernelSet& set) {
    for (const FunctionLaunch& call : calls_) {
      functions_.push_back(set.find(call.function));
      if (call.shared_bytes > kSharedWithoutAsking)
        device_.check(device_.api().cuFuncSetAttribute(functions_.back(), kMaxDynamicShared,
                                                       static_cast<int>(call.shared_bytes)),
                      "asking for shared memory");
    }
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    for (size_t i = 0; i < calls_.size(); i++) {
      const FunctionLaunch& c = calls_[i];
      values_.clear();
      for (int a : c.arguments)
        values_.push_back(a >= 0 ? arguments[a] : scratch + scratch_at_[static_cast<size_t>(-1 - a)]);
      pointers_.clear();
      for (std::byte*& v : values_) pointers_.push_back(&v);
      device_.check(device_.api().cuLaunchKernel(functions_[i], c.grid.x, c.grid.y, c.grid.z, c.block.x,
                                                 c.block.y, c.block.z, c.shared_bytes, device_.stream(),
                                                 pointers_.data(), nullptr),
                    "launching a kernel");
    }
  }

 private:
  const CudaDevice& device_;
  std::vector<FunctionLaunch> calls_;
  std::vector<Function> functions_;
  std::vector<int64_t> scratch_at_;
  std::vector<std::byte*> values_;
  std::vector<void*> pointers_;
};

LoadedModule::LoadedModule(std::shared_ptr<CudaDevice> device, const Image& image)
    : device_(std::move(device)) {
  const DriverApi& api = device_->api();
  device_->make_current();
  char log[2048] = "";
  int names[] = {kJitErrorLog, kJitErrorLogBytes};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  int result = api.cuModuleLoadDataEx(&module_, image.code.c_str(), 2, names, values);
  if (result == 0) return;
  module_ = nullptr;
  if (result == kUnsupportedPtxVersion)
    throw Error(ErrorCode::unsupported,
                concat("the driver is older than NVRTC ", nvrtc_library().library.version,
                       " and does not take its code: ", error_text(api, result)),
                "cuda", "update the NVIDIA driver, or use an older NVRTC (MEZZO_CUDA_PATH)");
  for (int code : {kInvalidImage, kNoBinaryForGpu, kInvalidPtx, kInvalidSource})
    if (result == code) {
      refusal_ = error_text(api, result) + (*log ? concat(": ", log) : "");
      return;
    }
  device_->fail(result, "loading compiled kernels");
}

LoadedModule::~LoadedModule() {
  if (!module_) return;
  device_->enter();
  device_->api().cuModuleUnload(module_);
}

LoadedModule& LoadedModule::operator=(LoadedModule&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(module_, other.module_);
  std::swap(refusal_, other.refusal_);
  return *this;
}

Function LoadedModule::find(const std::string& name) const {
  Function f = nullptr;
  device_->check(device_->api().cuModuleGetFunction(&f, module_, name.c_str()), "looking up a kernel");
  return f;
}

KernelSet::KernelSet(std::shared_ptr<CudaDevice> device, Settings settings)
    : device_(std::move(device)), settings_(std::move(settings)) {}

std::unique_ptr<Launch> KernelSet::add(const std::function<KernelSource(int number)>& emit) {
  auto launch = std::make_unique<KernelLaunch>(texts_.add(emit), *this);
  launches_.push_back(launch.get());
  return launch;
}

void KernelSet::compile() {
  KernelCompiler compiler(need_nvrtc(), {device_->arch(), settings_.cache_dir, settings_.threads});
  std::vector<std::string> programs;
  for (size_t i = 0; i < texts_.all().size(); i++) {
    if (i % kKernelsPerProgram == 0) programs.emplace_back(prelude());
    programs.back() += texts_.all()[i];
  }
  if (!settings_.dump_dir.empty())
    for (size_t i = 0; i < programs.size(); i++)
      std::ofstream(std::filesystem::path(settings_.dump_dir) / concat("kernels.", i, ".cu")) << programs[i];
  std::vector<Image> images = compiler.compile(programs);
  for (size_t i = 0; i < images.size(); i++) {
    cached_ += images[i].cached;
    LoadedModule module(device_, images[i]);
    // Code from disk that passes its checksum may still be of no use, say after a change of the driver.
    if (!module && images[i].cached) module = LoadedModule(device_, compiler.compile_again(programs[i]));
    check(static_cast<bool>(module), "the driver refuses compiled kernels: ", module.refusal());
    modules_.push_back(std::move(module));
  }
  for (KernelLaunch* launch : launches_) launch->resolve(*this);
}

Function KernelSet::find(const std::string& name) const {
  return modules_[texts_.of(name) / kKernelsPerProgram].find(name);
}

}  // namespace mezzo::codegen::cuda
