// fake_nvrtc.cpp: a library with NVRTC's functions whose "machine code" is the text itself; the fake driver
// compiles that for the simulator. FAKE_NVRTC_VERSION (default 13.0) is the version it tells. A text with
// "#error" does not compile.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

struct Program {
  std::string text, log, code;
};
std::atomic<int> compilations{0};

constexpr int kCompilationError = 6;
constexpr int kArchs[] = {75, 80, 86, 89, 90, 100, 120};

template <class T>
int get(const std::string& from, T* to) {
  std::memcpy(to, from.data(), from.size());
  return 0;
}

}  // namespace

extern "C" {

int fake_nvrtc_compilations() { return compilations; }

int nvrtcVersion(int* major, int* minor) {
  const char* told = std::getenv("FAKE_NVRTC_VERSION");
  std::string version = told ? told : "13.0";
  *major = std::atoi(version.c_str());
  *minor = std::atoi(version.c_str() + version.find('.') + 1);
  return 0;
}
const char* nvrtcGetErrorString(int error) {
  return error == kCompilationError ? "NVRTC_ERROR_COMPILATION" : "?";
}

int nvrtcCreateProgram(Program** out, const char* text, const char*, int, const char* const*,
                       const char* const*) {
  *out = new Program{text, "", ""};
  return 0;
}
int nvrtcDestroyProgram(Program** p) {
  delete *p;
  *p = nullptr;
  return 0;
}
int nvrtcCompileProgram(Program* p, int count, const char* const* options) {
  compilations++;
  if (size_t at = p->text.find("#error"); at != std::string::npos) {
    p->log = "kernels.cu(1): error: " + p->text.substr(at, p->text.find('\n', at) - at);
    return kCompilationError;
  }
  p->code = "FAKE CUBIN";
  for (int i = 0; i < count; i++) p->code += std::string(" ") + options[i];
  p->code += "\n" + p->text;
  return 0;
}
int nvrtcGetProgramLogSize(Program* p, size_t* bytes) { return *bytes = p->log.size(), 0; }
int nvrtcGetProgramLog(Program* p, char* to) { return get(p->log, to); }
int nvrtcGetCUBINSize(Program* p, size_t* bytes) { return *bytes = p->code.size(), 0; }
int nvrtcGetCUBIN(Program* p, char* to) { return get(p->code, to); }
int nvrtcGetPTXSize(Program* p, size_t* bytes) { return *bytes = p->code.size(), 0; }
int nvrtcGetPTX(Program* p, char* to) { return get(p->code, to); }
int nvrtcGetNumSupportedArchs(int* count) { return *count = std::size(kArchs), 0; }
int nvrtcGetSupportedArchs(int* archs) { return std::memcpy(archs, kArchs, sizeof kArchs), 0; }
}
