#include "codegen/cuda/compile_kernels.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "codegen/cuda/source.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

// Changes when the meaning of a cache entry does.
constexpr std::string_view kFormat = "mezzo cuda 1";
constexpr size_t kLongestLog = 4000;  // characters of NVRTC's log in a message

// The newest architecture is taken as PTX when the device is newer; machine code of an older one of the same
// major would run, but the driver's translation knows the device.
std::string choose_target(const NvrtcApi& api, int arch) {
  int count = 0;
  check(api.nvrtcGetNumSupportedArchs(&count) == 0 && count > 0, "NVRTC names no architectures");
  std::vector<int> known(static_cast<size_t>(count));
  check(api.nvrtcGetSupportedArchs(known.data()) == 0, "NVRTC names no architectures");
  if (std::find(known.begin(), known.end(), arch) != known.end()) return concat("sm_", arch);
  int older = 0;  // the newest that the device runs by its driver's translation
  for (int k : known)
    if (k < arch) older = std::max(older, k);
  if (older > 0) return concat("compute_", older);
  throw Error(
      ErrorCode::unsupported,
      concat("NVRTC compiles for compute capability ", *std::min_element(known.begin(), known.end()) / 10.0,
             " and later, the device has ", arch / 10.0),
      "cuda", "use an NVRTC of an older CUDA (MEZZO_CUDA_PATH), or --device cpu");
}

// Owns an NVRTC program.
class Unit {
 public:
  Unit(const NvrtcApi& api, const std::string& text) : api_(api) {
    check(api.nvrtcCreateProgram(&program_, text.c_str(), "kernels.cu", 0, nullptr, nullptr) == 0,
          "NVRTC does not take the kernels");
  }
  ~Unit() { api_.nvrtcDestroyProgram(&program_); }
  Unit(const Unit&) = delete;
  Unit& operator=(const Unit&) = delete;

  int compile(const std::vector<std::string>& options) {
    std::vector<const char*> words;
    for (const std::string& o : options) words.push_back(o.c_str());
    return api_.nvrtcCompileProgram(program_, static_cast<int>(words.size()), words.data());
  }
  std::string log() { return fetch(api_.nvrtcGetProgramLogSize, api_.nvrtcGetProgramLog); }
  std::string code(bool ptx) {
    return ptx ? fetch(api_.nvrtcGetPTXSize, api_.nvrtcGetPTX)
               : fetch(api_.nvrtcGetCUBINSize, api_.nvrtcGetCUBIN);
  }

 private:
  std::string fetch(int (*size)(NvrtcProgram, size_t*), int (*get)(NvrtcProgram, char*)) {
    size_t bytes = 0;
    std::string out;
    if (size(program_, &bytes) != 0) return out;
    out.resize(bytes);
    if (bytes > 0 && get(program_, out.data()) != 0) out.clear();
    return out;
  }
  const NvrtcApi& api_;
  NvrtcProgram program_ = nullptr;
};

// Where the text of a failed compilation is left for a report; "" if it cannot be written.
std::string leave_text(const std::string& text) {
  std::error_code error;
  std::filesystem::path path =
      std::filesystem::temp_directory_path(error) / ("mezzo-" + ObjectCache::key(text).substr(0, 8) + ".cu");
  std::ofstream file(path);
  file << text;
  return error || !file ? "" : path.string();
}

}  // namespace

KernelCompiler::KernelCompiler(const NvrtcApi& api, Settings settings)
    : api_(api),
      settings_(std::move(settings)),
      cache_(settings_.cache_dir),
      target_(choose_target(api, settings_.arch)) {
  int major = 0, minor = 0;
  api_.nvrtcVersion(&major, &minor);
  version_ = concat(major, ".", minor);
  options_ = {"--gpu-architecture=" + target_};
  for (const char* o : compile_options()) options_.push_back(o);
}

std::string KernelCompiler::key(const std::string& text) const {
  std::string all = concat(kFormat, '\n', version_, '\n');
  for (const std::string& o : options_) all += o + '\n';
  return ObjectCache::key(all + text);
}

std::string KernelCompiler::build(const std::string& text) const {
  Unit unit(api_, text);
  if (int error = unit.compile(options_); error != 0) {
    std::string log = unit.log();
    if (log.size() > kLongestLog) log = log.substr(0, kLongestLog) + "...";
    throw InternalError(concat("NVRTC ", version_, " does not compile a kernel for ", target_, ": ",
                               api_.nvrtcGetErrorString(error), "\n", log),
                        leave_text(text));
  }
  std::string code = unit.code(ptx());
  check(!code.empty(), "NVRTC returned no code for ", target_);
  return code;
}

Image KernelCompiler::compile_again(const std::string& text) const {
  Image out{build(text), ptx(), false};
  cache_.store(key(text), out.code);
  return out;
}

std::vector<Image> KernelCompiler::compile(const std::vector<std::string>& texts) const {
  std::vector<Image> images(texts.size());
  std::atomic<size_t> next{0};
  std::mutex lock;
  std::exception_ptr failure;  // of the first text, by number, that does not compile
  size_t failed = texts.size();
  auto work = [&] {
    for (size_t i = next++; i < texts.size(); i = next++) try {
        if (auto code = cache_.load(key(texts[i])))
          images[i] = {std::move(*code), ptx(), true};
        else
          images[i] = compile_again(texts[i]);
      } catch (...) {
        std::lock_guard guard(lock);
        if (i >= failed) continue;
        failed = i;
        failure = std::current_exception();
      }
  };
  size_t workers =
      settings_.threads > 0 ? static_cast<size_t>(settings_.threads) : std::thread::hardware_concurrency();
  workers = std::min(std::max<size_t>(workers, 1), texts.size());
  std::vector<std::thread> pool;
  for (size_t i = 1; i < workers; i++) pool.emplace_back(work);
  work();
  for (std::thread& t : pool) t.join();
  if (failure) std::rethrow_exception(failure);
  return images;
}

}  // namespace mezzo::codegen::cuda
