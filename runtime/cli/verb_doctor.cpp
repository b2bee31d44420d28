// mezzo doctor: what this build can use here, and what is lost without the rest.
#include <dlfcn.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "mezzo/mezzo.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/compile.h"
#ifdef MEZZO_CPU_JIT
#include <llvm/Config/llvm-config.h>
#endif
#ifdef MEZZO_ONEDNN
#include <dnnl.hpp>
#endif

namespace mezzo::cli {
namespace {

struct Finding {
  std::string what, state, consequence;  // consequence: what is lost; empty when nothing is
};

std::string cpu_features() {
  std::string out;
#if defined(__x86_64__)
  __builtin_cpu_init();
  auto add = [&](bool has, const char* name) {
    if (has) out += (out.empty() ? "" : " ") + std::string(name);
  };
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
#endif
  return out.empty() ? "baseline" : out;
}

Finding llvm() {
#ifdef MEZZO_CPU_JIT
  return {"LLVM", LLVM_VERSION_STRING, ""};
#else
  return {"LLVM", "not in this build",
          "the cpu device interprets kernels; configure with -DMEZZO_CPU_JIT=ON"};
#endif
}

Finding onednn() {
#ifdef MEZZO_ONEDNN
  const dnnl_version_t* v = dnnl_version();
  return {"oneDNN", concat(v->major, ".", v->minor, ".", v->patch), ""};
#else
  return {"oneDNN", "not in this build",
          "matrix products and convolutions use own kernels; configure with -DMEZZO_ONEDNN=ON"};
#endif
}

Finding cuda_driver() {
  void* driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!driver) return {"CUDA driver", "not found", "no cuda device"};
  ::dlclose(driver);
  return {"CUDA driver", "libcuda.so.1", "found, but this build has no CUDA backend"};
}

int doctor(bool json) {
  std::string cache = runtime::cache_directory("");
  std::vector<Finding> findings{
      {"mezzo", version(), ""},
      {"cpu", concat(std::thread::hardware_concurrency(), " threads, ", cpu_features()), ""},
      llvm(),
      onednn(),
      {"kernel cache", cache.empty() ? "none" : cache,
       cache.empty() ? "kernels are compiled again in every run" : ""},
      cuda_driver()};
  if (json) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (auto& f : findings) out.push_back({{"what", f.what}, {"state", f.state}, {"lost", f.consequence}});
    std::cout << out.dump(2) << '\n';
    return 0;
  }
  Table table({"what", "state", "lost without it"});
  for (auto& f : findings) table.row({f.what, f.state, f.consequence.empty() ? "-" : f.consequence});
  std::cout << table.str();
  return 0;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("doctor", "devices and libraries found, and what is lost without each");
  auto flags = std::make_shared<Flags>();
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return doctor(flags->json); }; });
}

}  // namespace mezzo::cli
