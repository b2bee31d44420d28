// module.cpp: texts of kernels, compiled by the host's compiler and loaded.
#include <dlfcn.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <thread>

#include "codegen/cuda/source.h"
#include "sim.h"
#include "tests/paths.h"

namespace mezzo::cuda_sim {
namespace {

namespace fs = std::filesystem;

constexpr size_t kUnitBytes = 120000;  // of kernel text that one compiler gets
constexpr unsigned kCompilers = 2;

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// A kernel's name and number of parameters.
struct Signature {
  std::string name;
  int parameters;
};

std::vector<Signature> signatures(const std::string& text) {
  static const std::regex head(R"(KERNEL(?:_BESIDE)?\(\d+(?:, \d+)?\)\s+(\w+)\(([^)]*)\))");
  std::vector<Signature> out;
  for (std::sregex_iterator it(text.begin(), text.end(), head), end; it != end; ++it) {
    std::string list = (*it)[2];
    int commas = static_cast<int>(std::count(list.begin(), list.end(), ','));
    bool none = list.find_first_not_of(" \n") == std::string::npos;
    out.push_back({(*it)[1], none ? 0 : commas + 1});
  }
  return out;
}

constexpr std::string_view kCall = R"(
template <u64... I> struct Numbers {};
template <u64 N, u64... I> struct Count : Count<N - 1, N - 1, I...> {};
template <u64... I> struct Count<0, I...> { using type = Numbers<I...>; };
template <class... A, u64... I> void call(void (*f)(A...), void* const* p, Numbers<I...>) { f((A)p[I]...); }
template <class... A> void call_kernel(void (*f)(A...), void* const* p) {
  call(f, p, typename Count<sizeof...(A)>::type());
}
)";

struct Unit {
  std::string text;
  std::vector<Signature> functions;
};

std::string source_of(const Unit& unit) {
  std::string text = "#include \"device_names.h\"\n";
  text += codegen::cuda::prelude();
  text += unit.text;
  text += kCall;
  for (const Signature& s : unit.functions)
    text += "extern \"C\" __attribute__((visibility(\"default\"))) void run_" + s.name +
            "(void* const* p) { call_kernel(" + s.name + ", p); }\n";
  return text;
}

std::string flags() {
  std::string f =
      "-std=c++17 -O1 -fPIC -shared -w -ffp-contract=off -fno-strict-aliasing -fvisibility=hidden "
      "-fno-math-errno";
  if (__builtin_cpu_supports("fma")) f += " -mfma -msse4.1";
  return f;
}

// The shared object of a unit, compiled unless it is there.
fs::path compile(const Unit& unit) {
  fs::path here = fs::path(MEZZO_SOURCE_DIR) / "tests/cuda_sim",
           folder = fs::path(MEZZO_BINARY_DIR) / "cuda_sim";
  std::string source = source_of(unit);
  std::string key =
      source + flags() + read_file(here / "device_names.h") + read_file(here / "machine.h") + MEZZO_COMPILER;
  char name[40];
  snprintf(name, sizeof name, "%016llx",
           static_cast<unsigned long long>(XXH3_64bits(key.data(), key.size())));
  fs::path object = folder / (std::string(name) + ".so");
  if (fs::exists(object)) return object;
  fs::create_directories(folder);
  std::string own = std::string(name) + "." + std::to_string(getpid());
  fs::path text = folder / (own + ".cpp"), made = folder / (own + ".tmp"), log = folder / (own + ".log");
  std::ofstream(text) << source;
  std::string command = std::string(MEZZO_COMPILER) + " " + flags() + " -I'" + here.string() + "' '" +
                        text.string() + "' -o '" + made.string() + "' -lm > '" + log.string() + "' 2>&1";
  int status = std::system(command.c_str());
  if (status != 0)
    throw Fault("a kernel does not compile as host C++: " + text.string() + "\n" + read_file(log));
  fs::rename(made, object);
  fs::remove(text);
  fs::remove(log);
  return object;
}

class Loaded : public Module {
 public:
  void add(const fs::path& object, const std::vector<Signature>& names) {
    void* library = dlopen(object.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays loaded: fibers may stand in it
    if (!library) throw Fault(dlerror());
    auto** machine = static_cast<Machine**>(dlsym(library, "mezzo_machine"));
    for (const Signature& s : names) {
      void* entry = dlsym(library, ("run_" + s.name).c_str());
      if (!machine || !entry) throw Fault("no function " + s.name + " in " + object.string());
      functions_[s.name] = {reinterpret_cast<Entry>(entry), machine, s.parameters};
    }
  }
  bool has(std::string_view name) const override { return functions_.find(name) != functions_.end(); }
  const Function& find(std::string_view name) const override {
    auto it = functions_.find(name);
    if (it == functions_.end()) throw Fault("no function " + std::string(name));
    return it->second;
  }

 private:
  std::map<std::string, Function, std::less<>> functions_;
};

}  // namespace

std::shared_ptr<const Module> Module::load(const std::vector<std::string>& texts) {
  std::vector<Unit> units;
  for (const std::string& text : texts) {
    if (units.empty() || units.back().text.size() + text.size() > kUnitBytes) units.emplace_back();
    Unit& u = units.back();
    u.text += text;
    for (Signature& s : signatures(text)) u.functions.push_back(std::move(s));
  }
  std::vector<fs::path> objects(units.size());
  std::vector<std::string> errors(units.size());
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < units.size(); i = next++) try {
        objects[i] = compile(units[i]);
      } catch (const std::exception& e) {
        errors[i] = e.what();
      }
  };
  std::vector<std::thread> compilers;
  for (unsigned k = 1; k < kCompilers && k < units.size(); k++) compilers.emplace_back(work);
  work();
  for (std::thread& t : compilers) t.join();
  auto module = std::make_shared<Loaded>();
  for (size_t i = 0; i < units.size(); i++) {
    if (!errors[i].empty()) throw Fault(errors[i]);
    module->add(objects[i], units[i].functions);
  }
  return module;
}

}  // namespace mezzo::cuda_sim
