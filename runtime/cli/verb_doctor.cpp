// mezzo doctor: what this build can use here, and what is lost without the rest.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "codegen/cuda/libraries.h"
#include "codegen/device.h"
#include "codegen/object_cache.h"
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
  std::string path = {}, how = {};       // of a library that was looked for
  std::vector<std::string> attempts = {};
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

Finding kernel_cache() {
  std::string folder = runtime::cache_directory("");
  if (folder.empty()) return {"kernel cache", "none", "kernels are compiled again in every run"};
  codegen::ObjectCache::Content content = codegen::ObjectCache(folder).content();
  std::string state = concat(folder, ": ", content.entries, " entries, ", bytes_text(content.bytes));
  if (content.damaged == 0) return {"kernel cache", state, ""};
  return {"kernel cache", state,
          concat(content.damaged, " damaged: ignored, and replaced when their kernels are compiled again")};
}

void add_cuda(std::vector<Finding>& findings) {
  bool usable = true;
  for (const auto& r : codegen::cuda::report_libraries()) {
    Finding f{r.name, r.found ? r.version : "not found", r.found ? "" : r.lost, r.path, r.how, r.attempts};
    for (const std::string& name : r.lacks) f.state += ", without " + name;
    if (!r.found && r.lost.starts_with("no cuda device")) usable = false;
    findings.push_back(std::move(f));
  }
  if (!usable) return;
  try {
    findings.push_back({"cuda device", codegen::open_cuda_device()->describe(), ""});
  } catch (const std::exception& e) {
    findings.push_back({"cuda device", e.what(), "no cuda device"});
  }
}

int doctor(bool json) {
  std::vector<Finding> findings{
      {"mezzo", version(), ""},
      {"cpu", concat(std::thread::hardware_concurrency(), " threads, ", cpu_features()), ""},
      llvm(),
      onednn(),
      kernel_cache()};
  add_cuda(findings);
  if (json) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (auto& f : findings) {
      out.push_back({{"what", f.what}, {"state", f.state}, {"lost", f.consequence}});
      if (!f.path.empty()) out.back().update({{"path", f.path}, {"found_by", f.how}});
      if (!f.attempts.empty()) out.back()["attempts"] = f.attempts;
    }
    std::cout << out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    return 0;
  }
  Table table({"what", "state", "lost without it", "where", "found by"});
  for (auto& f : findings)
    table.row({f.what, f.state, f.consequence.empty() ? "-" : f.consequence, f.path, f.how});
  std::cout << table.str();
  // A library that is there and cannot be used is worth the reason; one that is nowhere is not worth every
  // folder.
  for (auto& f : findings)
    for (const std::string& attempt : f.attempts)
      if (attempt.find("No such file") == std::string::npos) std::cerr << f.what << ": " << attempt << '\n';
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
