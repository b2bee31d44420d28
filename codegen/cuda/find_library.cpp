#include "codegen/cuda/find_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> matches(const std::string& pattern) {
  glob_t found{};
  glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> out(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return out;
}

// "12.8.93" -> {12, 8, 93}, for sorting: as text, 9 would be newer than 13.
std::vector<int> numbers(const std::string& text) {
  std::vector<int> out;
  for (size_t i = 0; i < text.size(); i++) {
    if (!isdigit(static_cast<unsigned char>(text[i]))) continue;
    if (i == 0 || !isdigit(static_cast<unsigned char>(text[i - 1]))) out.push_back(0);
    out.back() = out.back() * 10 + (text[i] - '0');
  }
  return out;
}

class Search {
 public:
  Search(const LibrarySpec& spec, const Environment& environment) : spec_(spec), env_(environment) {}

  std::vector<Candidate> run() {
    if (std::string path = env_.variable("MEZZO_CUDA_PATH"); !path.empty())
      for (const char* sub : {"", "/lib64", "/lib"}) folder(path + sub, "MEZZO_CUDA_PATH", true);
    if (!out_.empty()) return out_;
    for (const std::string& soname : spec_.sonames)
      out_.push_back({soname, "open in this process", false, true});
    if (!spec_.part_of_driver) wheels();
    if (!spec_.part_of_driver)
      if (std::string prefix = env_.variable("CONDA_PREFIX"); !prefix.empty())
        folder(prefix + "/lib", "CONDA_PREFIX");
    for (const std::string& soname : spec_.sonames) out_.push_back({soname, "the system's loader"});
    if (spec_.part_of_driver)
      folder(env_.root + "/usr/lib/wsl/lib", "usual folder");
    else
      toolkits();
    return out_;
  }

 private:
  // Files of the library in one folder: those of accepted majors by soname first, so that every file is named
  // once.
  void folder(const std::string& path, const std::string& how, bool chosen = false) {
    for (const std::string& soname : spec_.sonames)
      for (const std::string& file : matches(path + "/" + soname)) out_.push_back({file, how, chosen});
    if (!chosen) return;
    // A chosen folder with another major only: tried, so that the message can say what is wrong with it.
    if (out_.empty())
      for (const std::string& file : matches(path + "/" + spec_.stem + ".so.*"))
        out_.push_back({file, how, true});
  }

  void wheels() {
    std::vector<std::string> sites;
    for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
      if (std::string prefix = env_.variable(name); !prefix.empty())
        sites.push_back(prefix + "/lib/python3*/site-packages");
    if (std::string home = env_.variable("HOME"); !home.empty())
      sites.push_back(home + "/.local/lib/python3*/site-packages");
    for (const char* usual : {"/usr/local/lib/python3*/dist-packages",
                              "/usr/local/lib/python3*/site-packages", "/usr/lib/python3*/dist-packages"})
      sites.push_back(env_.root + usual);
    for (const std::string& site : sites)
      for (const std::string& lib : matches(site + "/nvidia/*/lib")) folder(lib, "Python wheel");
  }

  void toolkits() {
    for (const char* name : {"CUDA_PATH", "CUDA_HOME"})
      if (std::string path = env_.variable(name); !path.empty())
        for (const char* sub : {"/lib64", "/lib"}) folder(path + sub, name);
    std::vector<std::string> usual = matches(env_.root + "/usr/local/cuda*/lib64");
    std::stable_sort(usual.begin(), usual.end(),
                     [](const std::string& a, const std::string& b) { return numbers(a) > numbers(b); });
    for (const std::string& path : usual) folder(path, "usual folder");
  }

  const LibrarySpec& spec_;
  const Environment& env_;
  std::vector<Candidate> out_;
};

std::string path_of_handle(void* handle) {
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || !map || !map->l_name) return {};
  std::error_code error;
  fs::path real = fs::canonical(map->l_name, error);
  return error ? map->l_name : real.string();
}

// Opens every part in the library's folder, for all. Such a library looks its parts up by name at the first
// call, and ends the process where there is none (cuDNN 9), or takes one of another installation: so they are
// opened here, before any call, and it finds them open. Returns why it cannot be used, or "".
std::string open_parts(const LibrarySpec& spec, const Library& library) {
  if (spec.parts.empty()) return {};
  const fs::path folder = fs::path(library.path).parent_path();
  std::error_code error;
  for (const std::string& part : spec.parts)
    if (!fs::exists(folder / part, error)) return concat("its part ", part, " is not beside it");
  const std::string ending = spec.sonames.front().substr(spec.stem.size());
  std::vector<std::string> rest = matches((folder / (spec.stem + "_*" + ending)).string());
  for (const std::string& path : rest) {
    void* open = dlopen(fs::path(path).filename().c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (!open) continue;
    const std::string from = path_of_handle(open);
    dlclose(open);
    if (!fs::equivalent(from, path, error))
      return concat("the process has a part of another ", spec.name, " open: ", from);
  }
  void* whole = dlopen(library.path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  // Parts depend on each other, in an order that changes between versions: those that fail are tried again.
  std::map<std::string, std::string> why;
  for (int round = 0; round < 3 && !rest.empty(); round++)
    std::erase_if(rest, [&](const std::string& path) {
      void* open = dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL);
      if (const char* text = open ? nullptr : dlerror()) why[fs::path(path).filename()] = text;
      return open != nullptr;
    });
  for (const std::string& path : rest) {
    const std::string name = fs::path(path).filename();
    if (std::find(spec.parts.begin(), spec.parts.end(), name) == spec.parts.end()) continue;
    dlclose(whole);
    return concat("its part cannot be opened: ", why[name]);
  }
  return {};
}

}  // namespace

Environment Environment::of_process() {
  return {[](const char* name) {
            const char* value = std::getenv(name);
            return std::string(value ? value : "");
          },
          ""};
}

std::vector<Candidate> candidates(const LibrarySpec& spec, const Environment& environment) {
  return Search(spec, environment).run();
}

Library find_library(const LibrarySpec& spec, const Environment& environment,
                     const std::function<std::string(Library&)>& accept) {
  Library out;
  std::string chosen = environment.variable("MEZZO_CUDA_PATH");
  std::error_code error;
  if (!chosen.empty() && !fs::is_directory(chosen, error)) {
    out.attempts.push_back(concat("MEZZO_CUDA_PATH: ", chosen, " is no directory"));
    return out;
  }
  for (const Candidate& c : candidates(spec, environment)) {
    void* handle = dlopen(c.path.c_str(), RTLD_NOW | RTLD_LOCAL | (c.loaded_only ? RTLD_NOLOAD : 0));
    if (!handle) {
      const char* why = dlerror();
      if (!c.loaded_only) out.attempts.push_back(concat(why ? why : c.path, " (", c.how, ")"));
      continue;
    }
    Library found;
    found.handle = handle;
    found.path = path_of_handle(handle);
    found.how = c.how;
    std::string refusal = open_parts(spec, found);
    if (!refusal.empty())
      dlclose(handle);  // the system's loader must not take it for the next candidate of the same name
    else
      refusal = accept(found);
    if (!refusal.empty()) {
      out.attempts.push_back(concat(found.path, ": ", refusal, " (", c.how, ")"));
      continue;
    }
    found.attempts = std::move(out.attempts);
    return found;
  }
  return out;
}

}  // namespace mezzo::codegen::cuda
