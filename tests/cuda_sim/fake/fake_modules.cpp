// fake_modules.cpp: code and launches of the fake driver: text that the fake NVRTC passed on is compiled for
// the simulator.
#include <algorithm>
#include <cstdio>
#include <regex>

#include "codegen/cuda/source.h"
#include "tests/cuda_sim/fake/fake_state.h"

using namespace mezzo::fake_cuda;
using mezzo::cuda_sim::Fault;

namespace {

constexpr std::string_view kMagic = "FAKE CUBIN";

}  // namespace

extern "C" {

int cuModuleLoadDataEx(Module* out, const void* image, unsigned, int*, void**) {
  ENTER(context_outside_capture);
  std::string text = static_cast<const char*>(image);
  if (!text.starts_with(kMagic)) return kInvalidImage;
  size_t line = text.find('\n');
  std::string arch = "--gpu-architecture=sm_" + std::to_string(setting("FAKE_CUDA_ARCH", 90));
  if (text.substr(0, line).find(arch) == std::string::npos && text.find("=compute_") > line)
    return kNoBinaryForGpu;
  text.erase(0, line + 1);
  if (!text.starts_with(prelude())) return kInvalidImage;
  text.erase(0, prelude().size());
  auto module = std::make_unique<FakeModule>();
  try {
    module->code = mezzo::cuda_sim::Module::load({text});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fake driver: %s\n", e.what());
    return kInvalidImage;
  }
  static const std::regex head(R"(KERNEL(?:_BESIDE)?\(\d+(?:, \d+)?\)\s+(\w+)\(([^)]*)\))");
  for (std::sregex_iterator it(text.begin(), text.end(), head), end; it != end; ++it) {
    std::string list = (*it)[2];
    module->parameters[(*it)[1]] = list.find_first_not_of(" \n") == std::string::npos
                                       ? 0
                                       : static_cast<size_t>(std::count(list.begin(), list.end(), ',')) + 1;
  }
  fake().live.insert(module.get());
  return *out = reinterpret_cast<Module>(module.release()), 0;
}
int cuModuleUnload(Module module) {
  ENTER(anything);
  if (!fake().live.erase(module)) return kInvalidValue;
  return delete reinterpret_cast<FakeModule*>(module), 0;
}
int cuModuleGetFunction(Function* out, Module handle, const char* name) {
  ENTER(context);
  auto* module = reinterpret_cast<FakeModule*>(handle);
  auto found = module->parameters.find(name);
  if (found == module->parameters.end()) return kNotFound;
  fake().functions.push_back(std::make_unique<FakeFunction>(FakeFunction{module, name, found->second}));
  return *out = reinterpret_cast<Function>(fake().functions.back().get()), 0;
}
int cuFuncSetAttribute(Function, int, int) {
  ENTER(context);
  return 0;
}
int cuLaunchKernel(Function handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, Stream stream, void** parameters, void**) {
  ENTER(context);
  auto* function = reinterpret_cast<FakeFunction*>(handle);
  std::vector<void*> pointers;
  for (size_t i = 0; i < function->parameters; i++) pointers.push_back(*static_cast<void**>(parameters[i]));
  return submit(stream, [=] {
    try {
      fake().machine.launch(*function->module->code, function->name, {gx, gy, gz}, {bx, by, bz}, shared,
                            pointers);
      return 0;
    } catch (const Fault& e) {
      std::fprintf(stderr, "fake driver: %s\n", e.what());
      return fake().sticky = kIllegalAddress;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "fake driver: %s\n", e.what());
      return fake().sticky = kUnknown;
    }
  });
}
}
